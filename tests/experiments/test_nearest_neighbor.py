"""Nearest neighbours: the numbers of a run, by hand."""

import dataclasses
import json

import numpy as np
import pytest
from run_helpers import run_study, table

from experiments.nearest_neighbor import (
    choosing,
    contrast,
    draws,
    local,
    measure,
    noise,
    summary,
)
from experiments.nearest_neighbor.config import SMOKE, settle
from jaxlin import data, losses, neighbors
from jaxlin.neighbors import distances
from jaxlin.selection import folds

# The program of a run takes half a minute to compile.
pytestmark = pytest.mark.full

PARTS = [
    "search_euclidean_all",
    "search_manhattan_all",
    "test",
    "time",
    "noise_0",
    "noise_1",
    "contrast",
    "summary",
]


@pytest.fixture(scope="module")
def smoke(finished_study):
    """A run."""
    return finished_study("nearest_neighbor").run


@pytest.fixture(scope="module")
def small():
    """The data of the smoke run."""
    dataset = data.load("digits")
    return draws.reduced(settle(SMOKE, dataset), dataset)


def brute_force(rows, queries, power):
    """Distances one pair at a time, float64."""
    apart = np.abs(queries[:, None].astype(float) - rows[None].astype(float))
    return np.sum(apart**power, axis=2) ** (1 / power)


def voted(distances, labels, k, weigh):
    """What the k nearest of each query say, one query after the other."""
    found = []
    for row in distances:
        order = np.argsort(row, kind="stable")[:k]
        votes = np.bincount(labels[order], weights=weigh(row[order]), minlength=10)
        found.append(votes.argmax())
    return np.array(found)


def by_inverse(some):
    return (some == 0) * 1.0 if some[0] == 0 else 1 / some


def test_what_a_run_says(smoke):
    assert list(measure.parts(smoke.config)) == PARTS
    out = smoke.folder.path
    page = (out / "report.html").read_text()
    names = "metrics weightings confusion neighbors time noise contrast"
    found = {path.name for path in (out / "figures").iterdir()}
    assert found == {f"{name}.png" for name in names.split()}
    for title in summary.TITLES.values():
        assert f"<td>{title}</td>" in page
    # Numbers of examples that were used, not those that were asked for.
    config = json.loads((out / "config.json").read_text())
    assert config["subsample"] == 300
    rows = table(out)
    assert len(rows) == 2 * 3 * len(SMOKE.ks)
    best = max(rows, key=lambda row: float(row["accuracy"]))
    (chosen,) = (row for row in rows if row["chosen"] == "True")
    assert chosen["accuracy"] == best["accuracy"]


def test_the_images_shown_are_the_first_of_each_kind(smoke, small):
    shown, arrays = smoke.numbers("test")["neighbors"], smoke.arrays("test")
    names = small.class_names
    right = arrays["chosen"] == arrays["label"]
    first = [*np.flatnonzero(right)[:4], *np.flatnonzero(~right)[:4]]
    assert len(shown) == len(arrays["images"]) == len(first)
    for one, images, row in zip(shown, arrays["images"], first, strict=True):
        assert one["class"] == names[arrays["label"][row]]
        assert one["answer"] == names[arrays["chosen"][row]]
        near = arrays["shown"][row]
        assert one["near"] == [names[label] for label in small.train.labels[near]]
        np.testing.assert_array_equal(images[0].ravel(), small.test.features[row])
        np.testing.assert_array_equal(
            images[1:].reshape(6, -1), small.train.features[near]
        )


@pytest.mark.parametrize(("metric", "power"), [("euclidean", 2), ("manhattan", 1)])
def test_cross_validation_by_hand(smoke, small, metric, power):
    """Rows of the other folds cut out, every pair, query after query."""
    rows, labels = small.train
    key = draws.key_of(SMOKE, draws.FOLDS)
    fold_ids = folds.stratified_k_fold(key, labels, num_folds=SMOKE.folds)
    record = smoke.numbers(f"search_{metric}_all")
    apart = brute_force(rows, rows, power)
    inside = [
        np.min(apart[i][fold_ids != fold_ids[i]], initial=np.inf)
        for i in range(len(rows))
    ]
    scale = np.median([one for one in inside if one > 0])
    assert record["scale"] == pytest.approx(scale)
    width = 0.3 * scale
    weighings = {
        "uniform": np.ones_like,
        "inverse distance": by_inverse,
        "Gaussian, bandwidth 0.3": lambda some: np.exp(
            -(some**2 - some[0] ** 2) / (2 * width**2)
        ),
    }
    assert record["weightings"] == list(weighings)
    for place, weigh in enumerate(weighings.values()):
        for number, k in enumerate(SMOKE.ks):
            for fold in range(SMOKE.folds):
                held_out = fold_ids == fold
                answers = voted(
                    apart[held_out][:, ~held_out], labels[~held_out], k, weigh
                )
                expected = np.mean(answers == labels[held_out])
                assert record["accuracy"][place][number][fold] == pytest.approx(
                    expected
                )


def test_the_test_by_hand(smoke, small):
    stats = pytest.importorskip("scipy.stats")
    linear_model = pytest.importorskip("sklearn.linear_model")
    found, answers = smoke.numbers("summary"), smoke.arrays("test")
    train, test = small.train, small.test
    np.testing.assert_array_equal(answers["label"], test.labels)
    apart = {
        power: brute_force(train.features, test.features, power) for power in (1, 2)
    }
    for power, name in ((2, "1-NN euclidean"), (1, "1-NN manhattan")):
        nearest = apart[power].argmin(axis=1)
        np.testing.assert_array_equal(answers[name], train.labels[nearest])
    chosen = found["chosen"]
    power = {"euclidean": 2, "manhattan": 1}[chosen["metric"]]
    order = np.argsort(apart[power], axis=1, kind="stable")
    np.testing.assert_array_equal(answers["shown"], order[:, :6])
    for name, one in found["test"].items():
        right = int((answers[name] == test.labels).sum())
        assert one["right"] == right
        interval = stats.binomtest(right, len(test.labels)).proportion_ci(
            method="wilson"
        )
        assert one["interval"] == pytest.approx(list(interval))
    # The bias is that of a column of ones, penalised.
    mean = train.features.mean(axis=0)
    rows, queries = (
        np.hstack([(some - mean) / 16, np.ones((len(some), 1))])
        for some in (train.features, test.features)
    )
    fit = linear_model.LogisticRegression(
        C=1 / (SMOKE.l2 * len(rows)), fit_intercept=False, tol=1e-8, max_iter=5000
    ).fit(rows, train.labels)
    expected = fit.score(queries, test.labels)
    assert found["test"]["linear"]["accuracy"] == pytest.approx(expected, abs=0.011)
    assert found["linear"]["converged"]


def test_noise_by_hand(smoke, small):
    """Level 0 and the last of the first repeat, by scikit-learn."""
    knn = pytest.importorskip("sklearn.neighbors")
    linear_model = pytest.importorskip("sklearn.linear_model")
    record = smoke.numbers("noise_0")
    everything = noise.drawn(settle(SMOKE, data.load("digits")), small, 0)
    assert everything.rows.shape == (100, 64 + 64)
    assert everything.is_held_out.sum() == 20
    size = np.sqrt(np.mean(everything.rows[:, :64] ** 2))
    assert everything.rows[:, 64:].std() == pytest.approx(size, rel=0.05)
    for place, amount in enumerate(SMOKE.noise_features):
        level = noise.with_noise(everything, 64, amount)
        np.testing.assert_array_equal(level.rows[:, :64], everything.rows[:, :64])
        width = 64 + amount
        assert not level.rows[:, width:].any()
        rows, tests = level.rows[:, :width], level.tests[:, :width]
        part = ~level.is_held_out

        def score(k, some, judged, rows=rows, level=level):
            model = knn.KNeighborsClassifier(k).fit(rows[some], level.labels[some])
            return model.score(*judged)

        held_out = (rows[~part], level.labels[~part])
        k = max(SMOKE.ks, key=lambda k: (score(k, part, held_out), -k))
        assert record["k"][place] == k
        truth = (tests, level.test_labels)
        all_of_them = slice(None)
        assert record["nearest"][place] == pytest.approx(score(k, all_of_them, truth))
        one = score(1, all_of_them, truth)
        assert record["one_nearest"][place] == pytest.approx(one)
        ones = np.ones((len(rows), 1))
        fit = linear_model.LogisticRegression(
            C=1 / (record["l2"][place] * len(rows)), fit_intercept=False, max_iter=5000
        ).fit(np.hstack([rows, ones]), level.labels)
        expected = fit.score(np.hstack([tests, ones[: len(tests)]]), level.test_labels)
        assert record["linear"][place] == pytest.approx(expected, abs=0.021)


def test_contrast_by_hand():
    random = np.random.default_rng(0)
    points, queries = random.normal(size=(100, 64)), random.normal(size=(20, 64))
    points, queries = points.astype(np.float32), queries.astype(np.float32)
    apart = brute_force(points, queries, 2)
    expected = np.sort((apart.max(axis=1) - apart.min(axis=1)) / apart.min(axis=1))
    found = contrast.of_rows(points, queries)
    assert found["low"] == pytest.approx(expected[5], rel=1e-5)
    assert np.isclose(found["median"], expected[9:11], rtol=1e-5).any()
    assert found["high"] == pytest.approx(expected[14], rel=1e-5)
    queries[:11] = points[:11]
    assert contrast.of_rows(points, queries)["median"] == np.inf


@pytest.mark.full
def test_local_fits_by_hand(small, tmp_path):
    """The votes query after query; the linear one as the library's with k cut off."""
    config = dataclasses.replace(
        settle(SMOKE, data.load("digits")), local_queries=30, local_ks=(2, 12)
    )
    record = local.measured(
        config, small, choosing.Setting("euclidean", "uniform", 1, 1.0)
    )
    rows, labels = small.train
    asked = np.zeros(300, bool)
    asked[draws.any_of(draws.key_of(config, draws.LOCAL), 300, 30)] = True
    apart = brute_force(rows[~asked], rows[asked], 2)
    width = config.local_bandwidth * np.median(apart.min(axis=1))
    assert record["bandwidth"] == pytest.approx(width)
    found = neighbors.nearest(
        rows[~asked], rows[asked], metric=distances.euclidean, k=12
    )

    def gaussian(some):
        return np.exp(-(some**2 - some[0] ** 2) / (2 * width**2))

    for place, k in enumerate((2, 12)):
        for name, weigh in ((local.MAJORITY, np.ones_like), (local.VOTE, gaussian)):
            answers = voted(apart, labels[~asked], k, weigh)
            expected = (answers == labels[asked]).astype(int)
            assert record["right"][name][place] == expected.tolist()
        scores = neighbors.local_fit(
            neighbors.Neighbors(*(some[:, :k] for some in found)),
            rows[~asked].astype(np.float32) / 16,
            labels[~asked],
            rows[asked].astype(np.float32) / 16,
            num_classes=10,
            fit=neighbors.linear_classifier(loss=losses.softmax_cross_entropy),
            fit_arguments={"l2": config.local_l2},
            weighting=neighbors.gaussian,
            weighting_arguments={"bandwidth": width},
        )
        expected = scores.argmax(axis=1) == labels[asked]
        assert np.mean(record["right"][local.LINEAR][place] != expected) <= 1 / 30


@pytest.mark.full
def test_rows_that_are_no_images(tmp_path):
    """Float features; whole copies of test rows among the training rows."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 8)).astype(np.float32)
    labels = np.arange(300) % 3
    rows[:, 0] += 3 * labels
    np.savez(
        tmp_path / "vectors.npz",
        x_train=rows,
        y_train=labels,
        x_test=rows[:100],
        y_test=labels[:100],
    )
    config = dataclasses.replace(
        SMOKE,
        dataset=str(tmp_path / "vectors.npz"),
        metrics=("cosine", "mahalanobis"),
        on_all=(),
        local_ks=(2, 5),
        contrast_examples=300,
    )
    run = run_study("nearest_neighbor", config, out=tmp_path / "run").run
    assert (tmp_path / "run" / "figures" / "local.png").exists()
    found = run.numbers("summary")
    assert found["test"]["1-NN euclidean"]["accuracy"] == 1.0
    assert found["contrast"]["whole"]["median"] is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The rows of this data set are not images." in page
    assert "have a copy among the training rows" in " ".join(page.split())
