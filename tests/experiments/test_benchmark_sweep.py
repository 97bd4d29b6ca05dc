"""The sweep's benchmark: a whole run at the size of a smoke test, and its peer."""

import dataclasses

import numpy as np
import pytest
from run_helpers import run_study

pytest.importorskip("sklearn")

import jaxlin
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_sweep import peer
from experiments.benchmark_sweep.config import SMOKE
from jaxlin import losses
from jaxlin.normalization import Normalization


@pytest.mark.full
def test_what_a_run_measures(finished_study):
    run = finished_study("benchmark_sweep").run
    rows = run.numbers("rate")["rows"]
    assert [row["models"] for row in rows] == [1, 4, 1, 4]
    assert all(row["share_of_rate"] > 0 for row in rows)
    found = run.numbers("folds")
    assert found["models"] == found["certified"] == 2 * 3 * 2
    assert found["paid"] >= found["evaluations"]
    expected = found["paid"] / (3 * sum(found["alone_of_one_fold"]))
    assert found["paid_over_alone"] == pytest.approx(expected)
    is_about_c(run)


@pytest.mark.full
def test_parts_that_are_not_asked_for_are_not_measured(tmp_path):
    config = dataclasses.replace(SMOKE, what=("cs",))
    run = run_study("benchmark_sweep", config, out=tmp_path / "run").run
    assert list(run.folder.read_json("results.json")["parts"]) == ["cs"]
    is_about_c(run)


def is_about_c(run):
    """Values of C against scikit-learn."""
    cs = run.numbers("cs")
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
    page = (run.folder.path / "report.html").read_text()
    assert "faster than scikit-learn" in page


def test_the_peer_of_two_classes_is_judged_at_our_l2():
    """It keeps one row of weights, and its penalty is twice that of ours."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 5)).astype(np.float32)
    labels = (features[:, 0] + generator.normal(size=60) > 0).astype(int)
    unchanged = Normalization(np.zeros(5, np.float32), np.ones((), np.float32))
    rows = Rows(features, labels, unchanged, 2)
    found = peer.fit(rows, rows.extended(), 0.05, tol=1e-10)
    ours = jaxlin.fit(
        features,
        labels,
        loss=losses.softmax_cross_entropy,
        l2=2 / (0.05 * 60),
        stop=jaxlin.Stop(1e-4),
    )
    assert found["objective"] == pytest.approx(ours.certificate.primal, rel=2e-4)
