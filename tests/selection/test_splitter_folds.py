"""Folds of every splitter of scikit-learn: each split holds out what it said."""

import numpy as np
import pytest
from sklearn import model_selection
from splitters import GROUPS, LABELS, SPLITTERS

from jaxlin.selection import fold_weights, folds


@pytest.mark.parametrize(
    ("splitter", "shape"), SPLITTERS.values(), ids=SPLITTERS.keys()
)
def test_training_weights_are_those_of_the_splits(splitter, shape):
    # The others warn of groups, which they ignore.
    groups = GROUPS if "Group" in type(splitter).__name__ else None
    fold_ids = folds.from_splitter(splitter, LABELS, groups=groups)
    assert fold_ids.dtype == np.int32
    assert fold_ids.shape == shape
    weights = fold_weights.of_ids(fold_ids, num_examples=24, least=-2)
    trained, held_out = (part.reshape(-1, 24) for part in weights)
    # A splitter with a fixed random state gives the same splits twice.
    splits = list(splitter.split(np.zeros((24, 1)), LABELS, groups))
    for part, (train, test) in enumerate(splits):
        np.testing.assert_array_equal(np.flatnonzero(trained[part]), np.sort(train))
        np.testing.assert_array_equal(np.flatnonzero(held_out[part]), np.sort(test))
    assert len(trained) == len(held_out) == len(splits)


def test_pairs_of_indices_are_a_splitter():
    pairs = [([2, 3], [0, 1]), ([0, 1], [3, 2])]
    np.testing.assert_array_equal(folds.from_splitter(pairs, [0] * 4), [0, 0, 1, 1])
    unsigned = [tuple(map(np.uint64, pair)) for pair in pairs]
    np.testing.assert_array_equal(folds.from_splitter(unsigned, [0] * 4), [0, 0, 1, 1])


def test_groups_stay_whole_and_classes_even():
    splitter = model_selection.StratifiedGroupKFold(3)
    fold_ids = folds.from_splitter(splitter, LABELS, groups=GROUPS)
    for group in np.unique(GROUPS):
        assert len(set(fold_ids[group == GROUPS])) == 1
    for label in np.unique(LABELS):
        assert np.ptp(np.bincount(fold_ids[label == LABELS])) <= 2


@pytest.mark.parametrize("seed", range(4))
def test_the_shape_does_not_depend_on_chance(seed):
    """Two drawn sets of 6 of 60 are disjoint for some seeds and not for others."""
    splitter = model_selection.ShuffleSplit(2, test_size=0.1, random_state=seed)
    assert folds.from_splitter(splitter, np.zeros(60)).shape == (2, 60)
    three = model_selection.ShuffleSplit(3, test_size=0.05, random_state=seed)
    assert folds.from_splitter(three, np.zeros(60)).shape == (3, 60)


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        ([([0, 1], [1, 2])], "got example 1 twice in split 0"),
        ([([0, 1], [2]), ([0], [3, 4, 3])], "got example 3 twice in split 1"),
        ([([0, 1], [])], "must hold out an example in each split, got none in split 0"),
        ([([], [0, 1])], "must train on an example in each split, got none in split 0"),
        ([], "splitter must give a split, got none"),
        (3, r"must be an object with split\(.*\), or pairs .* got 3; such as KFold\(5"),
        (None, "must be an object with split.*, or pairs .* got None; such as KFold"),
        (model_selection.KFold, "must be an object .* got .*KFold.*; give an instance"),
        ("abc", "must be an object with split.* got 'abc'; such as KFold"),
        (["abc"], r"must give pairs \(train, test\) of indices, got 'abc' as split 0"),
        ([([0], [1]), ([0], [1], [2])], r"pairs .* got \(\[0\], .* as split 1"),
        ([3], r"must give pairs \(train, test\) of indices, got 3 as split 0"),
        ([([[0], [1, 2]], [3])], r"integers .* object .* in split 0; give pairs"),
        ([([0], ["a"])], "integers .* got <U1 .* in split 0; convert them to"),
        (
            [([0, 1], [24])],
            r"indices in \[0, 23\], .* got 24 in split 0; give the labels",
        ),
        ([([0, -1], [2])], r"indices in \[0, 23\], .* got -1 in split 0; .* from 0"),
        (
            [([0], [1]), (LABELS == "cat", LABELS == "dog")],
            r"integers .* got bool of shape \(24,\) in split 1; give np.flatnonzero",
        ),
        ([([0.0, 1.0], [2])], "integers .* got float64 .* in split 0; convert them to"),
        ([([[0, 1]], [2])], r"integers .* got int64 of shape \(1, 2\) .*; give pairs"),
    ],
)
def test_other_splits_are_named(splitter, message):
    with pytest.raises(ValueError, match=message):
        folds.from_splitter(splitter, LABELS)
