"""Folds of every splitter of scikit-learn: each split holds out what it said."""

import numpy as np
import pytest
from sklearn import model_selection

from jaxlin.selection import fold_weights, folds

LABELS = np.repeat(["cat", "dog", "ship"], 8)
GROUPS = np.tile(np.arange(6), 4)
SPLITTERS = {
    "k fold": (model_selection.KFold(4), (24,)),
    "k fold, shuffled": (
        model_selection.KFold(4, shuffle=True, random_state=0),
        (24,),
    ),
    "stratified": (model_selection.StratifiedKFold(4), (24,)),
    "grouped": (model_selection.GroupKFold(3), (24,)),
    "stratified and grouped": (model_selection.StratifiedGroupKFold(3), (24,)),
    "repeated": (
        model_selection.RepeatedKFold(n_splits=4, n_repeats=3, random_state=0),
        (3, 24),
    ),
    "repeated and stratified": (
        model_selection.RepeatedStratifiedKFold(
            n_splits=4, n_repeats=2, random_state=0
        ),
        (2, 24),
    ),
    "one out": (model_selection.LeaveOneOut(), (24,)),
    "one group out": (model_selection.LeaveOneGroupOut(), (24,)),
    "two groups out": (model_selection.LeavePGroupsOut(2), (15, 24)),
    "given": (model_selection.PredefinedSplit(np.tile([-1, 0, 1], 8)), (24,)),
    "shuffled": (
        model_selection.ShuffleSplit(5, test_size=0.3, random_state=0),
        (5, 24),
    ),
    "shuffled and stratified": (
        model_selection.StratifiedShuffleSplit(5, test_size=0.3, random_state=0),
        (5, 24),
    ),
    "shuffled, a part left out": (
        model_selection.ShuffleSplit(5, test_size=0.2, train_size=0.2, random_state=0),
        (5, 24),
    ),
    "time series": (model_selection.TimeSeriesSplit(3), (3, 24)),
    "shuffled groups": (
        model_selection.GroupShuffleSplit(5, test_size=0.4, random_state=0),
        (5, 24),
    ),
}


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


@pytest.mark.parametrize(
    ("splitter", "message"),
    [
        ([([0, 1], [1, 2])], "got example 1 twice in split 0"),
        ([([0, 1], [2]), ([0], [3, 4, 3])], "got example 3 twice in split 1"),
        ([([0, 1], [])], "must hold out an example in each split, got none in split 0"),
        ([([], [0, 1])], "must train on an example in each split, got none in split 0"),
        ([], "splitter must give a split, got none"),
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
