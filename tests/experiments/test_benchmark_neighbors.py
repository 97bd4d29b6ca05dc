"""The neighbours' benchmark: a whole run at the size of a smoke test, and its parts."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from experiments.benchmark_neighbors import peers
from jaxlin import neighbors
from jaxlin.neighbors import distances


@pytest.mark.full
def test_what_a_run_measures(finished_study):
    run = finished_study("benchmark_neighbors").run
    for name in ("l2", "l1"):
        ours, theirs = run.numbers(name)["searches"]
        assert (ours["who"], ours["times_ours"]) == ("jaxlin", 1.0)
        assert theirs["times_ours"] == pytest.approx(
            theirs["seconds"] / ours["seconds"]
        )
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


@pytest.mark.parametrize("distance", ["l2", "l1"])
@pytest.mark.parametrize("name", ["faiss", "sklearn"])
def test_the_peers_search_for_the_same(name, distance):
    if name == "faiss":
        pytest.importorskip("faiss")
    rows = np.random.default_rng(0).integers(0, 256, (200, 30), dtype=np.uint8)
    metric = {"l2": distances.squared_euclidean, "l1": distances.manhattan}[distance]
    ours = neighbors.nearest(rows, rows[:9], metric=metric, k=4)
    theirs = peers.PEERS[name](rows, distance=distance, k=4)(rows[:9])
    np.testing.assert_array_equal(theirs[0], ours.distances)


@pytest.mark.full
@pytest.mark.cifar10
def test_one_neighbour_on_all_of_cifar10(real_cifar10):
    """The published accuracies of raw pixels: CS231n, 35.4 % (L2) and 38.6 % (L1)."""
    for metric, published in (
        (distances.squared_euclidean, 0.354),
        (distances.manhattan, 0.386),
    ):
        found = neighbors.nearest(
            real_cifar10.train.features, real_cifar10.test.features, metric=metric, k=1
        )
        predicted = real_cifar10.train.labels[found.indices[:, 0]]
        right = np.mean(predicted == real_cifar10.test.labels)
        assert right == pytest.approx(published, abs=1e-3)
