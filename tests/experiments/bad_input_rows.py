"""Bad input is refused by name, before anything is compiled, and nothing is lost.

Rows of tables. A row says what is lying about, what the user does, and key words of the
message in their order. Every row is held to the same promises: one plain message, no
program compiled, no file made, changed or left half-made.
"""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import run_helpers

X = np.random.default_rng(0).normal(size=(40, 4))
Y = np.arange(40) % 3


class Row(NamedTuple):
    """One bad input.

    Attributes:
      words: of the message, in order.
      act: what the user does, in a folder of its own; returns the message.
      given: makes the files that are there before.
    """

    words: str
    act: Callable[[], str]
    given: Callable[[], Any] = lambda: None


def command(flags, words, given=lambda: None, *, name="train_sgd"):
    """A row that goes through the command line of an experiment."""

    def act():
        code, errors = run_helpers.main(*shlex.split(flags), name=name)
        assert code == 2, errors
        assert "Traceback" not in errors
        # Errors about flags come in a box.
        return " ".join(re.sub(r"[│╭╮╰╯─]", " ", errors).split())

    return Row(words, act, given)


def call(act, words, given=lambda: None):
    """A row that goes through a function of the library."""

    def message():
        with pytest.raises((ValueError, OSError)) as caught:
            act()
        return str(caught.value)

    return Row(words, message, given)


def assert_refused(row, compiled, folder):
    """Fails unless a row, in its own folder, is held to all the promises."""
    row.given()
    before = run_helpers.contents(folder)
    del compiled[:]
    message = row.act()
    assert re.search(run_helpers.in_order(row.words), message), message
    assert compiled == [], f"compiled {compiled}"
    assert run_helpers.contents(folder) == before


def write(name, content):
    Path(name).write_bytes(content)


def good_data(name):
    """A file of 160 examples to train on."""
    run_helpers.write_data(name, np.tile(X, (4, 1)), np.tile(Y, 4), test=(X, Y))


def full_disk(act):
    """Does something while the disk is full."""

    def on_full_disk():
        with pytest.MonkeyPatch.context() as patch:
            run_helpers.full_disk(patch)
            return act()

    return on_full_disk
