"""Helpers of the tests of whole runs."""

import contextlib
import csv
import errno
import functools
import importlib
import io
import itertools
import json
import math
import os
import re
import sys
from typing import NamedTuple

import jax
import numpy as np
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from experiments.common import cli, measurements, study
from experiments.lecture import __main__ as lecture
from experiments.studies import STUDIES
from jaxlin.io import checkpoint

HINGE, SOFTMAX = METHODS = ("weston_watkins_hinge", "softmax_cross_entropy")
# Experiments of one file, which keep rows instead of parts.
ONE_FILE = {
    name: importlib.import_module(f"experiments.{name}").MEASUREMENTS
    for name in (
        "benchmark_leave_one_out",
        "benchmark_probes",
        "benchmark_protocol",
        "benchmark_training",
        "compile_times",
        "group_penalties",
        "many_classes",
        "parity",
        "published_digits",
        "random_problems",
        "sklearn_tests",
        "small_data",
    )
}
EXPERIMENTS = {**STUDIES, **ONE_FILE}
FOLDER_CONFIG = {"dataset": "digits", "l2": [1e-4, 1e-3]}
# Files that hold times or the machine.
_OF_A_START = {"environment.json", "report.html", "results.json"}


@functools.cache
def compiled_programs():
    """Returns a list that gets the name of every program compiled from now on."""
    names = []

    def listen(event, duration_secs, *, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(fun_name)

    # Never taken off: the list is for every test, hence the cache.
    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


@contextlib.contextmanager
def nothing_compiled():
    """Fails if a program is compiled inside."""
    names = compiled_programs()
    before = len(names)
    yield
    assert names[before:] == [], names[before:]


def write_data(path, features, labels, *, test=None, **more):
    """Writes a data set; its test split is the training split unless given."""
    test_features, test_labels = test or (features, labels)
    np.savez(
        path,
        **{"x_train": features, "y_train": labels},
        **{"x_test": test_features, "y_test": test_labels},
        **more,
    )


@contextlib.contextmanager
def quick_pictures():
    """Pictures whose parts are not moved apart, which is most of the time of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        yield


class FinishedStudy(NamedTuple):
    """A run of a study that came to its end, and what it printed."""

    study: study.Study
    run: study.Run
    printed: str


def run_study(name, config=None, *, page=True, **options):
    """Runs a study, at the size of a smoke test by default, in this process."""
    made = STUDIES[name]
    with (
        pytest.MonkeyPatch.context() as patch,
        quick_pictures(),
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        if not page:
            patch.setattr(study, "publish", lambda *_: None)
        config = config or made.presets["smoke"]
        run = study.run(made, config, cli.RunOptions(**options))
    return FinishedStudy(made, run, printed.getvalue())


def smoke_of(name):
    """Returns the config of a smoke test of any experiment."""
    made = EXPERIMENTS[name]
    return made.smoke if name in ONE_FILE else made.presets["smoke"]


def run_any(name, config=None, **options):
    """Runs a study or an experiment of one file; returns the run, or the rows."""
    run = measurements.run if name in ONE_FILE else study.run
    return run(EXPERIMENTS[name], config or smoke_of(name), cli.RunOptions(**options))


def main(*flags, name="train_sgd"):
    """Returns the exit code of a command line and what it wrote to stderr."""
    printed, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        quick_pictures(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        patch.delenv("JAXLIN_DEBUG", raising=False)
        patch.setattr(sys, "argv", [name, *map(str, flags)])
        try:
            cli.main(lecture.main) if name == "lecture" else study.main(STUDIES[name])
            code = 0
        except SystemExit as exit:
            code = exit.code
    return code, errors.getvalue()


def parse(name, *flags):
    """Returns config and options of a command line, as a study reads it."""
    made, given = STUDIES[name], [str(flag) for flag in flags]
    return cli.parse(made.config, smoke=made.presets["smoke"], arguments=given)


def results(path):
    """Returns results.json."""
    return json.loads((path / "results.json").read_text())


def table(path):
    """Returns the rows of results.csv."""
    return list(csv.DictReader((path / "results.csv").read_text().splitlines()))


def contents(folder):
    """Returns every path below a folder with its bytes (None for a folder)."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def assert_same(folder, other):
    """Fails unless two runs are equal bit for bit but for times and the machine."""
    found, expected = contents(folder), contents(other)
    assert found.keys() == expected.keys()
    for name in found:
        if name == "results.json" or (
            name.startswith("parts/") and name.endswith(".json")
        ):
            key = "parts" if name == "results.json" else "numbers"
            assert json.loads(found[name])[key] == json.loads(expected[name])[key]
        elif name not in _OF_A_START:
            assert found[name] == expected[name], name


def full_disk(patch, when=lambda: True):
    """Makes the system report a full disk when data are forced to it."""
    really = os.fsync

    def fsync(descriptor):
        if when():
            raise OSError(errno.ENOSPC, "No space left on device")
        really(descriptor)

    patch.setattr(os, "fsync", fsync)


class _Stopped(BaseException):
    """Ends a run in this process as abruptly as Python can."""


@contextlib.contextmanager
def stopped(owner, name, *, now, before=False):
    """Ends a run at the call of a function for which ``now`` is true of its arguments.

    Args:
      owner: module or class of the function.
      name: of the function.
      now: called once for each call.
      before: end before the function is called, not right after.
    """
    function = getattr(owner, name)

    def watched(*args, **kwargs):
        is_now = now(*args, **kwargs)
        if is_now and before:
            raise _Stopped
        returned = function(*args, **kwargs)
        if is_now:
            raise _Stopped
        return returned

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, watched)
        with pytest.raises(_Stopped):
            yield


def stopped_at_a_save(allowed, *, before):
    """Ends a run once it made so many saves: before the next, or right after them."""
    calls, last = itertools.count(1), allowed + before

    def now(*_, **__):
        return next(calls) == last

    return stopped(checkpoint, "save", now=now, before=before)


def in_order(words):
    """Returns a pattern of words that must come in this order, whatever is between."""
    return "(?s)" + ".*".join(map(re.escape, words.split()))


def mcnemar_p(only_a, only_b):
    """Chance that a fair coin is at least as lopsided, in either direction."""
    tosses = only_a + only_b
    tail = sum(math.comb(tosses, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**tosses)
