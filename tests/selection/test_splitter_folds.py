"""Folds of every splitter of scikit-learn: each split holds out what it said."""

import numpy as np
import pytest
from sklearn import model_selection

from jaxlin.selection import folds

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
    weights = folds.train_weights_of_all(fold_ids, num_examples=24).reshape(-1, 24)
    # A splitter with a fixed random state gives the same splits twice.
    splits = list(splitter.split(np.zeros((24, 1)), LABELS, groups))
    assert len(weights) == len(splits)
    for found, (train, test) in zip(weights, splits, strict=True):
        np.testing.assert_array_equal(np.flatnonzero(found == 1), np.sort(train))
        np.testing.assert_array_equal(np.flatnonzero(found == 0), np.sort(test))


def test_pairs_of_indices_are_a_splitter():
    pairs = [([2, 3], [0, 1]), ([0, 1], [3, 2])]
    np.testing.assert_array_equal(folds.from_splitter(pairs, [0] * 4), [0, 0, 1, 1])


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
        (model_selection.TimeSeriesSplit(3), "example 12 is neither in training nor"),
        (
            model_selection.ShuffleSplit(train_size=0.2, test_size=0.2, random_state=0),
            "split 0, where example .* is neither in training nor held out; for",
        ),
        ([([0, 1], [1, *range(2, 24)])], "example 1 is there more than once"),
        ([(range(24), [])], "must hold out an example in each split, got none in sp"),
        ([], "splitter must give a split, got none"),
    ],
)
def test_other_splits_are_named(splitter, message):
    with pytest.raises(ValueError, match=message):
        folds.from_splitter(splitter, LABELS)
