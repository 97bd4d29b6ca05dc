"""The sweep's benchmark: a whole run at the size of a smoke test, and its peer."""

import dataclasses

import numpy as np
import pytest
from run_helpers import run_study

pytest.importorskip("sklearn")

import jaxlin
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_sweep import gradient, peer
from experiments.benchmark_sweep.config import SMOKE
from experiments.common import timing
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


@pytest.mark.full
def test_gradients_are_held_against_the_floor(finished_study):
    found = finished_study("benchmark_sweep").run.numbers("gradient")
    gradients = {one["name"]: one for one in found["rows"]}
    assert max(one["difference"] for one in gradients.values()) < 1e-5
    rate = 1e9 * max(found["gflop_per_s"].values())
    # Forward and backward: a product and a sum for each weight of each row.
    slowest = 2 * 2 * 1297 * 65 * 10 / rate
    assert found["floor"] == pytest.approx(slowest)
    for name in (gradient.OURS, gradient.PLAIN):
        times = gradients[name]["seconds"] / slowest
        assert gradients[name]["times_floor"] == pytest.approx(times)
    assert gradients[gradient.OURS]["times_ours"] == 1


def test_tasks_take_turns(monkeypatch):
    done, now = [], [0.0]

    def task(name, seconds):
        def work():
            done.append(name)
            now[0] += seconds

        return work

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(timing.time, "sleep", lambda _: done.append("sleep"))
    tasks = {"a": task("a", 2.0), "b": task("b", 3.0)}
    found = timing.interleaved(tasks, rounds=2, settle_s=1.0, warm_ups=1, calls=2)
    assert found == {"a": [2.0, 2.0], "b": [3.0, 3.0]}
    assert done == 2 * ["sleep", "a", "a", "a", "sleep", "b", "b", "b"]


def test_other_gradients_are_not_timed():
    one = np.ones((2, 3))
    assert gradient._differences({gradient.OURS: one, "same": one})["same"] == 0
    with pytest.raises(RuntimeError, match="not the same gradient as ours: other"):
        gradient._differences({gradient.OURS: one, "other": 1.01 * one})
