"""The table of optima, in smoke size."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import certified_optima
from experiments.common import cli

pytest.importorskip("sklearn")


@pytest.mark.full
def test_the_table_holds_what_was_proven(tmp_path, capsys):
    config = certified_optima.SMOKE
    certified_optima.run(config, cli.RunOptions(out=tmp_path / "run"))
    results = json.loads((tmp_path / "run" / "results.json").read_text())["optima"]
    assert len(results) == len(config.losses) * len(config.l2)
    for row in results:
        assert row["relative_gap"] <= config.relative_gap
        assert row["optimum_lower"] <= row["test_accuracy"] <= row["optimum_upper"]
        width = row["optimum_upper"] - row["optimum_lower"]
        assert width == pytest.approx(1 - row["certified_share"])
        assert ("uninformative" in row["optimum"]) == (width > 0.05)
    smooth = [row for row in results if row["loss"] == "softmax_cross_entropy"]
    assert min(row["certified_share"] for row in smooth) >= config.certified_share
    page = (tmp_path / "run" / "report.html").read_text()
    assert "exact optimum" in page
    assert str(tmp_path / "run" / "report.html") in capsys.readouterr().out

    # Resumed: nothing is fitted again.
    (tmp_path / "run" / "results.json").unlink()
    certified_optima.run(config, cli.RunOptions(resume=tmp_path / "run"))
    again = json.loads((tmp_path / "run" / "results.json").read_text())["optima"]
    np.testing.assert_equal(again, results)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"losses": ("hinge",)}, "losses must be one of"),
        ({"l2": (0.0,)}, "l2.* must be above 0"),
        ({"relative_gap": 0.0}, "relative_gap must be above 0"),
        ({"certified_share": 1.5}, "certified_share must be at most 1"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    config = dataclasses.replace(certified_optima.SMOKE, **changes)
    with pytest.raises(ValueError, match=message):
        certified_optima.checked(config)
