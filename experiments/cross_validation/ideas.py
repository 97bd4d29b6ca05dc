"""The four ideas, and what each has to say about one sample.

A record is what `experiments.cross_validation.measure` has measured of a sample, in the
values of a row of samples.json; lists over l2 go from the strongest penalty down:

  sample    number of the sample
  l2        strengths
  accuracy  "training": of the fits on all n, on the same; "test": of those on four
            fifths, on the test set; "validation": of those on three fifths, on the
            validation set; "folds": without each fold, on it, one list a fold
  truth     accuracy on what was not drawn: "all" and "four_fifths", of these fits;
            "three_fifths" and "folds", of the fits at the l2 that ideas 3 and 4 choose
  proofs    "fits", how many were "certified", the "largest_gap", "passes"
"""

from typing import Any, NamedTuple

import numpy as np

from jaxlin.selection import rules

Record = dict[str, Any]


class Idea(NamedTuple):
    """Choice of l2, and the classifier that is used afterwards.

    Attributes:
      title: on the page.
      chooses_by: accuracy of a record.
      fitted_on: what the classifier is fitted on, a truth of a record.
    """

    title: str
    chooses_by: str
    fitted_on: str


class Estimate(NamedTuple):
    """An accuracy that an idea reports about its classifier.

    Attributes:
      title: on the page.
      idea: name of the idea.
      measured: accuracy of a record, at the l2 chosen.
      models: truth of a record: of the models that this accuracy was measured of.
    """

    title: str
    idea: str
    measured: str
    models: str


# By their names in results.json and results.csv.
IDEAS = {
    "train_only": Idea("1: train only", "training", "all"),
    "train_test": Idea("2: train, test", "test", "four_fifths"),
    "train_validation_test": Idea(
        "3: train, validation, test", "validation", "four_fifths"
    ),
    "cross_validation": Idea("4: cross-validation, test", "folds", "four_fifths"),
}
ESTIMATES = {
    "training": Estimate(
        "1: training set, which chose", "train_only", "training", "all"
    ),
    "test_that_chose": Estimate(
        "2: test set, which chose", "train_test", "test", "four_fifths"
    ),
    "validation": Estimate(
        "3: validation set, which chose",
        "train_validation_test",
        "validation",
        "three_fifths",
    ),
    "test_after_validation": Estimate(
        "3: test set, untouched", "train_validation_test", "test", "four_fifths"
    ),
    "folds": Estimate("4: folds, which chose", "cross_validation", "folds", "folds"),
    "test_after_folds": Estimate(
        "4: test set, untouched", "cross_validation", "test", "four_fifths"
    ),
}


def over_l2(record: Record, name: str) -> np.ndarray:
    """An accuracy of a record at every l2, shape ``(l2, parts)``."""
    return np.atleast_2d(record["accuracy"][name]).T


def chosen(record: Record, idea: Idea) -> int:
    """Place of the l2 that an idea chooses; of equal ones the most penalised."""
    return rules.best(over_l2(record, idea.chooses_by), strength=record["l2"])


def oracle(record: Record, idea: Idea) -> int:
    """Place of the l2 whose classifier is best in truth."""
    truth = np.array(record["truth"][idea.fitted_on])
    return rules.best(truth[:, None], strength=record["l2"])


def truth(record: Record, idea: Idea) -> float:
    """Accuracy in truth of the classifier of an idea."""
    return record["truth"][idea.fitted_on][chosen(record, idea)]


def reported(record: Record, estimate: Estimate) -> float:
    """Accuracy by an estimate."""
    place = chosen(record, IDEAS[estimate.idea])
    return float(over_l2(record, estimate.measured)[place].mean())


def truth_of_measured(record: Record, estimate: Estimate) -> float:
    """Accuracy in truth of the models that the estimate was measured of.

    Those are fitted on fewer examples than the classifier, where a validation set or
    folds report.
    """
    values = record["truth"][estimate.models]
    if estimate.models in ("all", "four_fifths"):
        return values[chosen(record, IDEAS[estimate.idea])]
    return float(np.mean(values))
