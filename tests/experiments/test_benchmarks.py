"""Benchmarks of probes, neighbours and sweeps: their numbers, and peers that agree."""

import dataclasses

import numpy as np
import pytest
from run_helpers import run_any, run_study, smoke_of

pytest.importorskip("sklearn")

import jaxlin
from experiments import benchmark_probes
from experiments.benchmark_neighbors import peers
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_sweep import gradient, peer
from experiments.common import sklearn_models, timing
from experiments.common.numpy_objective import Data, objective
from jaxlin import losses, neighbors
from jaxlin.neighbors import distances

# Probes

PROBES, SWEEP = smoke_of("benchmark_probes"), smoke_of("benchmark_sweep")


@pytest.fixture(scope="module")
def embeddings():
    return benchmark_probes.embeddings(*PROBES.shapes[0], seed=0)


def extended(rows, labels):
    """Rows with the constant 1, as a peer gets them."""
    ones = np.ones(len(rows), rows.dtype)
    return Data(np.c_[rows, ones], labels, ones)


def ours_and_peer(solver, embeddings, l2s, config=PROBES):
    """Our objectives at some l2s, and what was measured of a peer there."""
    ours = benchmark_probes.sweep_times(*embeddings, l2s, config)["objectives"]
    given = (solver, extended(*embeddings), l2s, ours, config)
    return ours, benchmark_probes.peer_times(*given)


@pytest.fixture
def models(monkeypatch):
    """A function that changes the settings of scikit-learn; the models it then made."""
    made, model_of = [], benchmark_probes.sklearn_models.logistic_regression

    def change(changed):
        def model(labels, **settings):
            made.append(model_of(labels, **changed(settings)))
            return made[-1]

        where = benchmark_probes.sklearn_models
        monkeypatch.setattr(where, "logistic_regression", model)
        return made

    return change


def test_embeddings_are_standardised_imbalanced_and_of_their_seed():
    rows, labels = benchmark_probes.embeddings(5000, 6, 4, seed=3)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(rows.std(axis=0), 1, rtol=1e-5)
    expected = 1 / (5 + np.arange(4))
    shares = np.bincount(labels) / 5000
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.03)
    again, _ = benchmark_probes.embeddings(5000, 6, 4, seed=3)
    np.testing.assert_array_equal(rows, again)
    other, _ = benchmark_probes.embeddings(5000, 6, 4, seed=4)
    assert not np.array_equal(rows, other)


def test_the_peer_minimises_our_objective(embeddings, models):
    """Given all the iterations that it needs; a wrong C would lead elsewhere."""
    made = models(lambda settings: settings | {"tol": 1e-8, "max_iter": 10_000})
    l2s, config = (1e-1, 1e-3), dataclasses.replace(PROBES, peer_step=1)
    ours, found = ours_and_peer("lbfgs", embeddings, l2s, config)
    assert (found["fitted"], found["at_limit"], found["within"]) == (2, 0, 2)
    assert found["seconds_to_gap"] == found["seconds"]
    data = extended(*embeddings)
    for model, l2, mine in zip(made, l2s, ours, strict=True):
        weights, loss = model.coef_.astype(float), "softmax_cross_entropy"
        theirs = objective(weights, data, loss=loss, l2=l2)
        assert theirs <= mine * (1 + 1e-6)
        assert mine <= theirs * (1 + config.relative_gap)


def test_an_answer_that_is_far_off_costs_more_iterations_to_the_gap(
    embeddings, monkeypatch
):
    """One iteration at the defaults."""
    monkeypatch.setattr(benchmark_probes, "_DEFAULT_ITERATIONS", 1)
    _, found = ours_and_peer("lbfgs", embeddings, (1e-3,))
    assert (found["at_limit"], found["within"], found["reached"]) == (1, 0, 1)
    assert found["distances"][0] > 1e-2
    monkeypatch.setattr(benchmark_probes, "_LEAST_TOLERANCE", 1e-4)
    _, found = ours_and_peer("lbfgs", embeddings, (1e-3,))
    assert (found["reached"], found["seconds_to_gap"]) == (0, None)


@pytest.mark.parametrize(
    ("solver", "module"), [("intelex", "sklearnex"), ("torch", "torch")]
)
def test_other_libraries_minimise_the_same_objective(embeddings, solver, module):
    pytest.importorskip(module, reason="an optional peer")
    _, found = ours_and_peer(solver, embeddings, (1e-2, 1e-3))
    assert found["reached"] == found["fitted"]
    assert min(found["distances"]) > -1e-3


def test_a_peer_that_needs_too_much_memory_is_left_out(embeddings, monkeypatch):
    monkeypatch.setattr(benchmark_probes, "_MAX_CHOLESKY", 26)
    assert ours_and_peer("newton-cholesky", embeddings, (1e-2,))[1] is None
    monkeypatch.setattr(benchmark_probes, "_MAX_CHOLESKY", 27)
    found = ours_and_peer("newton-cholesky", embeddings, (1e-2,))[1]
    assert found["fitted"] == 1


@pytest.mark.full
def test_split_products_are_asked_for_and_find_the_same_optima(embeddings):
    """On a CPU, which computes the six products of bfloat16 in float32."""
    split = dataclasses.replace(PROBES, products="BF16_BF16_F32_X6")
    l2s = (1e-1, 1e-2)
    ours, found = (
        benchmark_probes.sweep_times(*embeddings, l2s, config)["objectives"]
        for config in (PROBES, split)
    )
    np.testing.assert_allclose(found, ours, rtol=1e-3)


def test_a_run_has_a_line_per_shape(tmp_path, capsys):
    (found,) = run_any("benchmark_probes", out=tmp_path / "run")
    ours, theirs = found["ours"], found["peers"]["lbfgs"]
    assert found["shape"] == list(PROBES.shapes[0])
    assert ours["proven"] == 4
    assert ours["largest_gap"] <= 1e-3
    for ratio, seconds in (("ratio", "seconds"), ("ratio_to_gap", "seconds_to_gap")):
        assert found[ratio] == pytest.approx(theirs[seconds] / ours["seconds"])
    assert "300 x 8 x 3" in capsys.readouterr().out


# A protocol

PROTOCOL = smoke_of("benchmark_protocol")


def test_both_answers_of_a_protocol_are_the_optimum(tmp_path, capsys):
    """scikit-learn has all the iterations that it needs."""
    config = dataclasses.replace(PROTOCOL, max_iterations=10_000)
    (found,) = run_any("benchmark_protocol", config, out=tmp_path / "run")
    times = [value["seconds"] for value in found["values"]]
    assert found["ratio"] == pytest.approx(sum(times) / found["seconds"])
    assert [value["c"] for value in found["values"]] == sorted(
        value["c"] for value in found["values"]
    )
    for value in found["values"]:
        assert value["relative_gap"] <= PROTOCOL.relative_gap
        assert not value["is_at_limit"]
        assert value["labels_that_differ"] <= 1
        assert value["accuracy"] == pytest.approx(value["peer_accuracy"], abs=0.011)
    assert "300 x 8 x 3: accuracies equal at" in capsys.readouterr().out


def test_labels_of_a_fit_that_stopped_early_are_told_from_the_optimum(tmp_path):
    # A free bias certifies fewer labels.
    config = dataclasses.replace(PROTOCOL, max_iterations=2, bias="penalized")
    (found,) = run_any("benchmark_protocol", config, out=tmp_path / "run")
    # Of the weakest penalty, some labels of the optimum are hard to certify.
    *_, early, _ = found["values"]
    assert early["is_at_limit"]
    assert early["labels_that_differ"] > 10
    assert early["ours_is_the_optimum"] == early["labels_that_differ"]
    assert early["theirs_is_the_optimum"] == 0
    assert 0.01 < early["distance_at_least"] <= early["distance_at_most"]


@pytest.mark.parametrize("num_classes", [2, 3])
def test_weights_of_a_model_with_an_intercept(num_classes):
    rows, labels = benchmark_probes.embeddings(200, 4, num_classes, seed=0)
    model = sklearn_models.logistic_regression(labels, l2=1e-2, fit_intercept=True)
    model.fit(rows, labels)
    scores = np.c_[rows, np.ones(200)] @ sklearn_models.weights_of(model).T
    np.testing.assert_array_equal(scores.argmax(axis=1), model.predict(rows))
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        odds / odds.sum(axis=1, keepdims=True), model.predict_proba(rows), rtol=1e-5
    )


# Neighbours


@pytest.mark.full
def test_what_a_run_of_neighbours_measures(finished_study):
    run = finished_study("benchmark_neighbors").run
    for name in ("l2", "l1"):
        ours, theirs = run.numbers(name)["searches"]
        assert (ours["who"], ours["times_ours"]) == ("jaxlin", 1.0)
        times = theirs["seconds"] / ours["seconds"]
        assert theirs["times_ours"] == pytest.approx(times)
        # Ties go elsewhere in scikit-learn.
        assert theirs["same_neighbours"] > 0.8
        grown = run.numbers("memory")[name]["grown_mb"]
        assert grown is None or grown < 300
    assert run.numbers("recall")["recall"] > 0.9
    # One neighbour does well on digits: 98 % of 500.
    for one in run.numbers("accuracy").values():
        assert 480 < one["right"] < 500
        assert one["accuracy"] == one["right"] / one["of"]
        low, high = one["interval"]
        assert low < one["accuracy"] < high


METRICS = {"l2": distances.squared_euclidean, "l1": distances.manhattan}


@pytest.mark.parametrize("distance", METRICS)
@pytest.mark.parametrize("name", ["faiss", "faiss_uint8", "sklearn"])
def test_the_peers_search_for_the_same(name, distance):
    if name == "faiss_uint8" and distance == "l1":
        assert peers.faiss_uint8(np.eye(3), distance="l2", k=1) is None
        assert peers.faiss_uint8(np.eye(3, dtype=np.uint8), distance="l1", k=1) is None
        return
    if name != "sklearn":
        pytest.importorskip("faiss")
    rows = np.random.default_rng(0).integers(0, 256, (200, 30), dtype=np.uint8)
    ours = neighbors.nearest(rows, rows[:9], metric=METRICS[distance], k=4)
    theirs = peers.PEERS[name](rows, distance=distance, k=4)(rows[:9])
    np.testing.assert_array_equal(theirs[0], ours.distances)


@pytest.mark.full
@pytest.mark.cifar10
@pytest.mark.parametrize(("distance", "published"), [("l2", 0.354), ("l1", 0.386)])
def test_one_neighbour_on_all_of_cifar10(real_cifar10, distance, published):
    """The published accuracies of raw pixels: CS231n, 35.4 % (L2) and 38.6 % (L1)."""
    (rows, labels), (queries, truth) = real_cifar10.train, real_cifar10.test
    found = neighbors.nearest(rows, queries, metric=METRICS[distance], k=1)
    right = np.mean(labels[found.indices[:, 0]] == truth)
    assert right == pytest.approx(published, abs=1e-3)


# Sweeps


@pytest.mark.full
def test_what_a_run_of_sweeps_measures(finished_study):
    run = finished_study("benchmark_sweep").run
    rows = run.numbers("rate")["rows"]
    assert [row["models"] for row in rows] == [1, 4, 1, 4]
    assert all(row["share_of_rate"] > 0 for row in rows)
    found = run.numbers("folds")
    assert found["models"] == found["certified"] == 2 * 3 * 2
    assert found["paid"] >= found["passes"]
    expected = found["paid"] / (3 * sum(found["alone_of_one_fold"]))
    assert found["paid_over_alone"] == pytest.approx(expected)
    found = run.numbers("gradient")
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


@pytest.mark.full
@pytest.mark.parametrize("what", [None, ("cs",)])
def test_values_of_c_against_scikit_learn(finished_study, tmp_path, what):
    if what is None:
        run = finished_study("benchmark_sweep").run
    else:
        config = dataclasses.replace(SWEEP, what=what)
        run = run_study("benchmark_sweep", config, out=tmp_path / "run").run
        # Parts that are not asked for are not measured.
        assert list(run.folder.read_json("results.json")["parts"]) == ["cs"]
    cs = run.numbers("cs")
    assert [row["c"] for row in cs["rows"]] == sorted(SWEEP.cs)
    for row in cs["rows"]:
        assert row["l2"] == pytest.approx(1 / (row["c"] * 1297))
    for one in cs["peers"]:
        # Both solve one problem: neither is far below the other.
        ours = one["ours"]["objective"]
        assert one["equal"]["objective"] == pytest.approx(ours, rel=5e-3)
    # Digits are easy: its defaults end there too, up to the gap that was asked for.
    assert cs["as_low_as_default"] == len(cs["peers"])
    assert len(cs["all_seconds"]) == SWEEP.c_rounds
    assert cs["seconds"] == np.median(cs["all_seconds"])
    page = (run.folder.path / "report.html").read_text()
    assert "faster than scikit-learn" in page


def test_the_peer_of_two_classes_is_judged_at_our_l2():
    """It keeps one row of weights, and its penalty is twice that of ours."""
    generator = np.random.default_rng(0)
    features = generator.normal(size=(60, 5)).astype(np.float32)
    labels = (features[:, 0] + generator.normal(size=60) > 0).astype(int)
    rows = Rows(features, labels, np.zeros(5, np.float32), np.float32(1), 2)
    found = peer.fit(rows, rows.extended(), 0.05, tol=1e-10)
    loss, l2 = losses.softmax_cross_entropy, 2 / (0.05 * 60)
    ours = jaxlin.fit(features, labels, loss=loss, l2=l2, stop=jaxlin.Stop(1e-4))
    assert found["objective"] == pytest.approx(ours.certificate.primal, rel=2e-4)


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
