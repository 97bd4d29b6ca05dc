"""Derivatives of the optimum, against differences of certified optima."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_cases import LOSS_AND_BIAS

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.linear import Params
from jaxlin.problems import fit_derivatives
from jaxlin.solvers import hessian_system

GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(60, 5))
LABELS = (ROWS[:, :3] + GENERATOR.normal(size=(60, 3))).argmax(1)
DISTRIBUTIONS = GENERATOR.dirichlet(np.ones(3), size=60)
WEIGHTS = GENERATOR.uniform(0.5, 2, size=60)
NORMALIZATION = normalization.Normalization(
    np.linspace(-0.2, 0.2, 5), np.array([0.5, -2.0, 1.0, 1.5, 0.7])
)
L2, MARGIN = 0.02, 1.1
SQUARED = losses.weston_watkins_squared_hinge
# Where a function of the optimum, <C, W> + |b|^2 / 2, is differentiated.
COEFFICIENTS = GENERATOR.normal(size=(3, 5))
STEP = 1e-3


def arguments_of(loss):
    """Everything that an optimum has derivatives in."""
    found = {"l2": np.array(L2), "weights": WEIGHTS, "features": ROWS}
    if loss is SQUARED:
        found["margin"] = np.array(MARGIN)
    if loss is losses.cross_entropy:
        found["labels"] = DISTRIBUTIONS
    return found


def certified(loss, bias, arguments):
    """A fit to 13 digits, and its problem."""
    labels = arguments.get("labels", LABELS)
    if labels.ndim == 2:
        labels = labels / labels.sum(axis=1, keepdims=True)
    problem = jaxlin.problem(
        arguments["features"],
        labels,
        weights=arguments["weights"],
        normalization=NORMALIZATION,
    )
    fit = jaxlin.fit(
        problem,
        loss=loss,
        l2=float(arguments["l2"]),
        loss_arguments={
            name: float(one) for name, one in arguments.items() if name == "margin"
        },
        bias=bias,
        stop=jaxlin.Stop(1e-15, 100),
        refine=True,
    )
    assert fit.relative_gap < 1e-13
    return fit, problem


def of_optimum(fit):
    bias = fit.params.bias - np.mean(fit.params.bias)
    return np.sum(COEFFICIENTS * fit.params.weights) + np.sum(bias**2) / 2


def gradient_at(fit):
    return Params(COEFFICIENTS, np.asarray(fit.params.bias))


@functools.cache
def differences(loss, bias):
    """Two random directions of each argument: difference quotients of fourth order."""
    found, arguments = {}, arguments_of(loss)
    for name, value in arguments.items():
        generator = np.random.default_rng(len(name))
        found[name] = []
        for _ in range(2 if value.ndim else 1):
            direction = generator.normal(size=value.shape)
            direction = direction * (value if name != "features" else 1)
            at = {
                step: of_optimum(
                    certified(
                        loss,
                        bias,
                        {**arguments, name: value + step * STEP * direction},
                    )[0]
                )
                for step in (-2, -1, 1, 2)
            }
            quotient = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * STEP)
            found[name].append((direction, quotient))
    return found


@pytest.fixture(params=["factorised", "conjugate gradients"])
def method(request, monkeypatch):
    limit = hessian_system.MAX_DENSE if request.param == "factorised" else 0
    monkeypatch.setattr(hessian_system, "MAX_DENSE", limit)


@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_derivatives_are_those_of_certified_optima(loss, bias, method):
    fit, problem = certified(loss, bias, arguments_of(loss))
    found = fit_derivatives.of_fit(fit, problem, gradient_at(fit))
    for name, cases in differences(loss, bias).items():
        value, error = getattr(found, f"in_{name}")()
        assert value.dtype == error.dtype == np.float64
        assert value.shape == error.shape == np.shape(arguments_of(loss)[name])
        for direction, quotient in cases:
            assert np.sum(value * direction) == pytest.approx(quotient, rel=1e-5)


@pytest.mark.parametrize("bias", ["penalized", "free", "none"])
def test_l2_of_each_feature_is_a_scale_of_its_column(bias):
    """At l2_j the weight of column j is that of the column over sqrt(l2_j / l2)."""
    arguments = arguments_of(SQUARED)
    fit, problem = certified(SQUARED, bias, arguments)
    found = fit_derivatives.of_fit(fit, problem, gradient_at(fit))
    value, error = found.in_l2(axis=0)
    total, _ = found.in_l2()
    assert value.shape == error.shape == (6,)
    assert np.sum(value) == pytest.approx(total)
    if bias != "penalized":
        assert value[5] == 0
    for j in (1, 4):
        at = {}
        for step in (-2, -1, 1, 2):
            scales = np.ones(5)
            scales[j] = np.sqrt(L2 / (L2 * (1 + step * STEP)))
            mean, scale = NORMALIZATION
            rows = mean + (ROWS - mean) * scales
            moved, _ = certified(SQUARED, bias, {**arguments, "features": rows})
            weights = np.asarray(moved.params.weights) * scales
            at[step] = of_optimum(
                moved._replace(params=Params(weights, moved.params.bias))
            )
        quotient = (8 * (at[1] - at[-1]) - (at[2] - at[-2])) / (12 * STEP * L2)
        assert value[j] == pytest.approx(quotient, rel=1e-5)


@pytest.mark.parametrize("bias", ["penalized", "none"])
def test_l2_of_each_class(bias):
    """Against the implicit function theorem with Hessians of automatic derivatives."""
    loss = losses.softmax_cross_entropy
    fit, problem = certified(loss, bias, arguments_of(loss))
    value, error = fit_derivatives.of_fit(fit, problem, gradient_at(fit)).in_l2(axis=1)
    assert value.shape == error.shape == (3,)
    with jax.enable_x64(True):
        rows = (ROWS - NORMALIZATION.mean) / NORMALIZATION.scale
        rows = jnp.asarray(np.c_[rows, np.ones(60) * (bias == "penalized")])

        def objective(flat, l2):
            folded = flat.reshape(3, 6)
            found = jax.vmap(loss)(rows @ folded.T, jnp.asarray(LABELS))
            mean = jnp.sum(WEIGHTS * found) / np.sum(WEIGHTS)
            return mean + jnp.sum(l2[:, None] * folded**2) / 2

        flat = jnp.asarray(linear.fold_bias(Params(*map(jnp.asarray, fit.params))))
        at = (flat.ravel(), jnp.full(3, L2))
        right = np.c_[COEFFICIENTS, np.asarray(fit.params.bias)].ravel()
        right = right * np.tile(np.append(np.ones(5), bias == "penalized"), 3)
        solved = np.linalg.solve(jax.hessian(objective)(*at), right)
        mixed = jax.jacfwd(jax.grad(objective), argnums=1)(*at)
        np.testing.assert_allclose(value, -solved @ mixed, rtol=1e-7)


def test_rows_of_weight_0_have_derivatives_in_their_weight_alone():
    loss, weights = losses.softmax_cross_entropy, WEIGHTS.copy()
    weights[7] = 0
    arguments = {**arguments_of(loss), "weights": weights}
    fit, problem = certified(loss, "penalized", arguments)
    found = fit_derivatives.of_fit(fit, problem, gradient_at(fit))
    in_features, error = found.in_features()
    assert not in_features[7].any()
    assert not error[7].any()
    at = {}
    for step in (0, 1, 2):
        moved = weights.copy()
        moved[7] = 10 * step * STEP
        one, _ = certified(loss, "penalized", {**arguments, "weights": moved})
        at[step] = of_optimum(one)
    quotient = (4 * at[1] - at[2] - 3 * at[0]) / (20 * STEP)
    assert found.in_weights().value[7] == pytest.approx(quotient, rel=1e-4)


def test_derivatives_that_a_fit_has_not_are_refused():
    loss = losses.softmax_cross_entropy
    fit, problem = certified(loss, "penalized", arguments_of(loss))
    found = fit_derivatives.of_fit(fit, problem, gradient_at(fit))
    with pytest.raises(ValueError, match=r"fit must have a margin .*give loss_arg"):
        found.in_margin()
    with pytest.raises(ValueError, match="labels must be distributions"):
        found.in_labels()
    with pytest.raises(ValueError, match=r"axis must be None .*got 2"):
        found.in_l2(axis=2)
    with pytest.raises(ValueError, match="cotangent must"):
        fit_derivatives.of_fit(fit, problem, Params(COEFFICIENTS.T, np.zeros(5)))
    with pytest.raises(ValueError, match="cotangent must be jaxlin.linear.Params"):
        fit_derivatives.of_fit(fit, problem, COEFFICIENTS)
    for bad in (np.nan, np.inf):
        cotangent = Params(COEFFICIENTS, np.array([0, bad, 0]))
        with pytest.raises(ValueError, match="cotangent must be finite.* in its bias"):
            fit_derivatives.of_fit(fit, problem, cotangent)
    with pytest.raises(ValueError, match="fit must be a jaxlin.Fit, got a int"):
        fit_derivatives.of_fit(3, problem, gradient_at(fit))
    with pytest.raises(ValueError, match="problem must be a jaxlin.Problem"):
        fit_derivatives.of_fit(fit, ROWS, gradient_at(fit))
    with pytest.raises(ValueError, match="outside jax.jit"):
        jax.jit(lambda: fit_derivatives.of_fit(fit, problem, gradient_at(fit)))()
    hinge = fit._replace(loss=losses.weston_watkins_hinge)
    with pytest.raises(ValueError, match="fit must be of a smooth loss"):
        fit_derivatives.of_fit(hinge, problem, gradient_at(fit))
