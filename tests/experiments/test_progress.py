"""Progress: one line on a terminal, rare lines elsewhere."""

import sys
import types

from experiments.common import progress as progress_module
from experiments.common.progress import progress


def test_without_a_terminal_lines_are_rare_and_the_last_is_whole(capsys, monkeypatch):
    """Thirty steps of .4 s, by a clock that is set by hand: a line after 10 s."""
    now = types.SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(
        progress_module, "time", types.SimpleNamespace(monotonic=lambda: now.seconds)
    )
    with progress("training", total=100, unit="epochs", done=40) as advance:
        for step in range(30):
            now.seconds += 0.4
            advance(2, f"loss {step}")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines() == [
        "training: 90/100 epochs in 10.0 s, 2 s left, loss 24",
        "training: 100/100 epochs in 12.0 s, loss 29",
    ]


def test_on_a_terminal_one_line_is_written_again(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(progress_module, "_SECONDS_ON_A_TERMINAL", 0)
    with progress("training", total=2, unit="epochs") as advance:
        advance(1, "loss 0.5")
        advance(1, "a note that is wider than the terminal")
    before, first, last, end = capsys.readouterr().err.split("\r\33[2K")
    assert before == ""
    assert first.startswith("training: 1/2 epochs in 0.0 s, 0 s left")
    assert last.startswith("training: 2/2 epochs in 0.0 s, a note t")
    assert end == last + "\n"
    assert len(last) == len(first) == 39
