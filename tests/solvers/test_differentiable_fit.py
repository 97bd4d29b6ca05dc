"""`jax.grad` through `jaxlin.fit`, against derivatives of the optimum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_cases import LOSS_AND_BIAS

import jaxlin
from jaxlin import losses, normalization
from jaxlin.linear import Params
from jaxlin.objective import row_blocks
from jaxlin.problems import fit_derivatives
from jaxlin.solvers import hessian_system

EXAMPLES, WIDTH, CLASSES = 60, 5, 3
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(EXAMPLES, WIDTH)).astype(np.float32)
LABELS = (ROWS[:, :3] + GENERATOR.normal(size=(EXAMPLES, 3))).argmax(1)
DISTRIBUTIONS = GENERATOR.dirichlet(np.ones(CLASSES), size=EXAMPLES)
DISTRIBUTIONS = DISTRIBUTIONS.astype(np.float32)
WEIGHTS = GENERATOR.uniform(0.5, 2, size=EXAMPLES).astype(np.float32)
COEFFICIENTS = GENERATOR.normal(size=(CLASSES, WIDTH)).astype(np.float32)
SOFTMAX, SQUARED = losses.softmax_cross_entropy, losses.weston_watkins_squared_hinge
SETTINGS = {"loss": SOFTMAX, "l2": 0.05, "stop": jaxlin.Stop(1e-8)}


def outer(params):
    return jnp.sum(COEFFICIENTS * params.weights) + jnp.sum(params.bias**2)


def arguments_of(loss):
    found = {"l2": 0.05, "weights": WEIGHTS, "features": ROWS}
    if loss is SQUARED:
        found["margin"] = 1.1
    if loss is losses.cross_entropy:
        found["labels"] = DISTRIBUTIONS
    return found


def fit_of(arguments, loss, bias="penalized"):
    margin = {"margin": arguments["margin"]} if "margin" in arguments else None
    return jaxlin.fit(
        arguments["features"],
        arguments.get("labels", LABELS),
        loss=loss,
        l2=arguments["l2"],
        weights=arguments["weights"],
        loss_arguments=margin,
        bias=bias,
        stop=jaxlin.Stop(1e-8),
    )


@pytest.mark.parametrize("is_factorised", [True, False])
@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_gradients_are_the_derivatives_of_the_optimum(
    loss, bias, is_factorised, monkeypatch
):
    if not is_factorised:
        monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    arguments = arguments_of(loss)
    found = jax.grad(lambda given: outer(fit_of(given, loss, bias).params))(arguments)
    fit = fit_of(arguments, loss, bias)
    problem = jaxlin.problem(ROWS, arguments.get("labels", LABELS), weights=WEIGHTS)
    cotangent = Params(COEFFICIENTS, 2 * np.asarray(fit.params.bias))
    exact = fit_derivatives.of_fit(fit, problem, cotangent)
    assert found.keys() == arguments.keys()
    for name, value in found.items():
        assert value.dtype == np.float32
        expected = getattr(exact, f"in_{name}")().value
        np.testing.assert_allclose(
            value, expected, rtol=1e-4, atol=1e-5 * np.max(np.abs(expected))
        )


def test_other_fields_are_those_of_the_concrete_fit():
    concrete = jaxlin.fit(ROWS, LABELS, **SETTINGS)

    def params_of(l2):
        fit = jaxlin.fit(ROWS, LABELS, **{**SETTINGS, "l2": l2})
        assert isinstance(fit.params.weights, jax.core.Tracer)
        assert fit.converged
        assert fit.l2 == pytest.approx(SETTINGS["l2"])
        assert fit.relative_gap == pytest.approx(concrete.relative_gap, rel=0.5)
        assert str(fit).startswith("softmax_cross_entropy, l2 0.05: objective")
        return outer(fit.params)

    value, _ = jax.value_and_grad(params_of)(SETTINGS["l2"])
    assert value == pytest.approx(float(outer(concrete.params)), rel=1e-4)


def test_the_jacobian_of_all_parameters():
    """One adjoint for each parameter; by linearity they give every gradient."""

    def params_of(l2):
        return jaxlin.fit(ROWS, LABELS, **{**SETTINGS, "l2": l2}).params

    rows = jax.jacrev(params_of)(0.05)
    assert rows.weights.shape == (CLASSES, WIDTH)
    assert rows.bias.shape == (CLASSES,)
    fit = params_of(0.05)
    expected = np.sum(COEFFICIENTS * rows.weights) + 2 * np.sum(fit.bias * rows.bias)
    found = jax.grad(lambda l2: outer(params_of(l2)))(0.05)
    assert found == pytest.approx(float(expected), rel=1e-4)


def test_scales_upstream_are_an_l2_of_each_feature():
    """A scale c of a column is an l2 / c^2 of its weight."""

    def moved(scales):
        fit = jaxlin.fit(jnp.asarray(ROWS) * scales, LABELS, **SETTINGS)
        weights = fit.params.weights * scales
        return outer(fit.params._replace(weights=weights))

    found = jax.grad(moved)(jnp.ones((1, WIDTH)))[0]
    problem = jaxlin.problem(ROWS, LABELS)
    fit = jaxlin.fit(problem, **SETTINGS)
    cotangent = Params(COEFFICIENTS, 2 * np.asarray(fit.params.bias))
    of_l2, _ = fit_derivatives.of_fit(fit, problem, cotangent).in_l2(axis=0)
    np.testing.assert_allclose(
        found, -2 * SETTINGS["l2"] * of_l2[:WIDTH], rtol=1e-3, atol=1e-5
    )


def test_a_problem_is_differentiated_in_its_settings():
    problem = jaxlin.problem(
        ROWS, LABELS, normalization=normalization.fit_standard, weights=WEIGHTS
    )
    found = jax.grad(
        lambda l2: outer(jaxlin.fit(problem, **{**SETTINGS, "l2": l2}).params)
    )(0.05)
    fit = jaxlin.fit(problem, **SETTINGS)
    cotangent = Params(COEFFICIENTS, 2 * np.asarray(fit.params.bias))
    expected, error = fit_derivatives.of_fit(fit, problem, cotangent).in_l2()
    assert found == pytest.approx(expected, rel=1e-4)
    assert error < 1e-6 * abs(expected)


def test_float64_arguments_have_float64_derivatives():
    with jax.enable_x64(True):
        rows = jnp.asarray(ROWS, jnp.float64)
        found = jax.grad(
            lambda rows, l2: outer(
                jaxlin.fit(rows, LABELS, **{**SETTINGS, "l2": l2}).params
            ),
            argnums=(0, 1),
        )(rows, 0.05)
        assert {one.dtype for one in found} == {np.dtype(np.float64)}


def grad_of(moved, **changes):
    """The gradient of a fit in one argument, which is a number times a constant."""
    given = {"features": ROWS, "labels": LABELS, **SETTINGS, **changes}

    def params_of(number):
        fit = jaxlin.fit(**{**given, moved: number * given[moved]})
        return outer(fit.params)

    return lambda: jax.grad(params_of)(1.0)


REFUSED = {
    "a hinge": (
        grad_of("l2", loss=losses.weston_watkins_hinge),
        "fit must be of a smooth loss .* for jax.grad, got one of weston_watkins_hinge",
    ),
    "a normalization of the features": (
        grad_of("features", normalization=normalization.fit_standard),
        "normalization must be fitted already .* normalize the features by jax.numpy",
    ),
    "a normalization by the weights": (
        grad_of("weights", weights=WEIGHTS, normalization=normalization.fit_standard),
        "normalization must be fitted already where features or weights",
    ),
    "rows in blocks": (
        grad_of("l2", features=row_blocks.over(ROWS, LABELS), labels=None),
        "problem must have dense rows in memory for jax.grad",
    ),
    "labels": (
        grad_of("labels"),
        "labels must be of concrete numbers, got a traced",
    ),
    "l2 of 0": (grad_of("l2", l2=0.0), "l2 must be above 0"),
    "second derivatives": (
        lambda: jax.grad(
            jax.grad(
                lambda l2: outer(
                    jaxlin.fit(ROWS, LABELS, **{**SETTINGS, "l2": l2}).params
                )
            )
        )(0.05),
        "l2 must be of concrete numbers, got a traced",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_fits_without_derivatives_are_refused(kind):
    door, message = REFUSED[kind]
    with pytest.raises(ValueError, match=message):
        door()


def test_fits_in_a_compiled_gradient_are_refused():
    def params_of(l2):
        return outer(jaxlin.fit(ROWS, LABELS, **{**SETTINGS, "l2": l2}).params)

    for door, given in (
        (jax.jit(jax.grad(params_of)), 0.05),
        (jax.vmap(jax.grad(params_of)), jnp.ones(2)),
    ):
        with pytest.raises(ValueError, match="must be of concrete numbers.* outside"):
            door(given)
