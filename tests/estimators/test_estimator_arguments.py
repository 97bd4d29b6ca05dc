"""Errors of both estimators name the estimator's argument, the rule and the value."""

import re

import numpy as np
import pytest
from estimator_peers import examples
from scipy import sparse
from sklearn.model_selection import GroupKFold, TimeSeriesSplit

from jaxlin.sklearn import LinearClassifier, ProbeClassifier

ROWS, LABELS = examples(3)
IS_DOG = LABELS == "dog"
DOGS = np.flatnonzero(IS_DOG)
FROM_0 = sparse.csr_array(ROWS)
# scipy does not check the indices.
FROM_1 = sparse.csr_array(
    (FROM_0.data, FROM_0.indices + 1, FROM_0.indptr), shape=ROWS.shape
)
LARGEST = "must have their largest between 1e-12 and 1e+12, got"
EVERY_CLASS = (
    "must give every class a positive weight where the bias is free, got 0 for"
)

# Argument, its value, and the beginning of the error after the argument's name.
OF_BOTH = [
    ("loss", "logistic", "must be a function of jaxlin.losses or one of softmax, "),
    ("loss", ["softmax"], "must be a function of jaxlin.losses or one of softmax, "),
    ("loss", None, "must be a function of jaxlin.losses or one of softmax, "),
    ("loss", max, "must be one of those with a known conjugate ("),
    ("bias", "yes", "must be one of penalized, free, none, got 'yes'"),
    ("bias", ["free"], "must be one of penalized, free, none, got ['free']"),
    ("tol", 0, "must be above 0, got 0"),
    ("tol", "1e-6", "must be a number, got '1e-6'; convert it by float()"),
    ("tol", np.nan, "must be finite, got nan"),
    ("max_iter", 0, "must be at least 1, got 0"),
    ("max_iter", 10.0, "must be an integer, got 10.0; convert it by int()"),
    ("class_weight", "heavy", 'must be None, "balanced" or a dictionary of labels '),
    ("class_weight", [1.0, 2.0, 3.0], 'must be None, "balanced" or a dictionary of '),
    ("class_weight", {"bird": 2}, "must have labels of y as keys ('cat', 'dog', "),
    ("class_weight", {"dog": 0}, "['dog'] must be above 0, got 0; leave the examples "),
    ("class_weight", {"dog": -1.0}, "['dog'] must be above 0, got -1.0"),
    ("class_weight", {"dog": np.nan}, "['dog'] must be finite, got nan"),
    ("class_weight", {"dog": "2"}, "['dog'] must be a number, got '2'; convert it by"),
    ("sample_weight times class_weight", {"dog": 1e13}, f"{LARGEST} 1e+13; divide "),
    ("sample_weight", IS_DOG - 2.0, "must be finite and at least 0, got -2.0 at row 0"),
    ("sample_weight", np.full(60, 1e13), f"{LARGEST} 1e+13; divide them by their mean"),
    ("X", FROM_1, f"must have column indices in [0, {ROWS.shape[1] - 1}], got "),
    ("y", np.full(60, 7), "must name at least two classes, got only class 7"),
]
OF_LINEAR_CLASSIFIER = [
    ("C", 0, "must be above 0, got 0"),
    ("C", np.inf, "must be finite, got inf"),
    ("C", [1.0], "must be a number, got [1.0]; give one float"),
    ("l2", -1.0, "must be above 0, got -1.0"),
    ("l2", "1", "must be a number, got '1'; convert it by float()"),
    ("loss_arguments", {"margin": 1.0}, "must be among those of softmax_cross_entropy"),
    ("loss_arguments", 3, "must be keywords with their values, got 3; such as "),
    ("X", ROWS * 1e12, "must have norms below 1e+12 once normalised, got "),
]
SPLITS = "must be a number of folds, a splitter or pairs of indices that split these "
TRAINS = "must train on all examples that a split does not hold out, got "
OF_PROBE_CLASSIFIER = [
    ("Cs", 10.0, "must be a sequence of numbers, or an integer that is their number, "),
    ("Cs", True, "must be a sequence of numbers, or an integer that is their number, "),
    ("Cs", "1", "must be a sequence of numbers, or an integer that is their number, "),
    ("Cs", 0, "must be at least 1, got 0"),
    ("Cs", [], "must not be empty, got []"),
    ("Cs", (1.0, 0.0), "[1] must be above 0, got 0.0"),
    ("Cs", (1.0, 1.0), "must be distinct, got (1.0, 1.0)"),
    ("l2s", (0.0,), "[0] must be above 0, got 0.0"),
    ("l2s", 1.0, "must be a sequence of numbers, got 1.0; write (1.0,) for one"),
    ("cv_tol", 0, "must be above 0, got 0"),
    ("cv_tol", None, "must be a number, got None; give one float"),
    ("normalization", "scale", "must be a jaxlin.normalization.Normalization or None"),
    ("choose", "best", "must be a selection rule, such as jaxlin.selection.rules.best"),
    ("cv", 1, "must be at least 2, got 1"),
    ("cv", True, "must be an integer, got True"),
    ("cv", 2.5, "must be an integer, got 2.5; convert it by int()"),
    ("cv", "five", f"{SPLITS}examples, got 'five': "),
    ("cv", 61, f"{SPLITS}examples, got 61: Cannot have number of splits n_splits=61 "),
    ("cv", 21, f"{SPLITS}examples, got 21: n_splits=21 cannot be greater than the "),
    ("cv", [], f"{SPLITS}examples, got []: splitter must give a split, got none"),
    ("cv", [1, 2], f"{SPLITS}examples, got [1, 2]: splitter must give pairs "),
    ("cv", GroupKFold(3), f"{SPLITS}examples, got GroupKFold(n_splits=3, "),
    ("cv", [([0, 1], [2])], f"{TRAINS}[([0, 1], [2])], which leaves out example 3; "),
    ("cv", TimeSeriesSplit(3), f"{TRAINS}TimeSeriesSplit(gap=0, "),
    ("cv", [(np.flatnonzero(~IS_DOG), DOGS)], "must leave an example of every class "),
    ("X", ROWS * 1e35, "must have scales from 7.9e-31 to 1.3e+30, which float32 "),
]
TABLE = [
    (estimator, *case)
    for estimator, own in [
        (LinearClassifier, OF_LINEAR_CLASSIFIER),
        (ProbeClassifier, OF_PROBE_CLASSIFIER),
    ]
    for case in OF_BOTH + own
]


def fit(estimator, *, y=LABELS, X=ROWS, sample_weight=None, **settings):
    return estimator(**settings).fit(X, y, sample_weight=sample_weight)


@pytest.mark.parametrize(("estimator", "name", "value", "rule"), TABLE)
def test_errors_name_the_argument_the_rule_and_the_value(estimator, name, value, rule):
    argument = name.split()[-1]
    with pytest.raises(ValueError, match="^" + re.escape(name)) as caught:
        fit(estimator, **{argument: value})
    space = "" if rule.startswith("[") else " "
    assert str(caught.value).startswith(f"{name}{space}{rule}")


@pytest.mark.parametrize("estimator", [LinearClassifier, ProbeClassifier])
def test_every_argument_is_in_the_table(estimator):
    """But the switch for warm starts, any value of which is true or false."""
    named = {name.split()[-1] for own, name, *_ in TABLE if own is estimator}
    arguments = {*estimator().get_params(), "X", "y", "sample_weight"}
    assert arguments - named <= {"warm_start"}


@pytest.mark.parametrize("estimator", [LinearClassifier, ProbeClassifier])
@pytest.mark.parametrize("class_weight", [None, "balanced", {"cat": 2.0}])
def test_a_class_without_weight_has_no_free_bias(estimator, class_weight):
    with pytest.raises(ValueError, match=f"^y {EVERY_CLASS} class dog"):
        fit(estimator, class_weight=class_weight, sample_weight=1.0 - IS_DOG)


def test_balanced_weights_without_examples_of_a_class():
    """Those of the others are the same up to a factor, which l2 does not see."""
    settings = {"l2": 0.01, "bias": "penalized"}
    kept = ~IS_DOG
    kept[:3] = False
    weights = 1.0 * kept
    found = fit(
        LinearClassifier, class_weight="balanced", sample_weight=weights, **settings
    )
    counts = {label: np.sum(LABELS[kept] == label) for label in ("cat", "ship")}
    own = [1 / counts.get(label, np.inf) for label in LABELS]
    expected = fit(LinearClassifier, sample_weight=weights * own, **settings)
    np.testing.assert_allclose(found.coef_, expected.coef_, rtol=1e-6, atol=1e-9)


def test_predictions_refuse_sparse_rows_with_indices_out_of_range():
    model = fit(LinearClassifier, C=0.7)
    for door in (model.decision_function, model.predict, model.predict_proba):
        with pytest.raises(ValueError, match="^X must have column indices in "):
            door(FROM_1)


def test_settings_that_exclude_each_other():
    with pytest.raises(ValueError, match=r"^C must be None if l2 .* C=1.0 and l2=0.1"):
        fit(LinearClassifier, C=1.0, l2=0.1)
    with pytest.raises(ValueError, match=r"^Cs must be None if l2s .* Cs=3 and l2s="):
        fit(ProbeClassifier, Cs=3, l2s=[0.1])


def test_a_warm_start_is_of_the_same_classes_and_features():
    model = LinearClassifier(C=0.7, warm_start=True).fit(ROWS, LABELS)
    message = r"^warm_start must be False .* \(2, 4\) after \(3, 4\)"
    with pytest.raises(ValueError, match=message):
        model.fit(*examples(2))


def test_labels_are_keys_of_class_weights_whatever_their_type():
    """Integers too, and labels that do not occur, as in scikit-learn."""
    codes = np.arange(60) % 3
    weights = {0: 1, np.int64(1): 2.0, 2.0: 1, 7: 5.0}
    model = fit(LinearClassifier, y=codes, C=0.7, class_weight=weights)
    other = fit(LinearClassifier, C=0.7, class_weight={"dog": 2.0})
    np.testing.assert_array_equal(model.coef_, other.coef_)
