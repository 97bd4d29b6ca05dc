"""Downloads from servers that break off, lie, or are not there."""

import contextlib
import hashlib
import http.server
import re
import sys
import threading

import numpy as np
import processes
import pytest

from jaxlin import data
from jaxlin.data import downloads

NAME = "some.tar.gz"
CONTENT = np.random.default_rng(0).bytes(200_000)


class Server:
    """A server on localhost that sends a file, all of it or a part."""

    def __init__(self, content=CONTENT):
        self.content = content
        self.sends = "all"
        self.takes_ranges = True
        self.length = None
        self.ranges = []
        self.release = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.answer(self)

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{NAME}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    def answer(self, handler):
        asked = handler.headers.get("Range")
        # Before a test that waits for the request changes it.
        sends = self.sends
        self.ranges.append(asked)
        start = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked else 0
        if sends == "nothing":
            handler.send_response(404)
            handler.end_headers()
            return
        is_rest = bool(start) and self.takes_ranges
        rest = self.content[start if is_rest else 0 :]
        handler.send_response(206 if is_rest else 200)
        if sends != "no end":
            handler.send_header("Content-Length", self.length or str(len(rest)))
        handler.end_headers()
        sent = rest[: len(rest) // 2] if "half" in sends else rest
        with contextlib.suppress(ConnectionError):
            for _ in range(100 if sends == "no end" else 1):
                handler.wfile.write(sent)
            handler.wfile.flush()
        if sends == "half, then waits":
            self.release.wait()

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def serve(monkeypatch):
    """Returns a function that starts a server, which is closed after the test."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(**options):
        servers.append(Server(**options))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def server(serve):
    return serve()


def file_at(*servers, **changes):
    facts = downloads.RemoteFile(
        NAME,
        tuple(server.url for server in servers),
        len(CONTENT),
        hashlib.sha256(CONTENT).hexdigest(),
    )
    return facts._replace(**changes)


def fetch(folder, file):
    return downloads.fetch(file, folder, progress=False)


def seen(folder):
    """Names in a folder, but for locks."""
    return sorted(one.name for one in folder.iterdir() if one.suffix != ".lock")


def test_nothing_is_left_but_the_file(tmp_path, server):
    made = fetch(tmp_path / "a" / "b", file_at(server))
    assert made == tmp_path / "a" / "b" / NAME
    assert made.read_bytes() == CONTENT
    assert seen(made.parent) == [NAME]
    assert server.ranges == [None]


def test_a_verified_file_is_not_fetched_again(tmp_path, server):
    (tmp_path / NAME).write_bytes(CONTENT)
    fetch(tmp_path, file_at(server))
    assert server.ranges == []


def test_a_file_that_is_not_the_right_one_is_replaced(tmp_path, server):
    (tmp_path / NAME).write_bytes(CONTENT[:-1])
    assert fetch(tmp_path, file_at(server)).read_bytes() == CONTENT
    assert server.ranges == [None]


def test_a_broken_connection_goes_on_where_it_ended(tmp_path, server):
    """Half of the rest each time, so that an address is asked again and again."""
    server.sends = "half"
    file = file_at(server)

    def rest():
        return server.ranges and server.ranges[-1]

    with pytest.raises(OSError, match="broke off after 199999 of 200000 bytes"):
        fetch(tmp_path, file)
    assert server.ranges[:3] == [None, "bytes=100000-", "bytes=150000-"]
    assert seen(tmp_path) == [f"{NAME}.part"]
    server.sends = "all"
    assert fetch(tmp_path, file).read_bytes() == CONTENT
    assert rest() == "bytes=199999-"
    assert seen(tmp_path) == [NAME]


def test_the_next_address_goes_on_where_another_broke_off(tmp_path, serve):
    gone, broken, good = serve(), serve(), serve()
    gone.sends, broken.sends = "nothing", "half"
    assert fetch(tmp_path, file_at(gone, broken, good)).read_bytes() == CONTENT
    assert (gone.ranges, broken.ranges) == ([None], [None])
    assert good.ranges == ["bytes=100000-"]


def test_a_server_without_ranges_sends_it_all(tmp_path, server):
    server.takes_ranges = False
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    assert fetch(tmp_path, file_at(server)).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_login_page_does_not_replace_what_was_received(tmp_path, serve):
    page, good = serve(content=b"<html>log in</html>"), serve()
    page.takes_ranges = False
    (tmp_path / f"{NAME}.part").write_bytes(CONTENT[:1000])
    assert fetch(tmp_path, file_at(page, good)).read_bytes() == CONTENT
    assert good.ranges == ["bytes=1000-"]


@pytest.mark.parametrize("length", ["200000, 200000", "many", "-1"])
def test_a_length_that_is_no_number_leads_to_the_next_address(tmp_path, serve, length):
    odd, good = serve(), serve()
    odd.length = length
    assert fetch(tmp_path, file_at(odd, good)).read_bytes() == CONTENT
    assert good.ranges == [None]


@pytest.mark.parametrize("start", [b"x" * 1000, CONTENT + b"x", b"x" * len(CONTENT)])
def test_a_wrong_beginning_is_discarded_and_fetched_anew(tmp_path, server, start):
    (tmp_path / f"{NAME}.part").write_bytes(start)
    assert fetch(tmp_path, file_at(server)).read_bytes() == CONTENT
    assert server.ranges[-1] is None


def test_addresses_that_spoil_each_other_come_to_an_end(tmp_path, serve):
    """One breaks off, the other has a file of the same size."""
    broken, other = serve(), serve(content=CONTENT[::-1])
    broken.sends = "half"
    with pytest.raises(OSError, match="broke off after .*must have SHA-256"):
        fetch(tmp_path, file_at(broken, other))
    assert len(other.ranges) == 2


def test_a_server_that_sends_without_end_is_left(tmp_path, server, monkeypatch):
    monkeypatch.setattr(downloads, "_CHUNK_BYTES", 4096)
    server.sends = "no end"
    sizes = []
    real = downloads._sha256

    def sha256(path):
        sizes.append(path.stat().st_size)
        return real(path)

    monkeypatch.setattr(downloads, "_sha256", sha256)
    with pytest.raises(OSError, match="must have SHA-256"):
        fetch(tmp_path, file_at(server))
    assert len(CONTENT) < max(sizes) <= len(CONTENT) + 4096
    assert seen(tmp_path) == []


FAILURES = {
    "wrong checksum": ("all", {"sha256": "0" * 64}, "must have SHA-256 000000"),
    "shorter than it should be": ("all", {"num_bytes": 10**9}, "offers 200000 instead"),
    "not found": ("nothing", {}, "404"),
}


@pytest.mark.parametrize(("sends", "changes", "words"), FAILURES.values(), ids=FAILURES)
def test_a_failure_names_each_address_and_leaves_nothing(
    tmp_path, serve, sends, changes, words
):
    servers = serve(), serve()
    for server in servers:
        server.sends = sends
    with pytest.raises(OSError, match=words) as caught:
        fetch(tmp_path / "new" / "folder", file_at(*servers, **changes))
    for server in servers:
        assert server.url in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_kill_during_the_download(tmp_path, server):
    server.sends = "half, then waits"
    # Small pieces, so that the first half reaches the disk before the rest is due.
    program = (
        "from pathlib import Path\n"
        "from jaxlin.data import downloads\n"
        "downloads._CHUNK_BYTES = 4096\n"
        f"file = downloads.RemoteFile(*{tuple(file_at(server))!r})\n"
        f"downloads.fetch(file, Path({str(tmp_path)!r}))\n"
    )
    process = processes.start("-c", program)
    part = tmp_path / f"{NAME}.part"
    processes.wait_until(
        lambda: part.exists() and part.stat().st_size > 0, process=process
    )
    process.kill()
    processes.finish(process)
    assert seen(tmp_path) == [part.name]
    received = part.stat().st_size
    server.sends = "all"
    assert fetch(tmp_path, file_at(server)).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={received}-"


def test_two_at_once_receive_it_once(tmp_path, server):
    server.sends = "half, then waits"
    found = []

    def run():
        found.append(fetch(tmp_path, file_at(server)).read_bytes())

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    processes.wait_until(lambda: server.ranges)
    server.sends = "all"
    server.release.set()
    for thread in threads:
        thread.join()
    assert found == [CONTENT, CONTENT]
    assert server.ranges == [None, "bytes=100000-"]


@pytest.mark.parametrize("package", ["filelock", "tqdm"])
def test_a_missing_package_is_named_and_nothing_fetched(
    tmp_path, server, monkeypatch, package
):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(data.DataUnavailableError, match=r'pip install "jaxlin\[data'):
        fetch(tmp_path / "new", file_at(server))
    assert server.ranges == []
    assert list(tmp_path.iterdir()) == []
