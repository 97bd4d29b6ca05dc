import contextlib
import functools
import http.server
import json
import signal
import sys
import threading

import numpy as np
import processes
import pytest
import tensorflow_datasets as tfds

from jaxlin import data
from jaxlin.data import cifar10_archive, staging, tfds_images

NAME = "cifar-10-binary.tar.gz"


class Server:
    """A server on localhost that sends an archive, all or half of it."""

    def __init__(self, content):
        self.sends = "all"
        self.requests = 0
        self.release = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests += 1
                self.send_response(404 if outer.sends == "nothing" else 200)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                part = content if outer.sends == "all" else content[: len(content) // 2]
                with contextlib.suppress(ConnectionError):
                    self.wfile.write(part)
                if outer.sends == "half, then waits":
                    outer.release.wait()

            def log_message(self, *args):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/{NAME}"


@pytest.fixture
def server(small_archive, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server(small_archive.content)
    thread = threading.Thread(target=server.http.serve_forever, args=(0.02,))
    thread.start()
    yield server
    server.release.set()
    server.http.shutdown()
    server.http.server_close()
    thread.join()


def prepare(folder, archive):
    return cifar10_archive.prepare(folder, archive=archive, progress=False)


def test_what_is_prepared_is_the_standard_layout(tmp_path, server, small_archive):
    """Read by TFDS itself, under its own name, and compared byte for byte."""
    made = prepare(tmp_path, small_archive.at(server.url))
    assert made == tmp_path / "cifar10" / "3.0.2"
    sources = tfds.data_source("cifar10", data_dir=tmp_path)
    for split, records in (
        ("train", small_archive.train),
        ("test", small_archive.test),
    ):
        examples = sorted(sources[split], key=lambda example: example["id"])
        assert len(examples) == len(records)
        for index, (example, record) in enumerate(zip(examples, records, strict=True)):
            assert example["id"] == f"{split}_{index:05d}".encode()
            assert example["label"] == record[0]
            for channel, row, column in [(0, 0, 0), (1, 2, 3), (2, 31, 30)]:
                stored = record[1 + channel * 1024 + row * 32 + column]
                assert example["image"][row, column, channel] == stored
    names = tfds.builder("cifar10", data_dir=tmp_path).info.features["label"].names
    assert names[:3] == ["airplane", "automobile", "bird"]
    info = json.loads((made / "dataset_info.json").read_text())
    assert info["moduleName"] == "tensorflow_datasets.image_classification.cifar"
    assert str(tmp_path) not in (made / "dataset_info.json").read_text()


def test_the_archive_comes_back_in_its_order(tmp_path, server, small_archive):
    archive = small_archive.at(server.url)
    found = tfds_images.read(prepare(tmp_path, archive), name="cifar10", progress=False)
    for split, records in (
        (found.train, small_archive.train),
        (found.test, small_archive.test),
    ):
        planes = records[:, 1:].reshape(-1, 3, 32, 32)
        images = split.features.reshape(-1, 32, 32, 3)
        for channel in range(3):
            np.testing.assert_array_equal(images[..., channel], planes[:, channel])
        np.testing.assert_array_equal(split.labels, records[:, 0])
    assert found.class_names[9] == "truck"
    assert cifar10_archive.check_counts(found, archive=archive) is found
    with pytest.raises(ValueError, match="must have 5000 train images of each class"):
        cifar10_archive.check_counts(found)


def test_nothing_is_left_but_the_archive_and_the_set(tmp_path, server, small_archive):
    prepare(tmp_path, small_archive.at(server.url))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cifar10", "downloads"]
    assert [path.name for path in (tmp_path / "cifar10").iterdir()] == ["3.0.2"]
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [NAME]


def test_a_verified_archive_is_not_fetched_again(tmp_path, server, small_archive):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / NAME).write_bytes(small_archive.content)
    prepare(tmp_path, small_archive.at(server.url))
    assert server.requests == 0


def test_an_archive_that_is_not_the_right_one_is_replaced(
    tmp_path, server, small_archive
):
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / NAME).write_bytes(small_archive.content[:-1])
    prepare(tmp_path, small_archive.at(server.url))
    assert server.requests == 1
    assert (tmp_path / "downloads" / NAME).read_bytes() == small_archive.content


FAILURES = {
    "wrong checksum": ("all", {"sha256": "0" * 64}, "must have SHA-256 000000"),
    "shorter than it should be": ("all", {"num_bytes": 10**9}, "broke off after"),
    "cut in the middle": ("half", {}, "broke off after|IncompleteRead"),
    "not found": ("nothing", {}, "404"),
    "other counts": ("all", {"train_per_class": 6}, "must hold 60 train records"),
}


@pytest.mark.parametrize(("sends", "changes", "words"), FAILURES.values(), ids=FAILURES)
def test_a_failure_names_the_ways_out_and_leaves_nothing(
    tmp_path, server, small_archive, sends, changes, words
):
    server.sends = sends
    with pytest.raises(data.DataUnavailableError, match=words) as caught:
        prepare(tmp_path, small_archive.at(server.url, **changes))
    for way_out in ("--dataset digits", "TFDS_DATA_DIR", "download of 170 MB"):
        assert way_out in str(caught.value)
    assert tfds_images.find("cifar10", tmp_path) is None
    assert list(tmp_path.rglob(f"{staging.STAGING_PREFIX}*")) == []
    # And the same folder serves once the archive can be had.
    server.sends = "all"
    assert prepare(tmp_path, small_archive.at(server.url)).is_dir()


def start(code, folder, archive):
    """Runs ``code`` in a process of its own, which the test or itself will kill."""
    program = (
        "import os, signal\n"
        "from pathlib import Path\n"
        "from jaxlin.data import cifar10_archive\n"
        f"{code}\n"
        f"archive = cifar10_archive.Archive(*{tuple(archive)!r})\n"
        f"cifar10_archive.prepare(Path({str(folder)!r}), archive=archive)\n"
    )
    return processes.start("-c", program)


def test_a_kill_during_the_download(tmp_path, server, small_archive):
    server.sends = "half, then waits"
    archive = small_archive.at(server.url)
    # Small pieces, so that the first half reaches the disk before the rest is due.
    code = "cifar10_archive._CHUNK_BYTES = 4096"
    process = start(code, tmp_path, archive)
    processes.wait_until(
        lambda: any(part.stat().st_size for part in tmp_path.rglob(NAME)),
        process=process,
    )
    process.kill()
    processes.finish(process)
    assert not (tmp_path / "downloads" / NAME).exists()
    assert tfds_images.find("cifar10", tmp_path) is None
    server.sends = "all"
    assert prepare(tmp_path, archive).is_dir()
    assert (tmp_path / "downloads" / NAME).read_bytes() == small_archive.content


def test_a_kill_during_the_preparation(tmp_path, server, small_archive):
    archive = small_archive.at(server.url)
    code = """
real = cifar10_archive._examples
def killed(split, records, bar):
    for index, example in real(split, records, bar):
        if split == "test" and index == 7:
            os.kill(os.getpid(), signal.SIGKILL)
        yield index, example
cifar10_archive._examples = killed
"""
    process = start(code, tmp_path, archive)
    assert processes.finish(process)[0] == -signal.SIGKILL
    assert tfds_images.find("cifar10", tmp_path) is None
    assert tfds_images.prepared_names(tmp_path) == []
    made = prepare(tmp_path, archive)
    assert server.requests == 1
    found = tfds_images.read(made, name="cifar10", progress=False)
    assert len(found.train.labels) == 50
    assert len(found.test.labels) == 20


def test_a_faster_process_is_no_error(tmp_path, server, small_archive):
    archive = small_archive.at(server.url)
    made = prepare(tmp_path, archive)
    before = sorted(path.name for path in made.iterdir())
    assert prepare(tmp_path, archive) == made
    assert sorted(path.name for path in made.iterdir()) == before


def test_a_folder_in_the_way_is_an_error(tmp_path, server, small_archive):
    in_the_way = tmp_path / "cifar10" / "3.0.2" / "something"
    in_the_way.mkdir(parents=True)
    with pytest.raises(data.DataUnavailableError, match="not empty"):
        prepare(tmp_path, small_archive.at(server.url))
    assert in_the_way.is_dir()


def as_tfrecord(folder):
    """A prepared version as users of TensorFlow have it, by its description."""
    version = folder / "cifar10" / "3.0.2"
    version.mkdir(parents=True)
    (version / "dataset_info.json").write_text('{"fileFormat": "tfrecord"}')
    (version / "cifar10-train.tfrecord-00000-of-00001").write_bytes(b"theirs")
    return version


def test_a_copy_for_tensorflow_is_left_alone_and_ours_made_beside_it(
    tmp_path, server, small_archive
):
    theirs = as_tfrecord(tmp_path)
    before = {path.name: path.read_bytes() for path in theirs.iterdir()}
    assert cifar10_archive.find(tmp_path) is None
    made = prepare(tmp_path, small_archive.at(server.url))
    assert made == tmp_path / "array_record" / "cifar10" / "3.0.2"
    assert cifar10_archive.find(tmp_path) == made
    assert len(tfds_images.read(made, name="cifar10").train.labels) == 50
    assert {path.name: path.read_bytes() for path in theirs.iterdir()} == before
    assert [path.name for path in (tmp_path / "downloads").iterdir()] == [NAME]


@pytest.mark.parametrize("info", ['{"fileFormat": "tfrecord"}', '{"name": "cifar10"}'])
def test_without_a_download_a_copy_for_tensorflow_is_named(tmp_path, info):
    theirs = as_tfrecord(tmp_path)
    (theirs / "dataset_info.json").write_text(info)
    with pytest.raises(data.DataUnavailableError) as caught:
        data.load("cifar10", tmp_path, download=False)
    said = str(caught.value)
    for words in (str(theirs), "need TensorFlow", "left alone", "a download of"):
        assert words in said
    assert "delete" not in said
    assert "prepare it again" not in said


def test_ours_beside_theirs_is_loaded(tmp_path, server, small_archive, monkeypatch):
    as_tfrecord(tmp_path)
    archive = small_archive.at(server.url)
    prepare(tmp_path, archive)
    checked = functools.partial(cifar10_archive.check_counts, archive=archive)
    monkeypatch.setattr(cifar10_archive, "check_counts", checked)
    found = data.load("cifar10", tmp_path, download=False, cache_dir=tmp_path / "cache")
    assert found.train.features.shape == (50, 3072)
    np.testing.assert_array_equal(found.train.labels, small_archive.train[:, 0])


@pytest.mark.full
@pytest.mark.cifar10
def test_ours_beside_theirs_is_found(tmp_path, cifar10_dir):
    """All of CIFAR-10 like above, decoded anew: the path is another one."""
    as_tfrecord(tmp_path)
    (tmp_path / "array_record").symlink_to(cifar10_dir)
    found = data.load("cifar10", tmp_path, download=False)
    assert found.train.features.shape == (50_000, 3072)


def test_without_array_record_nothing_is_fetched(
    tmp_path, server, small_archive, monkeypatch
):
    monkeypatch.setitem(sys.modules, "array_record.python", None)
    with pytest.raises(data.DataUnavailableError, match="pip install array_record"):
        prepare(tmp_path, small_archive.at(server.url))
    assert server.requests == 0
    assert list(tmp_path.iterdir()) == []
