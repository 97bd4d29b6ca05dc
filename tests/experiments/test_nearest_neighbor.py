"""Nearest neighbours: the numbers of a run, by hand."""

import dataclasses
import types

import numpy as np
import pytest
from run_helpers import run_study, table, write_data

from experiments.common import draws
from experiments.nearest_neighbor import contrast, local, noise, testing
from experiments.nearest_neighbor.config import FOLDS, LOCAL, SMOKE, settle
from jaxlin import data, losses, neighbors
from jaxlin.neighbors import distances
from jaxlin.selection import folds, splits

# The program of a run takes half a minute to compile.
pytestmark = pytest.mark.full

POWERS = {"euclidean": 2, "manhattan": 1}
EXACT = "1-NN, Euclidean (L2)"


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
    """Votes of the k nearest of each query, one query after the other."""
    found = []
    for row in distances:
        order = np.argsort(row, kind="stable")[:k]
        votes = np.bincount(labels[order], weights=weigh(row[order]), minlength=10)
        found.append(votes.argmax())
    return np.array(found)


def by_inverse(some):
    return (some == 0) * 1.0 if some[0] == 0 else 1 / some


def test_what_a_run_says(smoke):
    page = (smoke.folder.path / "report.html").read_text()
    assert len(smoke.numbers("test")["classifiers"]) == 4
    for one in smoke.numbers("test")["classifiers"]:
        assert f"<td>{one['title']}</td>" in page
    time = smoke.numbers("time")
    for one in time["searches"]:
        times = one["times"][-1]["median"] / time["linear"]["median"]
        assert f">{times:,.1f}<" in page
    # Numbers of examples that were used, not those that were asked for.
    assert smoke.config.subsample == 300
    rows = table(smoke.folder.path)
    assert len(rows) == 2 * 3 * len(SMOKE.ks)
    best = max(rows, key=lambda row: float(row["accuracy"]))
    (chosen,) = (row for row in rows if row["chosen"] == "True")
    assert chosen["accuracy"] == best["accuracy"]


def test_the_images_shown_are_the_first_of_each_kind(smoke, small):
    arrays, (rows, labels) = smoke.arrays("test"), small.train
    right = arrays[testing.CHOSEN] == arrays["label"]
    first = [*np.flatnonzero(right)[:4], *np.flatnonzero(~right)[:4]]
    assert list(testing.pictured(right)) == first
    power = POWERS[smoke.numbers("choice")["metric"]]
    apart = brute_force(rows, small.test.features, power)
    near = np.argsort(apart, axis=1, kind="stable")[:, :6]
    np.testing.assert_array_equal(arrays["near"], labels[near])
    for images, row in zip(arrays["images"], first, strict=True):
        np.testing.assert_array_equal(images[0].ravel(), small.test.features[row])
        np.testing.assert_array_equal(images[1:].reshape(6, -1), rows[near[row]])


@pytest.mark.parametrize(("metric", "power"), POWERS.items())
def test_cross_validation_by_hand(smoke, small, metric, power):
    """Rows of the other folds cut out, every pair, query after query."""
    rows, labels = small.train
    key = draws.key_of(SMOKE, FOLDS)
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
    settings = iter(record["settings"])
    for weighting, weigh in weighings.items():
        for k in SMOKE.ks:
            one = next(settings)
            assert (one["weighting"], one["k"]) == (weighting, k)
            for fold in range(SMOKE.folds):
                held_out = fold_ids == fold
                answers = voted(
                    apart[held_out][:, ~held_out], labels[~held_out], k, weigh
                )
                expected = np.mean(answers == labels[held_out])
                assert one["folds"][fold] == pytest.approx(expected)
    assert next(settings, None) is None


def test_the_test_by_hand(smoke, small):
    stats = pytest.importorskip("scipy.stats")
    linear_model = pytest.importorskip("sklearn.linear_model")
    found, answers = smoke.numbers("test"), smoke.arrays("test")
    train, test = small.train, small.test
    np.testing.assert_array_equal(answers["label"], test.labels)
    for metric, title in testing.ONE_NEAREST.items():
        apart = brute_force(train.features, test.features, POWERS[metric])
        nearest = apart.argmin(axis=1)
        np.testing.assert_array_equal(answers[title], train.labels[nearest])
    for one in found["classifiers"]:
        right = int((answers[one["title"]] == test.labels).sum())
        assert one["right"] == right
        interval = stats.binomtest(right, len(test.labels)).proportion_ci(
            method="wilson"
        )
        assert one["interval"] == pytest.approx(interval._asdict())
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
    linear = found["classifiers"][-1]
    assert linear["title"] == testing.LINEAR
    assert linear["accuracy"] == pytest.approx(expected, abs=0.011)
    assert found["linear"]["converged"]


def test_noise_by_hand(smoke, small):
    """Level 0 and the last of the first repeat, by scikit-learn."""
    knn = pytest.importorskip("sklearn.neighbors")
    linear_model = pytest.importorskip("sklearn.linear_model")
    levels = smoke.numbers("noise")["repeats"][0]
    key, *most = noise.drawn(settle(SMOKE, data.load("digits")), small, 0)
    whole = most[0].features
    assert [split.features.shape for split in most] == [(100, 64 + 64)] * 2
    size = np.sqrt(np.mean(whole[:, :64] ** 2))
    assert whole[:, 64:].std() == pytest.approx(size, rel=0.05)
    for record, amount in zip(levels, SMOKE.noise_features, strict=True):
        width = 64 + amount
        train, test = (noise.with_first(split, width) for split in most)
        np.testing.assert_array_equal(train.features[:, :64], whole[:, :64])
        assert not train.features[:, width:].any()
        (rows, labels), (tests, truth) = train, test
        parts = splits.stratified_split(key, labels, fraction=0.2)
        assert len(parts.held_out) == 20

        def score(k, some, *judged, rows=rows, labels=labels):
            model = knn.KNeighborsClassifier(k).fit(rows[some], labels[some])
            return model.score(*judged)

        held_out = (rows[parts.held_out], labels[parts.held_out])
        k = max(SMOKE.ks, key=lambda k: (score(k, parts.train, *held_out), -k))
        assert record["k"] == k
        everything = slice(None)
        expected = score(k, everything, tests, truth)
        assert record["nearest"] == pytest.approx(expected)
        expected = score(1, everything, tests, truth)
        assert record["one_nearest"] == pytest.approx(expected)
        ones = np.ones((len(rows), 1))
        fit = linear_model.LogisticRegression(
            C=1 / (record["l2"] * len(rows)), fit_intercept=False, max_iter=5000
        ).fit(np.hstack([rows, ones]), labels)
        expected = fit.score(np.hstack([tests, ones[: len(tests)]]), truth)
        assert record["linear"] == pytest.approx(expected, abs=0.021)


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
    choice = types.SimpleNamespace(numbers=lambda part: {"metric": "euclidean"})
    record, found_right, _ = local.measured(config, small, choice)
    rows, labels = small.train
    asked = np.zeros(300, bool)
    asked[draws.any_of(draws.key_of(config, LOCAL), 300, 30)] = True
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
            expected = answers == labels[asked]
            np.testing.assert_array_equal(found_right[name][place], expected)
            assert record["fits"][name][place]["right"] == expected.sum()
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
        assert np.mean(found_right[local.LINEAR][place] != expected) <= 1 / 30


@pytest.mark.full
def test_rows_that_are_no_images(tmp_path):
    """Float features; whole copies of test rows among the training rows."""
    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 8)).astype(np.float32)
    labels = np.arange(300) % 3
    rows[:, 0] += 3 * labels
    write_data(tmp_path / "vectors.npz", rows, labels, test=(rows[:100], labels[:100]))
    config = dataclasses.replace(
        SMOKE,
        dataset=str(tmp_path / "vectors.npz"),
        metrics=("cosine", "mahalanobis"),
        on_all=(),
        local_ks=(2, 5),
    )
    run = run_study("nearest_neighbor", config, out=tmp_path / "run").run
    assert [len(one) for one in run.numbers("local")["fits"].values()] == [2] * 3
    classifiers = run.numbers("test")["classifiers"]
    assert {one["title"]: one["accuracy"] for one in classifiers}[EXACT] == 1.0
    assert run.numbers("contrast")["whole"]["median"] is None
    page = (tmp_path / "run" / "report.html").read_text()
    assert "The rows of this data set are not images." in page
    assert "have a copy among the training rows" in " ".join(page.split())
