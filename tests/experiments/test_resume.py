"""A run that was stopped, however it was stopped, ends as if it had not been.

Each test stops the smoke-size run, resumes it, and compares everything but times with
the run that was never stopped, bit for bit.
"""

import functools
import itertools
import os
import shutil
import signal
import textwrap

import numpy as np
import processes
import pytest
import run_helpers
from run_helpers import HINGE, SOFTMAX

from experiments.common import interrupts
from jaxlin.io import checkpoint

NAME = "train_sgd"

needs_signals = pytest.mark.skipif(
    os.name != "posix" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="needs SIGKILL, and a SIGINT that a background job does not ignore",
)

# Stops itself around or inside the saving of a fit, the k-th of this process.
STOP_ITSELF = """
    import itertools, os, runpy, signal, sys
    from jaxlin.io import checkpoint

    when, last = sys.argv.pop(1), int(sys.argv.pop(1))
    save, fsync, calls = checkpoint.save, os.fsync, itertools.count(1)

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def saving(path, tree, **options):
        if next(calls) != last:
            return save(path, tree, **options)
        if when == "interrupted":
            os.kill(os.getpid(), signal.SIGINT)
            return save(path, tree, **options)
        if when == "before":
            die()
        if when == "while":
            os.fsync = die
        save(path, tree, **options)
        die()

    checkpoint.save = saving
    # As with -m, under which name a run says how it is continued.
    runpy.run_module("experiments.train_sgd", run_name="__main__", alter_sys=True)
"""


def shell(*flags, stop):
    """Runs the program in a process of its own, which stops itself at a save."""
    program = ("-c", textwrap.dedent(STOP_ITSELF), *stop)
    return processes.finish(processes.start(*program, *flags, cwd=processes.ROOT))


def status(path):
    return (path / "STATUS").read_text().strip()


def measured(path):
    """The parts that are done."""
    return {part.stem for part in (path / "parts").glob("*.json")}


@pytest.fixture(scope="module")
def finished(finished_study):
    """The folder of a run that was never stopped."""
    return finished_study(NAME).run.folder.path


full = functools.partial(pytest.param, marks=pytest.mark.full)


@needs_signals
@pytest.mark.parametrize(
    ("when", "save"),
    [
        ("interrupted", 1),
        # Saves 1 and 2 are of the first part, a fit a seed; 3 and 4 of the second.
        *(full("before", 1), full("while", 2), full("after", 3), full("while", 4)),
    ],
)
def test_a_process_that_was_stopped_around_a_save(finished, tmp_path, when, save):
    """Ctrl-C or kill -9, in a process of its own."""
    out = tmp_path / "run"
    code, _, errors = shell("--smoke", "--out", out, stop=(when, save))
    if when == "interrupted":
        assert code == 130
        assert status(out) == "interrupted"
        assert f"experiments.train_sgd --resume {out}" in errors
        # It stopped at the end of a part, not somewhere between two.
        assert measured(out) == {HINGE}
    else:
        assert code == -signal.SIGKILL, errors
        assert status(out) == "running"
    assert "Traceback" not in errors
    last = run_helpers.run_study(NAME, resume=out)
    assert last.printed.splitlines()[-1] == str(out / "report.html")
    assert status(out) == "done"
    run_helpers.assert_same(out, finished)


@needs_signals
def test_ctrl_c_waits_for_a_safe_moment_and_a_second_one_does_not():
    reached = []

    def press():
        os.kill(os.getpid(), signal.SIGINT)

    def obeyed_after_a_save():
        with interrupts.held_back() as stop_if_asked:
            stop_if_asked()
            press()
            reached.append("saved")
            stop_if_asked()
            reached.append("too late")

    def obeyed_at_the_end():
        with interrupts.held_back():
            press()
            reached.append("ended")
        reached.append("too late")

    def pressed_twice():
        with interrupts.held_back():
            press()
            reached.append("again")
            press()
            reached.append("too late")

    for pressed in (obeyed_after_a_save, obeyed_at_the_end, pressed_twice, press):
        with pytest.raises(KeyboardInterrupt):
            pressed()
    assert reached == ["saved", "ended", "again"]


def test_stopped_around_every_save_of_a_fit(finished, tmp_path):
    """One run of many starts: each part that was not done is measured again."""
    out, starts = tmp_path / "run", 0
    # The third save is the first of the second part.
    stops = [(0, True), (1, False), (1, True), (2, False), (2, True)]
    for part_done, allowed_and_before in ((False, stops), (True, stops[:-1])):
        for allowed, before in allowed_and_before:
            with run_helpers.stopped_at_a_save(allowed, before=before):
                run_helpers.run_study(NAME, **{"resume" if starts else "out": out})
            starts += 1
            assert status(out).startswith("failed")
            was_first_done = part_done or allowed == 2 and before
            assert measured(out) == ({HINGE} if was_first_done else set())
    run_helpers.run_study(NAME, resume=out)
    assert status(out) == "done"
    run_helpers.assert_same(out, finished)
    environment = (out / "environment.json").read_text()
    assert environment.count('"started"') == starts + 1


@pytest.mark.parametrize("write", [8, 12, 20, 26])
@pytest.mark.full
def test_a_full_disk_is_reported_and_loses_nothing(
    finished, tmp_path, monkeypatch, write
):
    """The disk is full at one moment of the run, whatever is being written then."""
    out = tmp_path / "run"
    calls = itertools.count(1)
    with monkeypatch.context() as patch:
        run_helpers.full_disk(patch, when=lambda: next(calls) >= write)
        code, errors = run_helpers.main("--smoke", "--out", out, name=NAME)
    assert code == 2
    assert "No space left on device" in errors
    assert "Traceback" not in errors
    assert status(out) == "running", "there was no room for another status either"
    run_helpers.run_study(NAME, resume=out)
    run_helpers.assert_same(out, finished)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil", "words"),
    [
        (f"{HINGE}-seed1.npz", flip_a_bit, "is damaged"),
        (f"{SOFTMAX}-seed1.npz", flip_a_bit, "is damaged"),
        (
            f"{HINGE}-seed0.npz",
            lambda path: checkpoint.save(path, {"x": np.ones(2)}),
            "must be a jaxlin fit",
        ),
        (
            f"{SOFTMAX}.json",
            lambda path: path.write_bytes(b'{"numb'),
            "must hold valid JSON",
        ),
    ],
)
def test_a_part_that_was_spoilt_is_refused(finished, tmp_path, name, spoil, words):
    out = shutil.copytree(finished, tmp_path / "run")
    (out / "parts" / "test.json").unlink()
    path = out / "parts" / name
    spoil(path)
    before = run_helpers.contents(out / "parts")
    code, errors = run_helpers.main("--resume", out, name=NAME)
    assert code == 2
    assert errors.splitlines()[-1].startswith(f"error: {path} {words}")
    assert run_helpers.contents(out / "parts") == before
