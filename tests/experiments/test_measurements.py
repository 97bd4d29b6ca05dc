"""Experiments of one file: one frame keeps rows, resumes and refuses."""

import dataclasses
import json
from typing import Annotated

import pytest

from experiments import benchmark_training
from experiments.common import cli, measurements
from experiments.common.config import Bounds
from experiments.common.measurements import Measurements


@dataclasses.dataclass(frozen=True)
class Config:
    most: Annotated[int, Bounds(at_least=1)] = 4


def squares(measured, *, stop_at=None):
    """Squares of numbers, which end a run before one of them."""

    def measure(config, dataset, item):
        assert dataset is None
        if item == stop_at:
            raise RuntimeError("stopped")
        measured.append(item)
        return {"square": item**2}

    return Measurements(
        name="squares",
        about=None,
        config=Config(),
        smoke=Config(2),
        items=lambda config: range(1, 1 + config.most),
        measure=measure,
        report=lambda config, rows: f"{config.most}: {[*rows]}",
    )


def test_a_run_that_was_cut_measures_only_what_is_missing(tmp_path, capsys):
    out, measured = tmp_path / "run", []
    cut = squares(measured, stop_at=3)
    with pytest.raises(RuntimeError, match="stopped"):
        measurements.run(cut, Config(), cli.RunOptions(out=out))
    assert (out / "STATUS").read_text() == "failed: RuntimeError: stopped\n"
    assert measured == [1, 2]
    rows = measurements.run(squares(measured), Config(), cli.RunOptions(resume=out))
    assert measured == [1, 2, 3, 4]
    assert rows == [{"square": square} for square in (1, 4, 9, 16)]
    assert json.loads((out / "results.json").read_text()) == {"rows": rows}
    assert (out / "STATUS").read_text() == "done\n"
    report, path = capsys.readouterr().out.splitlines()
    assert report == f"4: {rows}"
    assert path == str(out / "results.json")


@pytest.mark.full
def test_training_is_held_against_the_floor(tmp_path, capsys):
    made = benchmark_training.MEASUREMENTS
    rows = measurements.run(made, made.smoke, cli.RunOptions(out=tmp_path / "run"))
    assert [row["loss"] for row in rows] == ["softmax", "hinge"]
    for row in rows:
        assert list(row["epoch_s"]) == ["jaxlin x 1", "jaxlin x 2"]
        assert min(row["epoch_s"].values()) > 0
        # Forward and backward: a product and a sum for each weight of each row.
        work = 1e-9 * 2 * 2 * 1297 * 64 * 10
        assert row["floor_s"] == pytest.approx(work / row["matrix_gflops"])
    assert "GFLOP/s in a square float32 product" in capsys.readouterr().out
    assert (tmp_path / "run" / "data.json").exists()
