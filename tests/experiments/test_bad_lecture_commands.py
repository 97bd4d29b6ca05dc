"""Bad command lines of the lecture's experiments: one plain message, nothing made."""

import functools
import re
import shlex
import sys
import types

import numpy as np
import pytest
import run_helpers

from experiments.common import cli, study
from experiments.lecture import __main__ as lecture
from experiments.studies import STUDIES

error_decomposition, hard_cases, loss_questions, nearest_neighbor, viewpoints = (
    types.SimpleNamespace(main=functools.partial(study.main, STUDIES[name]))
    for name in (
        *("error_decomposition", "hard_cases", "loss_questions"),
        *("nearest_neighbor", "viewpoints"),
    )
)

ROWS = [
    (hard_cases, "--smoke --cases spiral", "'spiral' --cases one of"),
    (hard_cases, "--smoke --gap 0.9", "gap must be at most 0.7, got 0.9"),
    (hard_cases, "--smoke --noise nan", "noise must be finite, got nan"),
    (hard_cases, "--smoke --examples ten", "examples int ten"),
    (hard_cases, "--smoke --out full", "out must be new or empty, got full"),
    (hard_cases, "--resume gone", "run folder config.json gone no such"),
    (
        hard_cases,
        "--resume theirs",
        "--resume a run of this experiment, got theirs, a run of "
        "experiments.viewpoints; python -m experiments.viewpoints --resume theirs",
    ),
    (hard_cases, "--resume nobodys", "config has no field 'boxed_images'"),
    (loss_questions, "--smoke --temperatures 2", "temperatures[0] must be below 1"),
    (loss_questions, "--smoke --points 1", "points must be at least 2, got 1"),
    (loss_questions, "--smoke --dataset digits", "--dataset"),
    (viewpoints, "--smoke --loss hinge", "'hinge' --loss one of"),
    (viewpoints, "--smoke --images 99", "images must be at most 10, got 99"),
    (viewpoints, "--smoke --boxed-images 501", "boxed_images at most 500 digits 501"),
    (viewpoints, "--smoke --dataset rows.npz", "dataset must hold images rows"),
    (viewpoints, "--smoke --dataset gone.npz", "gone.npz"),
    (nearest_neighbor, "--smoke --metrics hamming", "'hamming' --metrics one of"),
    (nearest_neighbor, "--smoke --metrics", "metrics must not be empty, got ()"),
    (
        nearest_neighbor,
        "--smoke --on-all cosine",
        "on_all must be among metrics, euclidean manhattan, got cosine",
    ),
    (nearest_neighbor, "--smoke --ks 0 5", "ks[0] must be at least 1, got 0"),
    (nearest_neighbor, "--smoke --ks 5 3", "ks must ascend, got 5 3"),
    (nearest_neighbor, "--smoke --ks one", "--ks one INT"),
    (nearest_neighbor, "--resume gone", "run folder config.json gone no such"),
    (nearest_neighbor, "--smoke --ks 9999", "ks must have a number up to got 9999"),
    (nearest_neighbor, "--smoke --bandwidths -1", "bandwidths[0] above 0, got -1"),
    (nearest_neighbor, "--smoke --folds 1", "folds must be at least 2, got 1"),
    (nearest_neighbor, "--smoke --dataset gone.npz", "gone.npz"),
    (nearest_neighbor, "--smoke --out full", "out must be new or empty, got full"),
    (error_decomposition, "--smoke --classes trees", "'trees' --classes one of"),
    (error_decomposition, "--smoke --splits 1", "splits must be at least 2, got 1"),
    (error_decomposition, "--smoke --l2 0", "l2[0] must be above 0, got 0"),
    (error_decomposition, "--smoke --train-examples 9999", "train_examples at most"),
    (error_decomposition, "--smoke --patch-size 8", "patch_size must be at most 7"),
    (error_decomposition, "--smoke --published-error 1", "published_error below 1"),
    (error_decomposition, "--smoke --dataset rows.npz", "must be images got rows"),
    (lecture, "--smoke --chapters jokes", "'jokes' --chapters one of"),
    (lecture, "--smoke --chapters", "chapters must not be empty, got ()"),
    (lecture, "--dataset mnist", "'mnist' --dataset one of"),
    (lecture, "--smoke --dataset cifar10", "dataset digits at size smoke got cifar10"),
    (lecture, "--resume gone", "run folder config.json gone no such"),
]


@pytest.mark.parametrize(("command", "flags", "words"), ROWS)
def test_bad_command_lines(command, flags, words, compiled, tmp_path, capsys):
    rows = np.eye(6, 5)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("precious")
    for name in ("theirs", "nobodys"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"boxed_images": 10}')
    (tmp_path / "theirs" / "environment.json").write_text(
        '{"command": "python -m experiments.viewpoints --smoke --out theirs"}'
    )
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
