"""Values by hand, gradients by rule."""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest

import jaxlin
from jaxlin import linear, losses, objective
from jaxlin.objective import penalties

TREE = linear.Params(jnp.array([[3.0, -4.0], [0.0, 2.0]]), jnp.array([-1.0, 0.5]))


def test_values_typed_as_arithmetic():
    assert penalties.l2(TREE) == (9 + 16 + 0 + 4 + 1 + 0.25) / 2
    assert penalties.l1(TREE) == 3 + 4 + 0 + 2 + 1 + 0.5
    mixed = penalties.elastic_net(TREE, l1_ratio=0.25)
    assert mixed == 0.25 * 10.5 + 0.75 * 15.125


def test_gradient_of_l2_is_the_weights():
    jax.tree.map(np.testing.assert_array_equal, jax.grad(penalties.l2)(TREE), TREE)


def test_gradient_of_l1_is_the_sign_and_zero_at_zero():
    gradient = jax.grad(penalties.l1)(TREE)
    np.testing.assert_array_equal(gradient.weights, [[1, -1], [0, 1]])


def test_dtype_is_kept():
    for penalty in (penalties.l2, penalties.l1):
        assert penalty(jnp.ones(3, jnp.bfloat16)).dtype == jnp.bfloat16


# --- scikit-learn's constant.


def binary_and_not():
    """Rows with a column of ones, labels of two and of three classes, and weights."""
    generator = np.random.default_rng(0)
    rows = np.c_[generator.normal(size=(60, 5)), np.ones(60)]
    noisy = rows[:, :3] + generator.normal(size=(60, 3))
    weights = generator.integers(1, 6, size=60)
    return rows, {count: noisy[:, :count].argmax(axis=1) for count in (2, 3)}, weights


def as_ours(coefficients, share):
    """Two classes, of which scikit-learn keeps one row."""
    if len(coefficients) > 1:
        return coefficients
    return share * np.concatenate([-coefficients, coefficients])


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("is_weighted", [False, True])
def test_logistic_regression_has_its_optimum_at_this_l2(num_classes, is_weighted):
    """The gradient of our objective, in NumPy, is 0 there, and nowhere near."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, labels, weights = binary_and_not()
    labels, weights = labels[num_classes], weights if is_weighted else np.ones(60)
    model = linear_model.LogisticRegression(
        C=0.05, fit_intercept=False, tol=1e-12, max_iter=10_000
    ).fit(rows, labels, sample_weight=weights)
    folded = as_ours(model.coef_, 0.5)
    (l2,) = penalties.l2_of_c(
        (0.05,), total_weight=weights.sum(), num_classes=num_classes
    )
    odds = np.exp(rows @ folded.T)
    errors = odds / odds.sum(axis=1, keepdims=True) - np.eye(num_classes)[labels]
    of_rows = (weights[:, None] * errors).T @ rows / weights.sum()
    np.testing.assert_allclose(of_rows + l2 * folded, 0, atol=1e-6)
    # And with one class's constant for the other it is not.
    assert np.abs(of_rows + 2 * l2 * folded).max() > 1e-2


@pytest.mark.parametrize(
    ("loss", "multi_class", "share", "row_per_class"),
    [
        (losses.weston_watkins_hinge, "ovr", 0.5, False),
        (losses.one_vs_rest_hinge, "ovr", 1.0, True),
        (losses.crammer_singer_hinge, "crammer_singer", 0.5, True),
    ],
)
def test_linear_svc_of_two_classes_has_its_optimum_at_this_l2(
    loss, multi_class, share, row_per_class
):
    svm = pytest.importorskip("sklearn.svm")
    rows, labels, _ = binary_and_not()
    model = svm.LinearSVC(
        loss="hinge",
        multi_class=multi_class,
        C=0.05,
        fit_intercept=False,
        tol=1e-10,
        max_iter=10_000_000,
    ).fit(rows, labels[2])
    folded = as_ours(model.coef_, share)
    (l2,) = penalties.l2_of_c(
        (0.05,), total_weight=60, num_classes=2, row_per_class=row_per_class
    )
    # The optimum is that of dense NumPy, and what it is of is our objective.
    data = optima.Data(rows, labels[2], np.full(60, 1 / 60), 2, loss.__name__, l2)
    best = optima.optimum(data)
    np.testing.assert_allclose(
        folded, best.weights, rtol=0, atol=1e-4 * np.abs(folded).max()
    )
    params = linear.Params(np.float32(folded[:, :-1]), np.float32(folded[:, -1]))
    value = objective.objective(
        params, np.float32(rows[:, :-1]), labels[2], loss=loss, l2=l2
    )
    np.testing.assert_allclose(value, best.value, rtol=1e-5)


@pytest.mark.parametrize(
    ("loss", "of_two"),
    [
        (losses.softmax_cross_entropy, 0.04),
        (losses.weston_watkins_hinge, 0.04),
        (losses.weston_watkins_squared_hinge, 0.04),
        (losses.crammer_singer_hinge, 0.02),
        (losses.one_vs_rest_hinge, 0.02),
    ],
)
def test_the_loss_sets_the_number_of_penalised_rows(loss, of_two):
    for num_classes, expected in ((2, of_two), (3, 0.02)):
        found = penalties.l2_of_c_for(
            loss, (0.5,), total_weight=100, num_classes=num_classes
        )
        assert found == pytest.approx((expected,))


@pytest.mark.parametrize(
    ("loss", "row_per_class"),
    [
        (losses.weston_watkins_hinge, False),
        pytest.param(losses.one_vs_rest_hinge, True, marks=pytest.mark.full),
        pytest.param(losses.crammer_singer_hinge, True, marks=pytest.mark.full),
    ],
)
def test_a_fit_at_this_l2_has_that_optimum(loss, row_per_class):
    rows, labels, _ = binary_and_not()
    (l2,) = penalties.l2_of_c(
        (0.05,), total_weight=60, num_classes=2, row_per_class=row_per_class
    )
    data = optima.Data(rows, labels[2], np.full(60, 1 / 60), 2, loss.__name__, l2)
    best = optima.optimum(data).weights
    # With its margin given: the program of `fitting_problems`.
    settings = {"loss": loss, "l2": l2, "loss_arguments": {"margin": 1.0}}
    ours = jaxlin.fit(rows[:, :-1], labels[2], stop=jaxlin.Stop(1e-5), **settings)
    found = np.c_[ours.params.weights, ours.params.bias]
    radius = np.sqrt(2e-5 * ours.certificate.primal / l2)
    np.testing.assert_allclose(found, best, atol=radius)
    assert radius < 0.05 * np.abs(best).max()


def test_the_formula_is_its_own_inverse_and_refuses_bad_input():
    arguments = {"total_weight": 7.5, "num_classes": 2}
    l2s = penalties.l2_of_c((0.1, 3.0), **arguments)
    np.testing.assert_allclose(penalties.l2_of_c(l2s, **arguments), (0.1, 3.0))
    for bad, message in (
        ({"total_weight": 0}, "total_weight must be above 0"),
        ({"num_classes": 1}, "num_classes must be at least 2"),
    ):
        with pytest.raises(ValueError, match=message):
            penalties.l2_of_c((1.0,), **{**arguments, **bad})
    with pytest.raises(ValueError, match=r"cs\[0\] must be above 0"):
        penalties.l2_of_c((0.0,), **arguments)
