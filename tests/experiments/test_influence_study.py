"""Leave-one-out and influence: the numbers of a run, by hand and by refits."""

import numpy as np
import pytest

import jaxlin
from experiments.influence import digits as on_digits
from experiments.influence import paths
from experiments.influence.config import SMOKE, Config
from jaxlin.sensitivity import refits


@pytest.fixture(scope="module")
def smoke(finished_study):
    return finished_study("influence").run


def test_labels_are_changed_to_other_classes(digits):
    labels = digits.train.labels
    first, again, second = (
        on_digits.with_changes(Config(), labels, draw) for draw in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    is_changed = first != labels
    assert is_changed.sum() == (second != labels).sum() == 65
    assert not np.array_equal(is_changed, second != labels)
    assert first.dtype == labels.dtype
    # Of nine other classes each is drawn.
    assert set((first - labels)[is_changed] % 10) == set(range(1, 10))


def test_share_found_among_the_worst():
    """Two of four changed labels among the first four, one more among eight."""
    values = np.array([9.0, 1.0, 8.0, 7.0, 6.0, 5.0, 4.0, 3.0, 2.0, 0.0])
    is_changed = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 0], bool)
    assert on_digits.share_found(values, is_changed) == (0.5, 0.75)


def test_groups_are_of_one_class_and_grow(digits):
    labels = digits.train.labels
    small, large = (on_digits.group_ids(Config(), labels, size) for size in (3, 100))
    for size, ids in ((3, small), (100, large)):
        np.testing.assert_array_equal(np.bincount(ids[ids >= 0]), [size] * 10)
        np.testing.assert_array_equal(ids[ids >= 0], labels[ids >= 0])
    np.testing.assert_array_equal(large[small >= 0], small[small >= 0])


@pytest.mark.full
def test_groups_and_images_of_a_run_by_refits(smoke, digits):
    """The images shown help and harm; a single digit is almost of first order."""
    problem, fit = paths.problem_of(digits), paths.chosen(SMOKE, smoke, "")
    of_one = smoke.numbers("groups")[0]
    assert of_one["size"] == 1
    assert of_one["correlation"] > 0.99
    assert 0.9 < of_one["slope"] < 1.3
    shown = smoke.arrays("images")["images"].reshape(10, 2, SMOKE.images, 64)
    own = digits.test.labels == 3
    tests = digits.test.features[own], digits.test.labels[own]
    losses = [jaxlin.evaluate(fit, *tests).log_loss.value]
    for image in shown[3, :, 0]:
        example = np.flatnonzero((digits.train.features == image).all(axis=1))
        without, _ = refits.without(fit, problem, example)
        losses.append(jaxlin.evaluate(without, *tests).log_loss.value)
    before, without_helpful, without_harmful = losses
    assert without_harmful < before < without_helpful
    largest = smoke.numbers("images")["classes"][3]["largest"]
    np.testing.assert_allclose(
        largest, [without_helpful - before, without_harmful - before], rtol=0.3
    )


@pytest.mark.full
def test_estimates_of_a_run_agree(smoke):
    """Left out exactly, on folds and on the test set; refits within their gap."""
    found = [smoke.numbers(part) for part in ("leave_one_out", "folds", "test")]
    for left_out, folded, tested in zip(*found, strict=True):
        assert left_out["proven"] > 0.99
        assert left_out["largest_error"] < 1e-6
        low, high = left_out["interval"]
        assert low < folded["accuracy"] < high
        assert abs(tested["accuracy"] - left_out["accuracy"]) < 0.05
    checked = smoke.numbers("refits")
    assert checked["same_labels"] == SMOKE.refits
    assert checked["largest"] < 1e-3
    for row in smoke.numbers("noise")["rows"]:
        assert row["found"] > 0.5
        assert row["found_by_twice"] >= row["found"]
