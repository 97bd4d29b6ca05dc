"""The table of optima, in smoke size."""

import csv

import pytest


@pytest.mark.full
def test_the_table_holds_what_was_proven(finished_study):
    _, run, _ = finished_study("certified_optima")
    config = run.config
    assert len(run.numbers("softmax_cross_entropy")) == len(config.l2)
    for row in sum(map(run.numbers, config.losses), []):
        assert row["relative_gap"] <= config.relative_gap
        assert row["lower"] <= row["test_accuracy"] <= row["upper"]
        width = row["upper"] - row["lower"]
        assert width == pytest.approx(1 - row["certified_share"])
        assert ("uninformative" in row["optimum"]) == (width > 0.05)
    smooth = run.numbers("softmax_cross_entropy")
    assert min(row["certified_share"] for row in smooth) >= config.certified_share
    assert "exact optimum" in (run.folder.path / "report.html").read_text()
    with (run.folder.path / "results.csv").open() as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(config.losses) * len(config.l2)
