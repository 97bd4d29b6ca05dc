"""A run that was stopped, however it was stopped, ends as if it had not been.

Each test stops the smoke-size run, resumes it, and compares everything but times with
the run that was never stopped, bit for bit.
"""

import dataclasses
import errno
import itertools
import os
import shutil
import signal
import textwrap

import processes
import pytest
import run_helpers
from run_helpers import HINGE, MINIBATCH, SOFTMAX, STAGES

from experiments.common import interrupts
from jaxlin.io import checkpoint

SMALL = ("--smoke", "--solver", "minibatch")

needs_signals = pytest.mark.skipif(
    os.name != "posix" or signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
    reason="needs SIGKILL, and a SIGINT that a background job does not ignore",
)

# Stops itself around or inside the saving of a checkpoint, the k-th of this process.
STOP_ITSELF = """
    import itertools, os, runpy, signal, sys
    from jaxlin.io import checkpoint

    when, last = sys.argv.pop(1), int(sys.argv.pop(1))
    save, fsync, calls = checkpoint.save, os.fsync, itertools.count(1)

    def die(*_):
        os.kill(os.getpid(), signal.SIGKILL)

    def saving(path, tree, **options):
        if next(calls) < last:
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
    runpy.run_module("experiments.svm_vs_softmax", run_name="__main__", alter_sys=True)
"""


def _shell(*flags, stop=None):
    """Runs the program in a process of its own, which may stop itself at a save."""
    program = ("-m", "experiments.svm_vs_softmax")
    if stop is not None:
        program = ("-c", textwrap.dedent(STOP_ITSELF), *stop)
    return processes.finish(processes.start(*program, *flags, cwd=processes.ROOT))


def _status(path):
    return (path / "STATUS").read_text().strip()


@needs_signals
@pytest.mark.parametrize(
    "then_killed", [False, pytest.param(True, marks=pytest.mark.full)]
)
def test_interrupted_then_killed_then_resumed(smoke_run, tmp_path, then_killed):
    """Ctrl-C in the first stage and kill -9 in the third, each in its own process."""
    out = tmp_path / "run"
    code, _, errors = _shell(*SMALL, "--out", out, stop=("interrupted", 1))
    assert code == 130
    assert _status(out) == "interrupted"
    assert f"experiments.svm_vs_softmax --resume {out}" in errors
    assert "Traceback" not in errors
    # It stopped at a save, not somewhere between two.
    last = run_helpers.metrics(out)[-1]
    assert last["stage"] == f"{HINGE}-grid"
    saved = checkpoint.load_metadata(out / f"checkpoint-{last['stage']}.npz")
    assert saved == {"epochs": last["epoch"]}

    if then_killed:
        # Saves of the hinge are behind it: one of its grid before, then three.
        code, _, errors = _shell("--resume", out, stop=("after", 4))
        assert code == -signal.SIGKILL, errors
        assert _status(out) == "running"
        assert run_helpers.metrics(out)[-1]["stage"] == f"{SOFTMAX}-grid"

    last = run_helpers.run(resume=out, pictures=False)
    assert last.printed.splitlines()[-1] == str(out / "report.html")
    assert _status(out) == "done"
    run_helpers.assert_same_run(out, smoke_run.path)


@needs_signals
@pytest.mark.full
@pytest.mark.parametrize(
    ("when", "save"),
    [("before", 1), ("while", 2), ("after", 3), ("while", 8), ("after", 10)],
)
def test_killed_around_any_checkpoint(drawn_run, tmp_path, when, save):
    """Saves 1 to 8 are of training, two a stage; then come the classifiers."""
    out = tmp_path / "run"
    code, _, errors = _shell(*SMALL, "--out", out, stop=(when, save))
    assert code == -signal.SIGKILL, errors
    assert _status(out) == "running"
    run_helpers.run(resume=out)
    assert _status(out) == "done"
    run_helpers.assert_same_run(out, drawn_run.path)


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


class _Stopped(BaseException):
    """Ends a run in this process as abruptly as Python can."""


# Whether before or after the saving, and of which checkpoint: two a stage.
EVERY = [(before, save) for save in range(2 * len(STAGES)) for before in (True, False)]


@pytest.mark.parametrize(
    "stops",
    [
        # In each stage another of the four places.
        [EVERY[0], EVERY[5], EVERY[10], EVERY[15]],
        pytest.param(EVERY, marks=pytest.mark.full),
    ],
    ids=["one a stage", "every"],
)
def test_stopped_before_and_after_a_checkpoint(smoke_run, tmp_path, monkeypatch, stops):
    """One run of many starts: each epoch that was not saved is trained again."""
    out = tmp_path / "run"
    save = checkpoint.save
    done = 0
    for starts, (before, last) in enumerate(stops):

        def saving(path, tree, *, metadata=None, before=before, last=last):
            nonlocal done
            if before and done == last:
                raise _Stopped
            save(path, tree, metadata=metadata)
            done += 1
            if not before and done == last + 1:
                raise _Stopped

        monkeypatch.setattr(checkpoint, "save", saving)
        with pytest.raises(_Stopped):
            run_helpers.run(
                **({"resume": out} if starts else {"out": out}), pictures=False
            )
        # Of the stage and epoch that were, or were to be, saved.
        line = run_helpers.metrics(out)[-1]
        assert (line["stage"], line["epoch"]) == (STAGES[last // 2], 2 + last % 2 * 2)
    monkeypatch.undo()
    run_helpers.run(resume=out, pictures=False)
    assert _status(out) == "done"
    run_helpers.assert_same_run(out, smoke_run.path)
    environment = (out / "environment.json").read_text()
    assert environment.count('"started"') == len(stops) + 1


@pytest.mark.parametrize("write", [7, 20, 40, 60])
@pytest.mark.full
def test_a_full_disk_is_reported_and_loses_nothing(
    drawn_run, tmp_path, monkeypatch, write
):
    """The disk is full at one moment of the run, whatever is being written then."""
    out = tmp_path / "run"
    really, calls = os.fsync, itertools.count(1)

    def fsync(descriptor):
        if next(calls) >= write:
            raise OSError(errno.ENOSPC, "No space left on device")
        really(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        code, errors = run_helpers.main(*SMALL, "--out", out)
    assert code == 2
    assert "No space left on device" in errors
    assert "Traceback" not in errors
    assert _status(out) == "running", "there was no room for another status either"
    run_helpers.run(resume=out)
    run_helpers.assert_same_run(out, drawn_run.path)


@pytest.mark.parametrize(
    "pictures", [False, pytest.param(True, marks=pytest.mark.full)]
)
def test_a_finished_run_resumed_gives_the_same(smoke_run, tmp_path, pictures, request):
    expected = request.getfixturevalue("drawn_run") if pictures else smoke_run
    out = shutil.copytree(smoke_run.path, tmp_path / "run")
    again = run_helpers.run(resume=out, pictures=pictures)
    assert again.programs == []
    run_helpers.assert_same_run(out, expected.path)


def test_the_first_command_line_may_be_repeated(smoke_run, tmp_path):
    """``--smoke --resume RUN``, as `run_folder` promises."""
    out = shutil.copytree(smoke_run.path, tmp_path / "run")
    config, options = run_helpers.parse(*SMALL, "--resume", out)
    assert (config, options.resume) == (MINIBATCH, out)
    assert run_helpers.parse("--resume", out)[0] == MINIBATCH
    longer = dataclasses.replace(MINIBATCH, epochs=6)
    with pytest.raises(ValueError, match="epochs is 4 in the run and 6 now"):
        run_helpers.run(longer, resume=out)
    assert run_helpers.contents(out) == run_helpers.contents(smoke_run.path)


@pytest.mark.parametrize("stage", STAGES)
def test_a_flipped_bit_in_a_checkpoint_is_refused(smoke_run, tmp_path, stage):
    out = shutil.copytree(smoke_run.path, tmp_path / "run")
    path = out / f"checkpoint-{stage}.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)
    before = run_helpers.contents(out)
    code, errors = run_helpers.main("--resume", out)
    assert code == 2
    assert errors.startswith(f"error: {path} is damaged")
    assert errors.count("\n") == 1
    assert run_helpers.contents(out) == before


def test_without_its_checkpoint_a_stage_is_trained_again(smoke_run, tmp_path):
    """Lines of metrics too many, and a torn one, are dropped."""
    out = shutil.copytree(smoke_run.path, tmp_path / "run")
    stage = STAGES[-1]
    (out / f"checkpoint-{stage}.npz").unlink()
    assert sum(one["stage"] == stage for one in run_helpers.metrics(out)) == 2
    with open(out / "metrics.jsonl", "a") as file:
        file.write('{"stage": "soft')
    run_helpers.run(resume=out, pictures=False)
    run_helpers.assert_same_run(out, smoke_run.path)
