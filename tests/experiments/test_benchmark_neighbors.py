"""The neighbours' benchmark: a whole run at the size of a smoke test, and its parts."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("sklearn")

from experiments.benchmark_neighbors import __main__ as command
from experiments.benchmark_neighbors import peers, report
from experiments.benchmark_neighbors.config import Config, checked
from jaxlin import neighbors
from jaxlin.neighbors import distances


@pytest.mark.full
def test_a_smoke_run_measures_every_part(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    monkeypatch.setattr(sys, "argv", ["benchmark", "--smoke", "--out", str(folder)])
    command.main()
    assert capsys.readouterr().out.splitlines()[-1].endswith("report.html")
    results = json.loads((folder / "results.json").read_text())
    for name in ("l2", "l1"):
        ours, theirs = results[name]["searches"]
        assert (ours["who"], ours["times_ours"]) == ("jaxlin", 1.0)
        assert theirs["times_ours"] == pytest.approx(
            theirs["seconds"] / ours["seconds"]
        )
        # Ties go elsewhere in scikit-learn.
        assert theirs["same_neighbours"] > 0.8
        assert results["memory"][name]["grown_mb"] is None or (
            results["memory"][name]["grown_mb"] < 300
        )
    assert results["recall"]["recall"] > 0.9
    # One neighbour does well on digits: 98 % of 500.
    assert all(480 < one["right"] < 500 for one in results["accuracy"].values())
    page = (folder / "report.html").read_text()
    assert report.findings(results).split(";")[0] in page
    before = (folder / "l1.json").stat().st_mtime_ns
    (folder / "recall.json").unlink()
    monkeypatch.setattr(sys, "argv", ["benchmark", "--resume", str(folder)])
    command.main()
    assert (folder / "l1.json").stat().st_mtime_ns == before


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


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"what": ()}, "what must name memory, l2"),
        ({"k": 0}, "k must be at least 1, got 0"),
        ({"l1_queries": 0}, "l1_queries must be at least 1"),
        ({"rounds": 0}, "rounds must be at least 1"),
        ({"recall_target": 0.0}, "recall_target must be above 0"),
        ({"settle_s": -1.0}, "settle_s must be at least 0"),
    ],
)
def test_bad_configs(changes, words):
    with pytest.raises(ValueError, match=words):
        checked(Config(peers=(), **changes))


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
