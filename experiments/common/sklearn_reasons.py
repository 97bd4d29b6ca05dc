"""Reasons why tests of scikit-learn do not apply to jaxlin's estimator."""

#: Names of tests by what they need that `LinearClassifier` does not have.
REASONS: dict[str, tuple[str, ...]] = {
    "L1 or elastic-net penalty": (
        "test_LogisticRegressionCV_GridSearchCV_elastic_net",
        "test_LogisticRegression_elastic_net_objective",
        "test_dense_liblinear_intercept_handling",
        "test_elastic_net_coeffs",
        "test_elastic_net_l1_l2_equivalence",
        "test_elastic_net_versus_sgd",
        "test_elastic_net_vs_l1_l2",
        "test_elasticnet_l1_ratio_err_helpful",
        "test_liblinear_not_stuck",
        "test_linearsvc",
        "test_linearsvc_parameters",
        "test_linearsvm_liblinear_sample_weight",
        "test_logistic_regression_cv_refit",
        "test_logisticregression_liblinear_sample_weight",
        "test_logreg_l1",
        "test_saga_vs_liblinear",
        "test_sample_and_class_weight_equivalence_liblinear",
        "test_scores_attribute_layout_elasticnet",
    ),
    "no penalty at all: such a fit has no certificate": (
        "test_c_inf_no_warning",
        "test_logistic_regression_solvers_multiclass_unpenalized",
        "test_penalty_none",
        "test_warm_start_newton_solver",
    ),
    "a solver of scikit-learn: its iterations, random numbers, dtypes and limits": (
        "test_check_solver_option",
        "test_dtype_match",
        "test_large_sparse_matrix",
        "test_liblinear_dual_random_state",
        "test_liblinear_multiclass_raises",
        "test_liblinear_with_large_values",
        "test_linear_svm_convergence_warnings",
        "test_max_iter",
        "test_newton_cholesky_fallback_to_lbfgs",
        "test_warm_start",
        "test_zero_max_iter",
    ),
    "deprecated keywords": (
        "test_l1_ratio_None_deprecated",
        "test_l1_ratio_non_elasticnet",
        "test_logisticregression_warns_with_n_jobs",
        "test_lr_penalty_l1ratio_incompatible",
        "test_penalty_deprecated",
    ),
    "one-vs-rest squared hinge of more than two classes": (
        "test_auto_weight",
        "test_liblinear_set_coef",
        "test_linearsvc_crammer_singer",
        "test_linearsvc_iris",
    ),
    "digits that scikit-learn's own fit at its default tol does not have": (
        "test_logistic_cv",
        "test_logistic_cv_multinomial_score",
    ),
    "a class of weight 0, whose free intercept has no optimum": (
        "test_multinomial_logistic_regression_string_inputs",
    ),
    "callbacks of scikit-learn": (
        "test_logistic_regression_callback_fitted_estimator",
        "test_logistic_regression_callback_support",
        "test_logistic_regression_callback_support_warning",
    ),
}


def reason_of(test: str) -> str | None:
    """Reason why a test does not apply; None for a test that has to pass."""
    name = test.partition("[")[0]
    return next((reason for reason, names in REASONS.items() if name in names), None)
