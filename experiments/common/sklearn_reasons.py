"""Reasons why tests of scikit-learn do not apply to jaxlin's estimator.

A reason holds for the cases of a test that are named here and fail as said here, so
that another failure of such a test counts as one.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_NO_L1 = "NotImplementedError: jaxlin has the L2 penalty alone"
_NO_SQUARED_HINGE = "NotImplementedError: jaxlin has no one-vs-rest squared hinge"
_NO_INFINITE_C = "ValueError: C must be finite, got inf"
_NO_CALLBACKS = "AttributeError: .* object has no attribute 'set_callbacks'"
_NO_ERROR = "Failed: DID NOT RAISE ValueError"
_NO_CONVERGENCE_WARNING = "Failed: DID NOT WARN.*ConvergenceWarning"
_NO_FUTURE_WARNING = "Failed: DID NOT WARN.*FutureWarning"
_NO_USER_WARNING = "Failed: DID NOT WARN.*UserWarning"

# By reason: patterns of the exception, and of the tests and cases that it ends.
_EXPECTED: dict[str, dict[str, tuple[str, ...]]] = {
    "an L1 or elastic-net penalty": {
        _NO_L1: (
            r"test_LogisticRegression_elastic_net_objective\[.*\]",
            r"test_dense_liblinear_intercept_handling",
            r"test_elastic_net_coeffs\[\d+\]",
            r"test_elastic_net_l1_l2_equivalence\[\d+-(l1-1|l2-0)-.*\]",
            r"test_elastic_net_versus_sgd\[.*\]",
            r"test_elastic_net_vs_l1_l2\[.*\]",
            r"test_elasticnet_l1_ratio_err_helpful\[LogisticRegression-l1_ratio\]",
            r"test_liblinear_not_stuck\[\d+\]",
            r"test_linearsvc\[\d+\]",
            r"test_linearsvc_parameters\[.*-l1-(squared_)?hinge\]",
            r"test_linearsvm_liblinear_sample_weight\[\d+-LinearSVC-params0\]",
            r"test_logistic_regression_cv_refit\[\d+-1\]",
            r"test_logisticregression_liblinear_sample_weight\[\d+-params0\]",
            r"test_logreg_l1\[.*\]",
            r"test_saga_vs_liblinear\[.*-1\]",
            r"test_sample_and_class_weight_equivalence_liblinear\[\d+\]",
        ),
        # Grid searches, in which fits with an L1 penalty fail.
        r"AssertionError: assert np.float64\(0.0\) == 1.0 .*\.l1_ratio_": (
            r"test_LogisticRegressionCV_GridSearchCV_elastic_net\[3\]",
        ),
        "ValueError: All the 5 fits failed. .*the L2 penalty alone": (
            r"test_scores_attribute_layout_elasticnet",
        ),
    },
    "a fit without a penalty, which has no certificate": {
        _NO_INFINITE_C: (
            r"test_c_inf_no_warning\[.*\]",
            r"test_logistic_regression_solvers_multiclass_unpenalized\[.*\]",
            r"test_warm_start_newton_solver\[inf-.*\]",
        ),
        _NO_USER_WARNING: (r"test_penalty_none\[.*\]",),
    },
    "a solver of scikit-learn: its iterations, random numbers, dtypes, limits": {
        _NO_ERROR: (
            r"test_check_solver_option\[LogisticRegression\]",
            r"test_large_sparse_matrix\[.*-(liblinear|sag|saga)\]",
            r"test_liblinear_multiclass_raises\[LogisticRegression\]",
            # LinearSVC has no primal fit of this loss.
            r"test_linearsvc_parameters\[\d+-False-l2-hinge\]",
        ),
        # Fits of two seeds are equal.
        "Failed: DID NOT RAISE AssertionError": (
            r"test_liblinear_dual_random_state\[\d+\]",
        ),
        r"AssertionError: assert dtype\('float32'\) == <class 'numpy.float64'>": (
            r"test_dtype_match\[.*-liblinear\]",
        ),
        'AssertionError: Regex pattern did not match. Expected regex: "Using the '
        "'liblinear' solver .* Actual message: 'X must have norms below": (
            r"test_liblinear_with_large_values",
        ),
        _NO_CONVERGENCE_WARNING: (
            r"test_linear_svm_convergence_warnings\[\d+\]",
            r"test_max_iter\[.*\]",
            r"test_newton_cholesky_fallback_to_lbfgs",
        ),
        # Without a warm start each fit takes its passes again.
        r"AssertionError: Warm starting issue .* and warm_start=False": (
            r"test_warm_start\[\d+-(True|False)-False-.*\]",
        ),
        # Fits with max_iter=0.
        r"(AssertionError: )?assert array\(\[\d+\], dtype=int32\) == 0": (
            r"test_zero_max_iter\[(lbfgs|liblinear|newton-cg|newton-cholesky)\]",
        ),
        r"AssertionError: Not equal to tolerance .* 0.0 \(DESIRED\)": (
            r"test_zero_max_iter\[saga?\]",
        ),
    },
    "deprecated keywords": {
        _NO_FUTURE_WARNING: (
            r"test_l1_ratio_None_deprecated",
            r"test_logisticregression_warns_with_n_jobs",
            r"test_penalty_deprecated\[LogisticRegression\]",
        ),
        _NO_USER_WARNING: (
            r"test_l1_ratio_non_elasticnet",
            r"test_lr_penalty_l1ratio_incompatible\[.*\]",
        ),
    },
    "the one-vs-rest squared hinge with more than two classes": {
        _NO_SQUARED_HINGE: (
            r"test_auto_weight",
            r"test_liblinear_set_coef\[\d+\]",
            r"test_linearsvc_crammer_singer\[\d+\]",
            r"test_linearsvc_iris\[\d+\]",
        ),
    },
    "an optimum as inaccurate as scikit-learn's at its default tol": {
        "AssertionError: Arrays are not almost equal to 6 decimals .*"
        r"Max absolute difference among violations: \d\.\d+e-0[56] ": (
            r"test_logistic_cv\[\d+-(True|False)\]",
        ),
        "AssertionError: Arrays are not almost equal to 6 decimals .*"
        r"Max absolute difference among violations: 0\.000[0-4]\d* ": (
            r"test_logistic_cv_multinomial_score\[neg_log_loss-.*\]",
        ),
    },
    "a class weight of 0": {
        r"ValueError: class_weight\['foo'\] must be above 0, got 0": (
            r"test_multinomial_logistic_regression_string_inputs",
        ),
    },
    "callbacks of scikit-learn": {
        _NO_CALLBACKS: (
            r"test_logistic_regression_callback_fitted_estimator\[.*\]",
            r"test_logistic_regression_callback_support\[.*\]",
        ),
        _NO_USER_WARNING: (r"test_logistic_regression_callback_support_warning",),
    },
}


class Expected(NamedTuple):
    """Failure that does not count.

    Attributes:
      reason: reason why the test does not apply.
      test: pattern of the test with its case, as ``test_name[case]``.
      message: pattern of the beginning of the exception.
    """

    reason: str
    test: str
    message: str


def _all() -> Iterator[Expected]:
    for reason, by_message in _EXPECTED.items():
        for message, tests in by_message.items():
            for test in tests:
                yield Expected(reason, test, message)


#: All expected failures.
EXPECTED: tuple[Expected, ...] = tuple(_all())


def expected(test: str, message: str) -> Expected | None:
    """Entry of a failed test; None for one that has to pass.

    Args:
      test: name of the test with its case, as ``test_name[case]``.
      message: beginning of the exception, in one line.
    """
    for entry in EXPECTED:
        if re.fullmatch(entry.test, test) and re.match(entry.message, message):
            return entry
    return None
