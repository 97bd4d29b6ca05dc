"""What the nearest neighbour experiment is made of, against theory and by hand."""

import dataclasses

import numpy as np
import pytest

from experiments.nearest_neighbor import (
    choosing,
    contrast,
    cost,
    draws,
    spaces,
    summary,
    voting,
)
from experiments.nearest_neighbor.config import DIGITS, SMOKE, Config, settle
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
    curve = [{"dimension": d, "median": 5 / d**0.5} for d in (1, 4, 16, 64)]
    record = {"curves": {contrast.NORMAL: curve}, "whole": {"median": 5 / 9**0.5}}
    assert contrast.normal_dimension(record) == pytest.approx(9)
    record["whole"]["median"] = 0.1
    assert contrast.normal_dimension(record) is None
    record["whole"]["median"] = None
    assert contrast.normal_dimension(record) is None


def test_whitened_rows_have_mahalanobis_distances():
    distance = pytest.importorskip("scipy.spatial.distance")
    random = np.random.default_rng(0)
    rows = random.integers(0, 256, (200, 5), dtype=np.uint8)
    rows[:, 4] = 7
    covariance = np.cov(rows.T.astype(float), bias=True)
    ridge = spaces.RIDGE * np.trace(covariance) / 5
    matrix = np.linalg.inv(covariance + ridge * np.eye(5))
    train, others = spaces.changed(spaces.METRICS["mahalanobis"], rows, rows, rows[:9])
    for i in range(9):
        expected = distance.mahalanobis(*rows[[i, i + 20]].astype(float), matrix)
        found = np.linalg.norm(others[i] - train[i + 20])
        assert found == pytest.approx(expected, rel=1e-5)
    # Rows that never change have no covariance at all.
    still = np.full((4, 3), 2, np.uint8)
    assert np.isfinite(spaces.whitening(still)(still)).all()


def a_search(metric, rows, examples, best, *, ks=(1, 5, 9)):
    """A record in which k = ``best`` is the best by uniform weights."""
    accuracy = [[0.5 + 0.1 * (k == best)] * 2 for k in ks]
    return {
        "metric": metric,
        "rows": rows,
        "examples": examples,
        "scale": float(examples),
        "ks": list(ks),
        "weightings": ["uniform", "inverse distance"],
        "accuracy": [accuracy, [[0.5, 0.5]] * len(ks)],
    }


def test_the_metric_is_chosen_on_equal_terms():
    few = a_search("euclidean", "subsample", 100, 1)
    other = a_search("manhattan", "subsample", 100, 9)
    many = a_search("euclidean", "all", 1000, 5)
    # More rows make one metric better than the other; that must not choose it.
    many["accuracy"][0][1] = [0.9, 0.9]
    other["accuracy"][0][2] = [0.62, 0.62]
    assert choosing.chosen([few, other, many]) == ("manhattan", "uniform", 9, 100.0)
    other["accuracy"][0][2] = [0.58, 0.58]
    assert choosing.chosen([few, other, many]) == ("euclidean", "uniform", 5, 1000.0)
    # Of equally good ones the fewest neighbours, then the plainest weights.
    few["accuracy"] = [[[0.6, 0.6]] * 3] * 2
    assert choosing.chosen([few]) == ("euclidean", "uniform", 1, 100.0)


def test_dearer_metrics_have_fewer_rows():
    dataset = data.load("digits")
    config = dataclasses.replace(SMOKE, subsample=120, on_all=("euclidean",))
    config = settle(config, dataset)
    assert choosing.searches(config) == [
        ("euclidean", "subsample"),
        ("manhattan", "subsample"),
        ("euclidean", "all"),
    ]
    small = draws.reduced(config, dataset)
    record = choosing.cross_validated(config, small, "euclidean", "subsample")
    assert record["examples"] == 120
    assert np.array(record["accuracy"]).shape == (3, 3, 3)


def test_names_of_weightings():
    names = voting.names((0.5, 2.0))
    bandwidths = [voting.named(name, scale=3.0).arguments for name in names]
    assert bandwidths == [{}, {}, {"bandwidth": 1.5}, {"bandwidth": 6.0}]


def test_medians_ratios_and_powers_of_time():
    sizes = (10, 100, 1000)
    record = {
        "queries": 2,
        "k": 1,
        "sizes": sizes,
        "row_bytes": 1,
        "linear_bytes": 1,
        "searches": {
            "euclidean": [
                {"seconds": [4.0 * n**0.5, n**0.5, 2.0 * n**0.5], "first": 9.0}
                for n in sizes
            ]
        },
        "linear": {"seconds": [1.0, 2.0, 30.0], "first": 3.0},
    }
    found = summary.of_time(record)
    one = found["searches"]["euclidean"]
    assert found["linear"] == 1.0
    np.testing.assert_allclose(one["seconds"], np.sqrt(sizes))
    np.testing.assert_allclose(one["times_linear"], np.sqrt(sizes))
    np.testing.assert_allclose(one["most"], 2 * np.sqrt(sizes))
    assert one["power"] == pytest.approx(0.5)
    assert cost.power((10,), (1.0,)) is None


def test_choices_at_an_end_of_the_grid_are_counted():
    record = {
        "noise_features": [0, 1],
        "k": [1, 1],
        "l2": [1e-3, 1e-2],
        "largest_gap": [1e-4, 1e-3],
        **{name: [0.5, 0.4] for name in summary.NOISY},
    }
    other = {**record, "l2": [1e-1, 1e-2], "linear": [0.5, 0.5]}
    found = summary.of_noise([record, other], l2s=(1e-3, 1e-2, 1e-1))
    assert (found["l2_at_an_end"], found["l2_chosen"]) == (2, 4)
    assert found["largest_gap"] == 1e-3
    assert found["linear"]["lost"] == pytest.approx(0.05)
    # The nearest neighbours have lost 0 and 0.1 more.
    assert found["nearest_loses_more"]["mean"] == pytest.approx(0.05)


def test_sizes_are_cut_down_to_what_the_data_have():
    dataset = data.load("digits")
    config = settle(dataclasses.replace(Config(), time_sizes=(1000, 5000)), dataset)
    assert (config.train_examples, config.test_examples) == (1297, 500)
    assert (config.subsample, config.time_sizes) == (1297, (1000,))
    # Idempotent, as a run that is resumed starts from what was kept.
    assert settle(config, dataset) == config
    assert settle(DIGITS, dataset).time_sizes == DIGITS.time_sizes
