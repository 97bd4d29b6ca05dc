"""A progress bar on a terminal; elsewhere a line now and then.

with progress("training", total=steps, unit="steps") as advance:
    for chunk in chunks:
        advance(len(chunk), f"loss {loss:.3f}")
"""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Protocol

# Where stderr is no terminal.
_SECONDS_BETWEEN_LINES = 10.0


class Advance(Protocol):
    """Says that ``amount`` more units are done, and how it goes."""

    def __call__(self, amount: int = 1, note: str = "") -> None:
        """Moves the bar on."""
        ...


@contextlib.contextmanager
def progress(
    description: str,
    *,
    total: int,
    unit: str = "steps",
    done: int = 0,
) -> Iterator[Advance]:
    """Shows on stderr how far a loop has come.

    Args:
      description: what is going on, in one or two words.
      total: how many units make the whole.
      unit: what is counted.
      done: how many units an earlier, interrupted run has done already.

    Yields:
      A function ``advance(amount=1, note="")``.
    """
    shown = _bar if sys.stderr.isatty() else _lines
    with shown(description, total, unit, done) as advance:
        yield advance


@contextlib.contextmanager
def _bar(description: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    """Draws a bar with rich."""
    from rich import progress as rich_progress
    from rich.console import Console

    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(bar_width=30),
        rich_progress.TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        rich_progress.TimeRemainingColumn(elapsed_when_finished=True),
        rich_progress.TextColumn("{task.fields[note]}", markup=False),
    )
    with rich_progress.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(description, total=total, completed=done, note="")

        def advance(amount: int = 1, note: str = "") -> None:
            bar.update(task, advance=amount, note=note)

        yield advance


@contextlib.contextmanager
def _lines(description: str, total: int, unit: str, done: int) -> Iterator[Advance]:
    """Writes a line when some time has passed, and one at the end."""
    start = last = time.monotonic()
    note_now = ""
    line_due = True

    def line() -> None:
        nonlocal line_due
        line_due = False
        tail = f", {note_now}" if note_now else ""
        elapsed = time.monotonic() - start
        print(
            f"{description}: {done}/{total} {unit} in {elapsed:.1f} s{tail}",
            file=sys.stderr,
            flush=True,
        )

    def advance(amount: int = 1, note: str = "") -> None:
        nonlocal done, last, note_now, line_due
        done, note_now, line_due = done + amount, note, True
        if time.monotonic() - last >= _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            line()

    try:
        yield advance
    finally:
        if line_due:
            line()
