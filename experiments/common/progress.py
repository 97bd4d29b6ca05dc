"""Progress of a loop: one line on a terminal, elsewhere a line now and then.

with progress("training", total=steps, unit="steps") as advance:
    for chunk in chunks:
        advance(len(chunk), f"loss {loss:.3f}")
"""

import contextlib
import shutil
import sys
import time
from collections.abc import Iterator
from typing import Protocol

# Between two lines, where stderr is no terminal, and between two changes of the one.
_SECONDS_BETWEEN_LINES, _SECONDS_ON_A_TERMINAL = 10.0, 0.1
_REWRITE = "\r\N{ESC}[2K"


class Advance(Protocol):
    """Says that ``amount`` more units are done, and how it goes."""

    def __call__(self, amount: int = 1, note: str = "") -> None:
        """Counts the units."""
        ...


@contextlib.contextmanager
def progress(
    description: str, *, total: int, unit: str = "steps", done: int = 0
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
    on_terminal = sys.stderr.isatty()
    pause = _SECONDS_ON_A_TERMINAL if on_terminal else _SECONDS_BETWEEN_LINES
    start, begun = time.monotonic(), done
    last, line, is_shown = start, "", True

    def show(end: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        text = _REWRITE + line[:width] if on_terminal else line
        print(text, end=end, file=sys.stderr, flush=True)

    def advance(amount: int = 1, note: str = "") -> None:
        nonlocal done, last, line, is_shown
        done, now = done + amount, time.monotonic()
        facts = [f"{description}: {done}/{total} {unit} in {now - start:.1f} s"]
        if begun < done < total:
            left = (now - start) / (done - begun) * (total - done)
            facts.append(f"{left:.0f} s left")
        line = ", ".join([*facts, note] if note else facts)
        is_shown = now - last >= pause
        if is_shown:
            last = now
            show("" if on_terminal else "\n")

    try:
        yield advance
    finally:
        if line and (on_terminal or not is_shown):
            show("\n")
