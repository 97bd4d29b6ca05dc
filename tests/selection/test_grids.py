"""Grids of models: every combination, l2_paths, subsets."""

import numpy as np
import pytest
from two_losses import HINGE, SOFTMAX, product

from jaxlin import losses
from jaxlin.selection import grids


def test_every_combination_once():
    models = product()
    found = {
        (models.losses[models.loss[i]], models.l2[i], models.weight_set[i], margin)
        for i in range(models.size)
        for margin in [models.arguments_of(i).get("margin")]
    }
    expected = {
        (loss, l2, weight_set, margin)
        for loss, margins in ((SOFTMAX, [None]), (HINGE, [1.0, 2.0]))
        for l2 in (1e-1, 1e-2, 1e-3)
        for weight_set in (0, 1)
        for margin in margins
    }
    assert models.size == len(found) == 18
    assert found == expected


def test_models_of_a_chain_differ_by_l2_alone():
    models = product()
    assert models.l2_path.max() == 5
    for l2_path in range(6):
        mine = np.flatnonzero(models.l2_path == l2_path)
        assert models.l2[mine].tolist() == [1e-1, 1e-2, 1e-3]
        for column in (models.loss, models.weight_set, models.loss_arguments["margin"]):
            assert len(set(column[mine])) == 1


def test_subset_keeps_what_each_model_is():
    models = product()
    numbers = [17, 3, 8]
    some = grids.subset(models, numbers)
    assert some.size == 3
    for place, number in enumerate(numbers):
        assert some.losses[some.loss[place]] is models.losses[models.loss[number]]
        assert some.l2[place] == models.l2[number]
        assert some.weight_set[place] == models.weight_set[number]
        assert some.arguments_of(place) == models.arguments_of(number)
    only = grids.subset(models, [9])
    assert only.losses == (HINGE,)
    assert only.loss.tolist() == only.l2_path.tolist() == [0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"losses": ()}, "losses must be a sequence of distinct losses, at least one"),
        ({"losses": (HINGE, HINGE)}, "losses must be a sequence of distinct"),
        ({"losses": HINGE}, "losses must be a sequence of distinct"),
        (
            {"l2s": 0.1},
            r"l2s must be a sequence of numbers, got 0.1; write \(0.1,\) for one",
        ),
        ({"loss_arguments": {"margin": 1.0}}, "must be a sequence of numbers, got 1.0"),
        ({"losses": (max,)}, "conjugate"),
        ({"l2s": ()}, "l2s must not be empty"),
        ({"l2s": (0.1, 0.0)}, r"l2s\[1\] must be above 0"),
        ({"l2s": (0.1, 0.1)}, "l2s must be distinct"),
        ({"loss_arguments": {"margin": (0.0,)}}, "must be above 0"),
        (
            {"loss_arguments": {"width": (1.0,)}},
            "one of the losses, which take margin, got 'wi",
        ),
        ({"num_weight_sets": 0}, "num_weight_sets must be at least 1"),
    ],
)
def test_bad_grids(changes, words):
    with pytest.raises(ValueError, match=words):
        product(**changes)


@pytest.mark.parametrize("numbers", [[], [-1], [0, 2]])
def test_a_subset_is_of_the_grid(numbers):
    models = grids.product(losses=(losses.softmax_cross_entropy,), l2s=(1e-1, 1e-2))
    with pytest.raises(ValueError, match="numbers must be of models, 0 to 1, at least"):
        grids.subset(models, numbers)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 12])
def test_parts_have_each_model_once(count):
    models = grids.product(
        losses=(HINGE,), l2s=(1e-1, 1e-3, 1e-2, 1e-4), num_weight_sets=3
    )
    parts = grids.parts(models, count)
    assert len(parts) == count
    assert sorted(np.concatenate(parts)) == list(range(models.size))
    assert all((np.diff(part) > 0).all() for part in parts)
    sizes = [len(part) for part in parts]
    if count in (1, 3, 12):
        assert len(set(sizes)) == 1
    if count == 3:
        # Whole paths.
        for part in parts:
            assert len(set(models.l2_path[part])) == 1
    if count == 5:
        # Each of three paths in two pieces: every second l2.
        assert sorted(sizes) == [2, 2, 2, 2, 4]
        assert models.l2[parts[1]].tolist() == [1e-2, 1e-4]


@pytest.mark.parametrize("count", [0, 5])
def test_parts_are_at_most_the_models(count):
    models = grids.product(losses=(HINGE,), l2s=(1e-1, 1e-2), num_weight_sets=2)
    with pytest.raises(ValueError, match="count must be at (most 4|least 1), got"):
        grids.parts(models, count)
