"""Runs that may count the test examples, but not look at them until they are opened."""

import dataclasses
from typing import NamedTuple

import pytest
import run_helpers
from run_helpers import MINIBATCH

from experiments.svm_vs_softmax import training, verdict
from jaxlin import data


class _Sealed:
    """Test examples that may be counted and not looked at."""

    def __init__(self, array):
        self._length = len(array)

    def __len__(self):
        return self._length

    def _refuse(self, *_):
        raise AssertionError("the test set was touched early")

    __getattr__ = __getitem__ = __array__ = __eq__ = _refuse
    __hash__ = None


class SealedDataset:
    """A data set whose test split is sealed until ``is_open()``."""

    def __init__(self, dataset, is_open):
        self._dataset, self._is_open = dataset, is_open
        self._sealed = data.Split(*map(_Sealed, dataset.test))

    def __getattr__(self, name):
        if name == "test" and not self._is_open():
            return self._sealed
        return getattr(self._dataset, name)


def seal(patch, dataset, is_open):
    """Makes an experiment load a data set that is sealed until ``is_open()``."""
    sealed, facts = SealedDataset(dataset, is_open), data.summary(dataset)
    patch.setattr(data, "load", lambda *_: sealed)
    patch.setattr(data, "summary", lambda _: facts)


class Watched(NamedTuple):
    """A run, the stages it trained, and what had been trained at each test."""

    run: run_helpers.Run
    stages: list[training.Stage]
    tested: list[list[str]]


def watched_run(digits, out):
    """Other l2 and learning rates, the same shapes, a sealed test set."""
    config = dataclasses.replace(
        MINIBATCH,
        hinge_l2=(1e-4, 3e-3),
        hinge_learning_rates=(0.1, 2.0),
        softmax_l2=(3e-5, 3e-3),
        softmax_learning_rates=(0.2, 0.9),
    )
    stages, tested = [], []
    train, evaluate = training.train, verdict.evaluate

    def watched_train(folder, stage):
        assert not tested, "training after a look at the test set"
        stages.append(stage)
        return train(folder, stage)

    def watched_evaluate(method, one, prepared, test):
        tested.append([record["stage"] for record in run_helpers.metrics(out)])
        return evaluate(method, one, prepared, digits.test)

    with pytest.MonkeyPatch.context() as patch:
        seal(patch, digits, lambda: tested)
        patch.setattr(training, "train", watched_train)
        patch.setattr(verdict, "evaluate", watched_evaluate)
        found = run_helpers.run(config, out=out, pictures=False)
    return Watched(found, stages, tested)
