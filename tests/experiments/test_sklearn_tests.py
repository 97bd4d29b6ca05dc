"""Tables of scikit-learn's own tests, and the estimators under its signatures."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.svm
from run_helpers import run_any

from experiments import sklearn_tests
from experiments.common import sklearn_substitutes
from experiments.common.sklearn_reasons import REASONS
from experiments.sklearn_tests import Config


def outcome(test, outcome, *, fits=1):
    return {"test": test, "outcome": outcome, "fits": fits, "message": "why"}


def test_each_test_has_one_reason():
    names = [name for names in REASONS.values() for name in names]
    assert len(names) == len(set(names)) > 30
    assert sklearn_tests.reason_of("test_logreg_l1[a]") == "L1 or elastic-net penalty"
    assert sklearn_tests.reason_of("test_nan") is None


def test_the_tables():
    suites = {
        "logistic_regression": [
            outcome("test_nan", "passed"),
            outcome("test_logreg_l1[a]", "failed"),
            outcome("test_logreg_l1[b]", "failed"),
            outcome("test_max_iter[a]", "passed"),
        ],
        "linear_svc": [outcome("test_weight", "failed")],
        "checks": [
            outcome("test_check[LinearClassifier()-a]", "passed"),
            outcome("test_check[LinearSVC()-a]", "failed"),
        ],
    }
    rows = [{"suite": suite, "tests": tests} for suite, tests in suites.items()]
    text = sklearn_tests.report(Config(), rows)
    assert "| `LogisticRegression` | 2 | 2 | 0 |\n| `LinearSVC` | 0 | 0 | 1 |" in text
    assert "| L1 or elastic-net penalty | 2 | `test_logreg_l1` |" in text
    assert "| `LinearClassifier` | 1 | 0 | 0 |\n| `LinearSVC` | 0 | 0 | 1 |" in text
    assert "failed without a reason: test_weight: why" in text
    assert "passes in spite of a reason: test_max_iter" in text
    assert "passes in spite of a reason: test_logreg_l1" not in text


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("LogisticRegression", sklearn.linear_model.LogisticRegression),
        ("LinearSVC", sklearn.svm.LinearSVC),
    ],
)
def test_substitutes_have_the_signature_of_the_class(name, own):
    substitute = getattr(sklearn_substitutes, name)
    assert substitute().get_params() == own().get_params()


@pytest.mark.parametrize(
    "settings", [{"penalty": "l1"}, {"intercept_scaling": 2}, {"loss": "squared_hinge"}]
)
def test_other_models_are_refused(settings):
    with pytest.raises(NotImplementedError, match="jaxlin "):
        sklearn_substitutes.LinearSVC(**settings).fit(np.eye(3), [0, 1, 2])


@pytest.mark.full
def test_a_run_counts_tests(tmp_path):
    (row,) = run_any("sklearn_tests", out=tmp_path / "run")
    assert [one["outcome"] for one in row["tests"]] == ["passed"]
    assert row["tests"][0]["fits"] > 0
