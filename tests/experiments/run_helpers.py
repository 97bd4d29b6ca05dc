"""What tests of whole runs share."""

import contextlib
import csv
import dataclasses
import errno
import functools
import html.parser
import io
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import NamedTuple

import jax
import pytest
from matplotlib.layout_engine import ConstrainedLayoutEngine

from experiments.common import cli, report, study
from experiments.studies import STUDIES
from experiments.svm_vs_softmax import __main__ as entry
from experiments.svm_vs_softmax import report as pages
from experiments.svm_vs_softmax.config import SMOKE, Config
from jaxlin.io import checkpoint

MINIBATCH = dataclasses.replace(SMOKE, solver="minibatch")
HINGE, SOFTMAX = METHODS = ("weston_watkins_hinge", "softmax_cross_entropy")
STAGES = tuple(f"{name}-{part}" for name in METHODS for part in ("grid", "refit"))
FOLDER_CONFIG = {"dataset": "digits", "l2": [1e-4, 1e-3]}


class Run(NamedTuple):
    """A run that came to its end, what it printed and what was compiled for it."""

    path: Path
    printed: str
    programs: list[str]


@functools.cache
def compiled_programs():
    """Returns a list that gets the name of every program compiled from now on."""
    names = []

    def listen(event, duration_secs, *, fun_name="", **_):
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(fun_name)

    # JAX has no way to stop listening, hence the cache.
    jax.monitoring.register_event_duration_secs_listener(listen)
    return names


@contextlib.contextmanager
def quick_pictures():
    """Pictures whose parts are not moved apart, which is most of the time of a run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConstrainedLayoutEngine, "execute", lambda *_: None)
        yield


@contextlib.contextmanager
def no_pictures(pages):
    """Reports that are empty: to draw those of a run takes seconds.

    Args:
      pages: the module that builds them.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "build", lambda _: report.Report("", "", ()))
        yield


def run(config=MINIBATCH, *, out=None, resume=None, pictures=True):
    """Runs the experiment in this process."""
    names = compiled_programs()
    before = len(names)
    with (
        quick_pictures() if pictures else no_pictures(pages),
        contextlib.redirect_stdout(io.StringIO()) as printed,
    ):
        entry.run(config, cli.RunOptions(out=out, resume=resume))
    return Run(out or resume, printed.getvalue(), names[before:])


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


def main(*flags):
    """Returns the exit code of a command line and what it wrote to stderr."""
    printed, errors = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        quick_pictures(),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(errors),
    ):
        patch.delenv("JAXLIN_DEBUG", raising=False)
        patch.setattr(sys, "argv", ["svm_vs_softmax", *map(str, flags)])
        try:
            cli.main(entry.main)
            code = 0
        except SystemExit as exit:
            code = exit.code
    return code, errors.getvalue()


def parse(*flags):
    """Returns config and options of a command line, as the program reads it."""
    return cli.parse(Config(), smoke=SMOKE, arguments=[str(flag) for flag in flags])


def results(path, *, timing=False):
    """Returns results.json, without the timing unless that is asked for."""
    found = json.loads((path / "results.json").read_text())
    return found if timing else {k: v for k, v in found.items() if k != "timing"}


def metrics(path):
    """Returns the lines of metrics.jsonl."""
    lines = (path / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def table(path):
    """Returns the rows of results.csv."""
    return list(csv.DictReader((path / "results.csv").read_text().splitlines()))


def contents(folder):
    """Returns every path below a folder with its bytes (None for a folder)."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def assert_same_run(path, other):
    """Fails unless two runs are bit for bit equal but for times and the machine."""
    assert results(path) == results(other)
    apart = {"environment.json", "report.html", "results.json"}
    found, expected = contents(path), contents(other)
    assert found.keys() == expected.keys()
    assert [n for n in found.keys() - apart if found[n] != expected[n]] == []


class Page(html.parser.HTMLParser):
    """What a report shows and where its references lead."""

    def __init__(self, text):
        super().__init__()
        self.images, self.references, self.text, self.tag = [], [], "", ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tag = tag
        attributes = dict(attrs)
        self.references += [attributes[n] for n in ("src", "href") if n in attributes]
        if tag == "img":
            self.images.append(attributes["src"])

    def handle_data(self, data):
        self.text += data if self.tag not in {"style", "script"} else ""


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
def stopped_at_a_save(allowed, *, before):
    """Ends a run once it made so many saves: before the next, or right after them."""
    save, budget = checkpoint.save, [allowed]

    def saving(path, tree, *, metadata=None):
        if budget[0] == 0:
            raise _Stopped
        save(path, tree, metadata=metadata)
        budget[0] -= 1
        if not before and budget[0] == 0:
            raise _Stopped

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", saving)
        with pytest.raises(_Stopped):
            yield


def in_order(words):
    """Returns a pattern of words that must come in this order, whatever is between."""
    return "(?s)" + ".*".join(map(re.escape, words.split()))


def mcnemar_p(only_a, only_b):
    """Chance that a fair coin is at least as lopsided, in either direction."""
    tosses = only_a + only_b
    tail = sum(math.comb(tosses, k) for k in range(min(only_a, only_b) + 1))
    return min(1.0, 2 * tail / 2**tosses)
