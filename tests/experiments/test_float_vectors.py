"""Both comparisons of SVM and softmax on a file of float feature vectors."""

import dataclasses

import numpy as np
import pytest
import run_helpers
from run_helpers import HINGE, METHODS
from strict_page import Page

from experiments.train_sgd.config import Config


@pytest.fixture(scope="module")
def vectors_run(tmp_path_factory):
    """Float feature vectors; no test example of the last class."""
    folder = tmp_path_factory.mktemp("vectors")
    draw = np.random.default_rng(0)
    labels = np.arange(66) % 3
    centres = 3 * draw.normal(size=(3, 5))
    rows = centres[labels] + draw.normal(size=(66, 5))
    test = np.flatnonzero(labels[:36] < 2)
    run_helpers.write_data(
        folder / "mine.npz",
        rows,
        labels,
        test=(rows[test] + 0.1, labels[test]),
        class_names=["left", "right", "absent"],
    )
    return folder


@pytest.mark.full
def test_one_seed_has_no_spread(vectors_run):
    config = Config(
        dataset=str(vectors_run / "mine.npz"),
        seeds=1,
        epochs=3,
        batch_size=16,
        hinge_l2=(1e-3,),
        hinge_learning_rates=(0.5,),
        softmax_l2=(1e-3, 1e-2),
        softmax_learning_rates=(0.5,),
    )
    _, run, _ = run_helpers.run_study("train_sgd", config, out=vectors_run / "sgd")
    test = run.numbers("test")
    for name in METHODS:
        assert test["losses"][name]["standard_deviation"] is None
        assert test["losses"][name]["accuracy"] > 0.9
    assert run.numbers(HINGE)["first_loss"]["expected"] == 2.0
    assert "one seed" in (run.folder.path / "report.html").read_text()


@pytest.mark.full
def test_feature_vectors_make_a_comparison_without_images(vectors_run):
    made = run_helpers.STUDIES["svm_vs_softmax"]
    config = dataclasses.replace(
        made.presets["smoke"], dataset=str(vectors_run / "mine.npz"), batch_size=16
    )
    out = vectors_run / "certified"
    _, run, _ = run_helpers.run_study("svm_vs_softmax", config, out=out)
    figures = {path.stem for path in (out / "figures").iterdir()}
    assert figures == {"path", "distance", "per_class", "confusion", "calibration"}
    page = Page((out / "report.html").read_text())
    assert len(page.images) == len(figures)
    assert "Templates" not in page.text["main"][0]
    assert (run.data["train"]["num_examples"], run.data["test"]["num_examples"]) == (
        *(66, 24),
    )
    absent = run.numbers("test")["per_class"][2]
    assert (absent["class"], absent["count"]) == ("absent", 0)
    for name in METHODS:
        assert absent[name] is None
        assert absent[f"{name}_interval"] is None
