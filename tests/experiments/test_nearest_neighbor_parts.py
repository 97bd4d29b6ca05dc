"""Parts of the nearest neighbour experiment, against theory and by hand."""

import dataclasses

import numpy as np
import pytest

from experiments.common import draws
from experiments.nearest_neighbor import choosing, contrast, cost, learner, noise
from experiments.nearest_neighbor.config import (
    DIGITS,
    METRICS,
    SMOKE,
    Config,
    settle,
)
from jaxlin import data


def test_contrast_of_normal_data_goes_as_the_theory_says():
    random = np.random.default_rng(0)
    for dimension in (1000, 4000):
        points = random.normal(size=(400, dimension))
        queries = random.normal(size=(60, dimension))
        squares = (points**2).sum(axis=1) + (queries**2).sum(axis=1)[:, None]
        apart = np.sqrt(squares - 2 * queries @ points.T)
        measured = np.median(apart.max(axis=1) / apart.min(axis=1) - 1)
        assert contrast.in_theory(dimension, 400) == pytest.approx(measured, rel=0.08)
    ratio = contrast.in_theory(100, 50) / contrast.in_theory(400, 50)
    assert ratio == pytest.approx(2)


def test_the_dimension_of_normal_data_with_the_same_contrast():
    dimensions = (1, 4, 16, 64)
    medians = [5 / dimension**0.5 for dimension in dimensions]
    found = contrast.normal_dimension(dimensions, medians, 5 / 9**0.5)
    assert found == pytest.approx(9)
    for target in (0.1, np.inf):
        assert contrast.normal_dimension(dimensions, medians, target) is None


def test_whitened_rows_have_mahalanobis_distances():
    distance = pytest.importorskip("scipy.spatial.distance")
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (200, 5), dtype=np.uint8)
    rows[:, 4] = 7
    covariance = np.cov(rows.T.astype(float), bias=True)
    ridge = learner.RIDGE * np.trace(covariance) / 5
    matrix = np.linalg.inv(covariance + ridge * np.eye(5))
    train, others = learner.prepared("mahalanobis", rows, rows, rows[:9])
    for i in range(9):
        expected = distance.mahalanobis(*rows[[i, i + 20]].astype(float), matrix)
        found = np.linalg.norm(others[i] - train[i + 20])
        assert found == pytest.approx(expected, rel=1e-5)
    # Rows that never change have no covariance at all.
    still = np.full((4, 3), 2, np.uint8)
    assert np.isfinite(learner.whitened(still, still)).all()


def a_search(metric, rows, examples, best, *, ks=(1, 5, 9)):
    """A record in which k = ``best`` is the best by uniform weights."""
    settings = [
        {"weighting": weighting, "k": k, "folds": [0.5 + 0.1 * is_best] * 2}
        for weighting in ("uniform", "inverse distance")
        for k in ks
        for is_best in [weighting == "uniform" and k == best]
    ]
    facts = {"metric": metric, "rows": rows, "examples": examples}
    return {**facts, "settings": settings}


def chosen(*records):
    """Metric, weighting, k and rows of the choice."""
    for record in records:
        record["best"] = choosing.best([record])[1]
    choice = choosing.chosen(records)
    return tuple(choice[name] for name in ("metric", "weighting", "k", "examples"))


def test_the_metric_is_chosen_on_equal_terms():
    few = a_search("euclidean", "subsample", 100, 1)
    other = a_search("manhattan", "subsample", 100, 9)
    many = a_search("euclidean", "all", 1000, 5)
    # More rows make one metric better than the other; that must not choose it.
    many["settings"][1]["folds"] = [0.9, 0.9]
    other["settings"][2]["folds"] = [0.62, 0.62]
    assert chosen(few, other, many) == ("manhattan", "uniform", 9, 100)
    other["settings"][2]["folds"] = [0.58, 0.58]
    assert chosen(few, other, many) == ("euclidean", "uniform", 5, 1000)
    # Of equally good ones the fewest neighbours, then the plainest weights.
    for setting in few["settings"]:
        setting["folds"] = [0.6, 0.6]
    assert chosen(few) == ("euclidean", "uniform", 1, 100)


def test_dearer_metrics_have_fewer_rows():
    dataset = data.load("digits")
    config = dataclasses.replace(SMOKE, subsample=120, on_all=("euclidean",))
    config = settle(config, dataset)
    assert list(choosing.searches(config).values()) == [
        ("euclidean", "subsample"),
        ("manhattan", "subsample"),
        ("euclidean", "all"),
    ]
    small = draws.reduced(config, dataset)
    search = {"metric": "euclidean", "rows": "subsample"}
    record = choosing.measured(config, small, None, **search).numbers
    assert record["examples"] == 120
    assert np.array([one["folds"] for one in record["settings"]]).shape == (9, 3)


def test_every_metric_has_a_name_on_the_command_line():
    assert tuple(learner.METRICS) == METRICS


def test_names_of_weightings():
    found = learner.weightings((0.5, 2.0), scale=3.0).values()
    bandwidths = [arguments for _, arguments in found]
    assert bandwidths == [{}, {}, {"bandwidth": 1.5}, {"bandwidth": 6.0}]


def test_medians_and_powers_of_time():
    sizes = np.array([10, 100, 1000])
    calls = [[9.0, 4.0 * n**0.5, n**0.5, 2.0 * n**0.5] for n in sizes]
    times = [
        {"rows": n, **cost.of_calls(some, 2)}
        for n, some in zip(sizes, calls, strict=True)
    ]
    for name, factor in (("median", 1), ("least", 0.5), ("most", 2)):
        found = [one[name] for one in times]
        np.testing.assert_allclose(found, factor * np.sqrt(sizes))
    assert times[0]["first"] == 9.0
    assert cost.power(times) == pytest.approx(0.5)
    assert cost.power(times[:1]) is None


def test_noise_is_summed_up_over_repeats():
    def level(accuracy, linear, l2, gap):
        right = {"one_nearest": accuracy, "nearest": accuracy, "linear": linear}
        return {**right, "k": 1, "l2": l2, "l2_at_edge": l2 != 1e-2, "gap": gap}

    one = [level(0.5, 0.5, 1e-3, 1e-4), level(0.4, 0.4, 1e-2, 1e-3)]
    other = [level(0.5, 0.5, 1e-1, 1e-4), level(0.4, 0.5, 1e-2, 1e-3)]
    found = noise.summary([one, other])
    assert (found["choices_at_edge"], found["choices"]) == (2, 4)
    assert found["largest_gap"] == 1e-3
    assert found["lost"]["linear"] == pytest.approx(0.05)
    # The nearest neighbours have lost 0 and 0.1 more.
    assert found["nearest_loses_more"].mean == pytest.approx(0.05)
    np.testing.assert_allclose(found["accuracy"]["linear"], [[0.5, 0], [0.45, 0.05]])


def test_sizes_are_cut_down_to_what_the_data_have():
    dataset = data.load("digits")
    config = settle(dataclasses.replace(Config(), time_sizes=(1000, 5000)), dataset)
    assert (config.train_examples, config.test_examples) == (1297, 500)
    assert (config.subsample, config.time_sizes) == (1297, (1000,))
    # Idempotent, as a run that is resumed starts from what was kept.
    assert settle(config, dataset) == config
    assert settle(DIGITS, dataset).time_sizes == DIGITS.time_sizes
