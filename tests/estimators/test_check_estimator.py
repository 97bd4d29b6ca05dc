"""scikit-learn's checks of an estimator, all of those of its own classifier."""

import collections
import os

import jax
import numpy as np
import processes
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.utils import estimator_checks

from jaxlin.sklearn import LinearClassifier, ProbeClassifier

# Checks that fit nothing, or what others of them have compiled.
QUICK = {
    "check_all_zero_sample_weights_error",
    "check_classifiers_one_label",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_regression_target",
    "check_complex_data",
    "check_do_not_raise_errors_in_init_or_set_params",
    "check_estimator_cloneable",
    "check_estimator_repr",
    "check_estimator_tags_renamed",
    "check_estimators_empty_data_messages",
    "check_estimators_partial_fit_n_features",
    "check_estimators_unfitted",
    "check_fit1d",
    "check_fit2d_1sample",
    "check_get_params_invariance",
    "check_mixin_order",
    "check_no_attributes_set_in_init",
    "check_parameters_default_constructible",
    "check_requires_y_none",
    "check_set_params",
    "check_supervised_y_no_nan",
    "check_valid_tag_types",
}


def checks(estimator):
    return list(estimator_checks.estimator_checks_generator(estimator))


def name_of(check):
    return estimator_checks._check_name(check)


def cases():
    for estimator in (LinearClassifier(), ProbeClassifier()):
        for number, (_, check) in enumerate(checks(estimator)):
            name = name_of(check)
            if "array_api" in name:
                continue
            yield pytest.param(
                estimator,
                check,
                id=f"{type(estimator).__name__}-{number}-{name}",
                marks=[] if name in QUICK else [pytest.mark.full],
            )


@pytest.fixture
def few_programs():
    """A process may map 65,530 regions of memory, and each program takes some."""
    yield
    jax.clear_caches()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("few_programs")
@pytest.mark.parametrize(("estimator", "check"), list(cases()))
def test_checks_of_scikit_learn(estimator, check):
    check(estimator)


@pytest.mark.full
def test_checks_of_arrays_of_other_libraries():
    """They run only if a variable is set before SciPy is imported, else they skip."""
    program = """if True:
        from sklearn.utils import estimator_checks
        from jaxlin.sklearn import LinearClassifier, ProbeClassifier

        for model in (LinearClassifier(), ProbeClassifier()):
            for _, check in estimator_checks.estimator_checks_generator(model):
                if "array_api" in estimator_checks._check_name(check):
                    check(model)
                    print(type(model).__name__)
    """
    environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
    process = processes.start("-W", "ignore", "-c", program, env=environment)
    code, output, errors = processes.finish(process)
    assert code == 0, errors
    assert output.split() == ["LinearClassifier", "ProbeClassifier"]


@pytest.mark.parametrize("estimator", [LinearClassifier(), ProbeClassifier()])
def test_no_check_is_left_out(estimator):
    """But those of arrays of other libraries, which scikit-learn's own class takes."""

    def counted(one):
        names = [name_of(check) for _, check in checks(one)]
        # That of weights runs once for each solver of scikit-learn's own class.
        once = dict.fromkeys(name for name in names if "sample_weight_eq" in name)
        others = [n for n in names if n not in once and "array_api" not in n]
        return collections.Counter([*once, *others])

    assert counted(estimator) == counted(LogisticRegression())
    assert counted(estimator).total() > 60
    assert set(counted(estimator)) >= QUICK


@pytest.mark.full
@pytest.mark.parametrize(
    "loss",
    [
        "weston_watkins_hinge",
        "weston_watkins_squared_hinge",
        "crammer_singer_hinge",
        "one_vs_rest_hinge",
    ],
)
@pytest.mark.parametrize("bias", ["free", "penalized"])
def test_weights_are_repeated_rows(loss, bias):
    """The check compares scores to a relative 1e-7."""
    model = LinearClassifier(loss, bias=bias, tol=1e-10)
    estimator_checks.check_sample_weight_equivalence_on_dense_data("", model)


def test_weights_are_repeated_rows_of_softmax():
    model = LinearClassifier(l2=1e-2, bias="penalized")
    estimator_checks.check_sample_weight_equivalence_on_dense_data("", model)


def test_labels_of_one_class_are_refused():
    """scikit-learn's own class does so, too."""
    with pytest.raises(ValueError, match="at least two classes, got only class 7"):
        LinearClassifier().fit(np.eye(3), [7, 7, 7])
