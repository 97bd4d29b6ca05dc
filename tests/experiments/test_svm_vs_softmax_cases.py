"""Cases that the smoke run does not have: ties, a broken seal, feature vectors."""

import jax.numpy as jnp
import numpy as np
import pytest
import run_helpers
import sealed_data
from run_helpers import HINGE, METHODS, STAGES

from experiments.svm_vs_softmax import protocol
from experiments.svm_vs_softmax.config import Config


@pytest.mark.parametrize(
    ("accuracies", "choice"),
    [
        ([0.5, 0.7, 0.6, 0.7], 3),
        ([0.7, 0.7, 0.7, 0.7], 2),
        ([0.7, 0.7, np.nan, 0.7], 3),
        ([0.7, 0.1, np.nan, np.nan], 0),
    ],
)
def test_ties_go_to_the_stronger_penalty_then_the_slower_rate(accuracies, choice):
    settings = ((0.1, 1.0), (0.1, 2.0), (0.2, 1.0), (0.2, 2.0))
    assert protocol._best(np.array(accuracies), settings) == choice


def test_a_seal_can_tell(digits):
    sealed = sealed_data.SealedDataset(digits, lambda: False).test.labels
    assert len(sealed) == 500
    looks = (np.asarray, jnp.asarray, lambda x: x == 1, lambda x: x[0], lambda x: x.max)
    for look in looks:
        with pytest.raises(AssertionError, match="touched early"):
            look(sealed)


# Feature vectors


@pytest.fixture(scope="module")
def vectors_run(tmp_path_factory):
    """Float feature vectors; no test example of the last class; uneven chunks."""
    folder = tmp_path_factory.mktemp("vectors")
    draw = np.random.default_rng(0)
    labels = np.arange(66) % 3
    centres = 3 * draw.normal(size=(3, 5))
    rows = centres[labels] + draw.normal(size=(66, 5))
    test = np.flatnonzero(labels[:36] < 2)
    np.savez(
        folder / "mine.npz",
        x_train=rows,
        y_train=labels,
        x_test=rows[test] + 0.1,
        y_test=labels[test],
        class_names=["left", "right", "absent"],
    )
    config = Config(
        dataset=str(folder / "mine.npz"),
        solver="minibatch",
        seeds=1,
        epochs=3,
        batch_size=16,
        evaluate_every=2,
        hinge_l2=(0.0,),
        hinge_learning_rates=(0.5,),
        softmax_l2=(0.0, 1e-2),
        softmax_learning_rates=(0.5,),
    )
    return run_helpers.run(config, out=folder / "run")


@pytest.mark.full
def test_feature_vectors_make_a_report_without_pictures_of_images(vectors_run):
    figures = {path.stem for path in (vectors_run.path / "figures").iterdir()}
    assert figures == {
        *("tuning", "learning_curves", "per_class", "confusion", "calibration"),
    }
    page = run_helpers.Page((vectors_run.path / "report.html").read_text())
    assert len(page.images) == len(figures)
    assert "Templates" not in page.text
    assert "one seed" in page.text
    assert (vectors_run.path / "STATUS").read_text() == "done\n"


@pytest.mark.full
def test_a_class_without_test_examples_has_no_accuracy(vectors_run):
    found = run_helpers.results(vectors_run.path)
    assert (found["num_train"], found["num_test"], found["num_classes"]) == (66, 24, 3)
    absent = found["per_class"][2]
    assert (absent["class"], absent["count"]) == ("absent", 0)
    for name in METHODS:
        assert absent[name] is None
        assert absent[f"{name}_interval"] is None
        one = found["losses"][name]
        assert one["test_accuracy_standard_deviation"] is None
        assert one["test_accuracy"] > 0.9
    assert found["losses"][HINGE]["first_loss_expected"] == 2.0


@pytest.mark.full
def test_a_last_chunk_that_is_shorter_is_recorded(vectors_run):
    found = run_helpers.metrics(vectors_run.path)
    assert [one["epoch"] for one in found] == [2, 3] * len(STAGES)
