"""Splitters of scikit-learn with the shape of their fold ids, for several tests."""

import numpy as np
import pytest
from sklearn import model_selection

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
# Those that train on all examples that they do not hold out. Programs are compiled for
# each number of splits: the others of few repeats are long.
OF_PROBES = [
    name if "shuffled" in name.split() else pytest.param(name, marks=pytest.mark.full)
    for name in SPLITTERS
    if name not in ("shuffled, a part left out", "time series")
]
