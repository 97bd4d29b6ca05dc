"""Experiments of one file: rows are kept, and hold what was measured."""

import dataclasses
import json
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from plain_numpy import weighted_problem
from run_helpers import run_any, smoke_of

from experiments import compile_times, random_problems, small_data
from experiments.common import cli, measurements
from experiments.common.config import Bounds
from experiments.common.measurements import Measurements
from experiments.common.numpy_objective import Data


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
    rows = run_any("benchmark_training", out=tmp_path / "run")
    assert [row["loss"] for row in rows] == ["softmax", "hinge"]
    for row in rows:
        assert list(row["epoch_s"]) == ["jaxlin x 1", "jaxlin x 2"]
        assert min(row["epoch_s"].values()) > 0
        # Forward and backward: a product and a sum for each weight of each row.
        work = 1e-9 * 2 * 2 * 1297 * 64 * 10
        assert row["floor_s"] == pytest.approx(work / row["matrix_gflops"])
    assert "GFLOP/s in a square float32 product" in capsys.readouterr().out
    assert (tmp_path / "run" / "data.json").exists()


# Times of compiling


@pytest.fixture(scope="module")
def programs():
    """One for the file, since it listens until the process ends."""
    return compile_times.Programs()


@jax.jit
def _doubled_for_this_test(x):
    return 2 * x


def test_a_program_is_listed_once_it_is_compiled(programs):
    programs.taken()
    x = jnp.ones(3)
    _doubled_for_this_test(x)
    (found,) = [
        row for row in programs.taken() if row["program"] == "_doubled_for_this_test"
    ]
    assert found["compiled"] == 1
    assert min(found[stage] for stage in compile_times.STAGES) > 0
    _doubled_for_this_test(x)
    assert programs.taken() == []


def test_a_nested_span_counts_for_the_inner_program_alone(programs):
    """JAX reports the inner trace first; both end now, and one contains the other."""
    programs.taken()
    for stage, seconds, name in (
        ("jaxpr_trace", 1.0, "inner"),
        ("jaxpr_trace", 3.0, "outer"),
        ("jaxpr_to_mlir_module", 1e-9, "jit(outer)"),
        ("backend_compile", 1e-9, "jit(outer)"),
    ):
        jax.monitoring.record_event_duration_secs(
            f"/jax/core/compile/{stage}_duration", seconds, fun_name=name
        )
    outer, inner = programs.taken()
    assert (outer["program"], inner["program"]) == ("outer", "inner")
    assert inner["trace"] == pytest.approx(1)
    assert outer["trace"] == pytest.approx(2)
    assert (outer["compiled"], inner["compiled"]) == (1, 0)


def test_first_calls_are_those_of_a_new_process(tmp_path, capsys):
    (found,) = run_any("compile_times", out=tmp_path / "run")
    assert found["task"] == "nearest"
    assert found["imports"] > 0
    first, repeated = found["first"], found["repeated"]
    assert first["seconds"] > repeated["seconds"] > 0
    stages = sum(
        row[stage] for row in first["programs"] for stage in compile_times.STAGES
    )
    assert 0 < stages < first["seconds"]
    assert sum(row["compiled"] for row in first["programs"]) > 0
    assert repeated["programs"] == []
    printed = capsys.readouterr().out
    assert "first nearest" in printed
    assert first["programs"][0]["program"] in printed


# Small real data beside scikit-learn

PEERS = [(loss, name) for loss, names in small_data.PEERS.items() for name in names]


def at_peer(name, loss, classes=3, *, of_optimum=1.0, **settings):
    """Result of a peer on a problem of equal weights, which all peers take."""
    _, made, exact = weighted_problem(loss, classes)
    exact = exact._replace(weights=np.full(25, 1 / 25))
    return small_data.peer_result(
        name,
        Data(made.rows, made.targets, np.ones(25)),
        loss=loss,
        l2=1e-2,
        objective=of_optimum * optima.optimum(exact).value,
        config=dataclasses.replace(small_data.Config(), repeats=2, **settings),
    )


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("loss", "name"), PEERS)
def test_peers_come_to_the_optimum_of_our_objective(loss, name, classes):
    """A constant converted wrongly would lead elsewhere."""
    found = at_peer(name, loss, classes)
    assert -1e-9 <= found["distance"] <= 1e-6
    assert found["seconds"] > 0
    assert 0 < found["tolerance"] <= 0.1


def test_a_peer_that_stays_above_is_not_timed():
    found = at_peer(
        *("lbfgs", "softmax_cross_entropy"), of_optimum=0.9, peer_seconds=1e-9
    )
    assert found["seconds"] is None
    assert found["distance"] >= 1 / 0.9 - 1 - 1e-9
    assert found["tolerance"] == 0.1


def test_small_data_hold_what_was_proven(tmp_path, capsys):
    config = dataclasses.replace(
        smoke_of("small_data"), losses=("softmax_cross_entropy",), l2=(1e-2, 1e-1)
    )
    rows = run_any("small_data", config, out=tmp_path / "run")
    assert [row["l2"] for row in rows] == [1e-2, 1e-1]
    for row in rows:
        assert row["converged"]
        assert row["relative_gap"] <= config.relative_gap
        assert set(row["peers"]) == {"lbfgs", "newton-cg", "newton-cholesky"}
        fastest = min(peer["seconds"] for peer in row["peers"].values())
        assert row["ratio"] == pytest.approx(row["seconds"] / fastest)
        # Both are near the optimum, so near one another.
        assert max(abs(p["distance"]) for p in row["peers"].values()) <= 2e-6
    printed = capsys.readouterr().out
    assert "standardised softmax_cross_entropy  2 of 2" in printed
    assert "nan" not in printed


# Random problems


def test_random_problems_keep_their_limits_and_are_of_all_kinds():
    config = random_problems.Config()
    drawn = [random_problems.draw(config, index) for index in range(120)]
    for index, (settings, arguments) in enumerate(drawn):
        rows, labels, weights = (
            arguments[name] for name in ("features", "labels", "weights")
        )
        assert rows.shape == (settings["n"], settings["D"])
        assert rows.dtype == (np.float64 if settings["float64"] else np.float32)
        smallest_gap = 1e-9 if settings["float64"] else 1e-6
        for name, least, most in (
            *(("n", 1, 300), ("D", 1, 60), ("C", 2, 12)),
            *(("l2", 1e-5, 1e-1), ("asked", smallest_gap, 1e-3)),
        ):
            assert least <= settings[name] <= most, (index, name)
        assert weights.min() >= 0
        if settings["loss"] == "cross_entropy":
            np.testing.assert_array_equal(labels.sum(axis=1), np.ones(len(rows)))
            assert labels.min() >= 0
        else:
            assert len(set(labels[weights > 0])) >= 2
            assert set(labels) <= set(arguments["classes"])
        # The same strength relative to features of mean square 1.
        unit = np.mean(np.square(rows, dtype=np.float64))
        unit = 1 if settings["standardised"] else unit
        assert arguments["l2"] == pytest.approx(unit * settings["l2"], rel=1e-5)
    again, same = random_problems.draw(config, 119)
    assert again == settings
    np.testing.assert_array_equal(same["features"], rows)
    for name in ("float64", "standardised", "weighted", "duplicated", "constant"):
        assert {settings[name] for settings, _ in drawn} == {True, False}
    assert {settings["loss"] for settings, _ in drawn} == set(random_problems.LOSSES)
    assert any((arguments["weights"] == 0).any() for _, arguments in drawn)


def test_a_run_repeats_one_random_problem(tmp_path, capsys):
    config = dataclasses.replace(random_problems.SMOKE, only=4)
    (row,) = run_any("random_problems", config, out=tmp_path / "run")
    settings, _ = random_problems.draw(config, 4)
    assert {name: row[name] for name in settings} == settings
    assert row["loss"] == "softmax_cross_entropy"
    assert row["proven"]
    assert not row["false"]
    assert row["relative_gap"] <= row["asked"]
    assert row["first_seconds"] >= row["seconds"] > 0
    assert "100.0%" in capsys.readouterr().out


def test_the_report_of_random_problems_names_what_fell_short():
    row = {
        **{"index": 7, "loss": "cross_entropy", "l2": 2e-3, "proven": True},
        **{"false": False, "true_share": 0.5, "first_seconds": 1.0},
        **{"seconds": 0.1, "passes": 30},
    }
    rows = [
        row,
        row | {"index": 13, "proven": False, "passes": 90},
        row | {"index": 19, "false": True, "l2": 2e-5, "true_share": 1.5},
        row | {"index": 20, "loss": "one_vs_rest_hinge", "passes": 50},
    ]
    lines = random_problems.report(random_problems.Config(), rows).splitlines()
    cells = {line[:20].strip(): line.split() for line in lines[1:6]}
    assert cells["all"][1:5] == ["4", "75.0%", "1", "1.50"]
    assert cells["all"][-3:] == ["40", "78", "90"]  # 30 30 50 90
    assert cells["cross_entropy"][1] == "3"
    assert cells["l2 from 1e-05"][3:6] == ["1", "100.0%", "1"]
    assert [line.split("  ")[0] for line in lines[6:]] == [
        "not proven: --only 13",
        "false: --only 19",
    ]
