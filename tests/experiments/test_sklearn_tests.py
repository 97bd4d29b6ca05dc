"""Tables of scikit-learn's own tests, and the estimators under its signatures."""

import numpy as np
import pytest
import sklearn.linear_model
import sklearn.svm
from run_helpers import run_any

from experiments import sklearn_tests
from experiments.common import sklearn_reasons, sklearn_substitutes
from experiments.sklearn_tests import Config

NO_L1 = "NotImplementedError: jaxlin has the L2 penalty alone"


def outcome(test, outcome, *, fits=1, message="why"):
    return {"test": test, "outcome": outcome, "fits": fits, "message": message}


def test_each_failure_has_one_reason():
    entries = sklearn_reasons.EXPECTED
    assert len({(entry.test, entry.message) for entry in entries}) == len(entries) > 30


@pytest.mark.parametrize(
    ("test", "message", "reason"),
    [
        (
            "test_saga_vs_liblinear[42-csr_array-1]",
            NO_L1,
            "an L1 or elastic-net penalty",
        ),
        # Another case of that test, and another exception in that case.
        ("test_saga_vs_liblinear[42-csr_array-0]", NO_L1, None),
        ("test_saga_vs_liblinear[42-csr_array-1]", "AssertionError: 1 == 2", None),
        ("test_logistic_cv[42-True]", f"AssertionError: {NO_L1}", None),
        ("test_nan", NO_L1, None),
    ],
)
def test_a_reason_is_of_a_case_and_an_exception(test, message, reason):
    found = sklearn_reasons.expected(test, message)
    assert (found and found.reason) == reason
    failed = outcome(test, "failed", message=message)
    expected = "does not apply" if reason else "failed"
    assert sklearn_tests.result(failed) == expected


def test_a_small_difference_is_expected_where_a_large_one_is_a_fault():
    """A fit of scikit-learn at its default tol is compared in six digits."""
    message = (
        "AssertionError: Arrays are not almost equal to 6 decimals "
        "Mismatched elements: 5 / 5 (100%) Max absolute difference among violations: "
    )
    for difference, is_expected in {
        "5.6e-06": True,
        "1.6e-05": True,
        "0.1": False,
    }.items():
        found = sklearn_reasons.expected(
            "test_logistic_cv[42-True]", f"{message}{difference} Max relative"
        )
        assert (found is not None) == is_expected


def test_the_tables():
    suites = {
        "logistic_regression": [
            outcome("test_nan", "passed"),
            outcome("test_logreg_l1[a]", "failed", message=NO_L1),
            outcome("test_logreg_l1[b]", "failed", message=NO_L1),
            outcome("test_logreg_l1[c]", "failed"),
            outcome("test_max_iter[a]", "passed"),
            outcome("test_arrays[torch]", "skipped"),
        ],
        "linear_svc": [outcome("test_weight", "failed")],
        "checks": [
            outcome("test_check[LinearClassifier()-a]", "passed"),
            outcome("test_check[LinearSVC()-a]", "failed"),
        ],
    }
    rows = [{"suite": suite, "tests": tests} for suite, tests in suites.items()]
    text = sklearn_tests.report(Config(), rows)
    assert "| `LogisticRegression` | 2 | 2 | 1 |\n| `LinearSVC` | 0 | 0 | 1 |" in text
    assert "| an L1 or elastic-net penalty | 2 | `test_logreg_l1` |" in text
    assert "| `LinearClassifier` | 1 | 0 | 0 |\n| `LinearSVC` | 0 | 0 | 1 |" in text
    assert "skipped after a fit, in no column: test_arrays[torch]: why" in text
    assert text.count("skipped after a fit") == 1
    assert "failed without a reason: test_weight: why" in text
    assert "failed without a reason: test_logreg_l1[c]: why" in text
    assert "no test fails as expected: test_max_iter" in text
    assert "no test fails as expected: test_logreg_l1" not in text


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
