"""The sweep's benchmark: a whole run at the size of a smoke test, and its peer."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

import jaxlin
from experiments.benchmark_sweep import __main__ as command
from experiments.benchmark_sweep import peer
from experiments.benchmark_sweep.config import SMOKE, Config, checked
from jaxlin import data, losses


@pytest.mark.full
def test_a_smoke_run_measures_every_part(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["benchmark", "--smoke", "--out", str(folder)])
    command.main()
    assert capsys.readouterr().out.splitlines()[-1].endswith("report.html")
    results = json.loads((folder / "results.json").read_text())
    widths = [row["models"] for row in results["rate"]["rows"]]
    assert widths == [1, 4, 1, 4]
    assert all(row["share_of_rate"] > 0 for row in results["rate"]["rows"])
    found = results["folds"]
    assert found["models"] == found["certified"] == 2 * 3 * 2
    assert found["paid"] >= found["evaluations"]
    expected = found["paid"] / (3 * sum(found["alone_of_one_fold"]))
    assert found["paid_over_alone"] == pytest.approx(expected)
    is_about_c(results["cs"], folder)
    # A run that is resumed measures nothing twice.
    before = (folder / "cs.json").stat().st_mtime_ns
    (folder / "folds.json").unlink()
    monkeypatch.setattr(sys, "argv", ["benchmark", "--resume", str(folder)])
    command.main()
    assert (folder / "cs.json").stat().st_mtime_ns == before
    assert (folder / "folds.json").exists()


@pytest.mark.full
def test_values_of_c_against_scikit_learn(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    command_line = ["benchmark", "--smoke", "--what", "cs", "--out", str(folder)]
    monkeypatch.setattr(sys, "argv", command_line)
    command.main()
    results = json.loads((folder / "results.json").read_text())
    assert list(results) == ["cs"]
    is_about_c(results["cs"], folder)


def is_about_c(cs, folder):
    assert [row["c"] for row in cs["rows"]] == sorted(SMOKE.cs)
    for row in cs["rows"]:
        assert row["l2"] == pytest.approx(1 / (row["c"] * 1297))
    for one in cs["peers"]:
        # Both solve one problem: neither is far below the other.
        assert one["equal"]["objective"] == pytest.approx(
            one["ours"]["objective"], rel=5e-3
        )
    # Digits are easy: its defaults end there too, up to the gap that was asked for.
    assert cs["as_low_as_default"] == len(cs["peers"])
    assert len(cs["all_seconds"]) == SMOKE.c_rounds
    assert cs["seconds"] == np.median(cs["all_seconds"])
    page = (folder / "report.html").read_text()
    assert "faster than scikit-learn" in page


def test_the_peers_objective_is_ours():
    dataset = data.load("digits")
    rows = peer.rows_of(dataset)
    weights = np.random.default_rng(0).normal(size=(10, rows.shape[1]))
    scores = rows @ weights.T
    logs = np.log(np.exp(scores).sum(axis=1))
    expected = np.mean(logs - scores[np.arange(len(rows)), dataset.train.labels])
    expected += 0.05 * (weights**2).sum()
    found = peer.objective(weights, rows, dataset.train.labels, l2=0.1)
    assert found == pytest.approx(expected)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"what": ()}, "what must name rate, folds or cs"),
        ({"cs": (0.0,)}, r"cs\[0\] must be above 0"),
        ({"rate_models": (0,)}, "rate_models must be at least 1"),
        ({"folds": 1}, "folds must be at least 2"),
        ({"peer_fits": 99}, "peer_fits must be at most 45"),
    ],
)
def test_bad_configs(changes, words):
    with pytest.raises(ValueError, match=words):
        checked(Config(**changes))


def test_the_peer_of_two_classes_is_judged_at_our_l2():
    """It keeps one row of weights, and its penalty is twice that of ours."""
    generator = np.random.default_rng(0)
    rows = np.c_[generator.normal(size=(60, 5)), np.ones(60)].astype(np.float32)
    labels = (rows[:, 0] + generator.normal(size=60) > 0).astype(int)
    found = peer.fit(rows, labels, 0.05, tol=1e-10)
    ours = jaxlin.fit(
        rows[:, :-1],
        labels,
        loss=losses.softmax_cross_entropy,
        l2=2 / (0.05 * 60),
        stop=jaxlin.Stop(1e-4),
    )
    assert found["objective"] == pytest.approx(ours.certificate.primal, rel=2e-4)
