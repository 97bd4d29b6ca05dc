"""Small real data beside scikit-learn."""

import dataclasses

import numpy as np
import optima
import pytest
from exact_problems import problem

from experiments import small_data
from experiments.common import cli, measurements
from experiments.common.numpy_objective import Data

MADE = small_data.MEASUREMENTS
CONFIG = dataclasses.replace(small_data.Config(), repeats=2)
PEERS = [(loss, name) for loss, names in small_data.PEERS.items() for name in names]


def unweighted(loss, classes):
    """A problem of equal weights, which all peers take, and its exact optimum."""
    _, data, exact = problem(loss, classes)
    exact = exact._replace(weights=np.full(25, 1 / 25))
    return Data(data.rows, data.targets, np.ones(25)), optima.optimum(exact).value


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize(("loss", "name"), PEERS)
def test_peers_come_to_the_optimum_of_our_objective(loss, name, classes):
    """A constant converted wrongly would lead elsewhere."""
    data, least = unweighted(loss, classes)
    found = small_data.peer_result(
        name, data, loss=loss, l2=1e-2, objective=least, config=CONFIG
    )
    assert -1e-9 <= found["distance"] <= 1e-6
    assert found["seconds"] > 0
    assert 0 < found["tolerance"] <= 0.1


def test_a_peer_that_stays_above_is_not_timed():
    data, least = unweighted("softmax_cross_entropy", 3)
    hurried = dataclasses.replace(CONFIG, peer_seconds=1e-9)
    found = small_data.peer_result(
        "lbfgs",
        data,
        **{"loss": "softmax_cross_entropy", "l2": 1e-2, "objective": 0.9 * least},
        config=hurried,
    )
    assert found["seconds"] is None
    assert found["distance"] >= 1 / 0.9 - 1 - 1e-9
    assert found["tolerance"] == 0.1


def test_a_run_holds_what_was_proven(tmp_path, capsys):
    config = dataclasses.replace(
        MADE.smoke, losses=("softmax_cross_entropy",), l2=(1e-2, 1e-1)
    )
    rows = measurements.run(MADE, config, cli.RunOptions(out=tmp_path / "run"))
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
