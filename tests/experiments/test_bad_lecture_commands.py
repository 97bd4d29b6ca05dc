"""Bad command lines of the lecture's experiments: one plain message, nothing made."""

import re
import shlex
import sys

import numpy as np
import pytest
import run_helpers

from experiments.common import cli
from experiments.hard_cases import __main__ as hard_cases
from experiments.loss_questions import __main__ as loss_questions
from experiments.viewpoints import __main__ as viewpoints

ROWS = [
    (hard_cases, "--smoke --cases spiral", "cases must be one of quadrants 'spiral'"),
    (hard_cases, "--smoke --gap 0.9", "gap must be at most 0.7, got 0.9"),
    (hard_cases, "--smoke --noise nan", "noise must be finite, got nan"),
    (hard_cases, "--smoke --examples ten", "examples int ten"),
    (hard_cases, "--smoke --out full", "out must be new or empty, got full"),
    (hard_cases, "--resume gone", "run folder config.json gone no such"),
    (loss_questions, "--smoke --temperatures 2", "temperatures[0] must be below 1"),
    (loss_questions, "--smoke --points 1", "points must be at least 2, got 1"),
    (loss_questions, "--smoke --dataset digits", "--dataset"),
    (viewpoints, "--smoke --loss hinge", "loss must be one of got 'hinge'"),
    (viewpoints, "--smoke --images 99", "images must be at most 10, got 99"),
    (viewpoints, "--smoke --boxed-images 501", "boxed_images at most 500 digits 501"),
    (viewpoints, "--smoke --dataset rows.npz", "dataset must hold images rows"),
    (viewpoints, "--smoke --dataset gone.npz", "gone.npz"),
]


@pytest.mark.parametrize(("command", "flags", "words"), ROWS)
def test_bad_command_lines(command, flags, words, compiled, tmp_path, capsys):
    rows = np.eye(6, 5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    np.savez(
        tmp_path / "rows.npz",
        **{f"x_{part}": rows for part in ("train", "test")},
        **{f"y_{part}": np.arange(6) % 2 for part in ("train", "test")},
    )
    before = run_helpers.contents(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("JAXLIN_DEBUG", raising=False)
        patch.setattr(sys, "argv", ["command", *shlex.split(flags)])
        with pytest.raises(SystemExit) as ended:
            cli.main(command.main)
    errors = capsys.readouterr().err
    assert ended.value.code == 2
    assert "Traceback" not in errors
    message = " ".join(re.sub(r"[│╭╮╰╯─]", " ", errors).split())
    assert re.search(run_helpers.in_order(words), message), message
    assert compiled == []
    assert run_helpers.contents(tmp_path) == before
