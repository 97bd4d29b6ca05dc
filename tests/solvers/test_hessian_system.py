"""Linear systems with the Hessian, against that of automatic differentiation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_cases import LOSS_AND_BIAS

import jaxlin
from jaxlin import linear, losses
from jaxlin.linear import Bias, Params
from jaxlin.problems import fit_hessian
from jaxlin.solvers import hessian_system
from jaxlin.solvers.interface import Settings

L2 = 1e-3
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(60, 5))
LABELS = (ROWS[:, :3] + GENERATOR.normal(size=(60, 3))).argmax(1)
DISTRIBUTIONS = GENERATOR.dirichlet(np.ones(3), size=60)
WEIGHTS = GENERATOR.uniform(0, 2, size=60)
WEIGHTS[7] = 0
POINT = Params(GENERATOR.normal(size=(3, 5)), GENERATOR.normal(size=3))
RIGHTS = GENERATOR.normal(size=(4, 3, 6))
RIGHTS -= RIGHTS.mean(1, keepdims=True)


def targets_of(loss):
    return DISTRIBUTIONS if loss is losses.cross_entropy else LABELS


def objective(folded, loss, bias):
    folded = folded.reshape(3, 6)
    if bias == "none":
        folded = folded.at[:, -1].set(0)
    scores = jnp.asarray(ROWS) @ folded[:, :-1].T + folded[None, :, -1]
    found = jax.vmap(loss)(scores, jnp.asarray(targets_of(loss)))
    penalized = folded if bias == "penalized" else folded[:, :-1]
    mean = jnp.sum(WEIGHTS * found) / np.sum(WEIGHTS)
    return mean + L2 / 2 * jnp.sum(penalized**2)


@pytest.fixture(params=["factorised", "conjugate gradients"])
def method(request, monkeypatch):
    limit = hessian_system.MAX_DENSE if request.param == "factorised" else 0
    monkeypatch.setattr(hessian_system, "MAX_DENSE", limit)


@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_products_gradients_and_solutions(loss, bias, method):
    treatment = Bias.named(bias)
    point = POINT._replace(bias=POINT.bias * (bias != "none"))
    rights = RIGHTS * np.append(np.ones(5), bias != "none")
    problem = jaxlin.problem(ROWS, targets_of(loss), weights=WEIGHTS)
    with jax.enable_x64(True):
        examples = problem.prepared(loss=loss, keep_float64=True, bias=treatment)
        settings = Settings(l2=L2, loss_arguments={}, bias=treatment)
        system = hessian_system.at(examples, point, loss=loss, settings=settings)
        folded = jnp.asarray(linear.fold_bias(point)).ravel()
        of_objective = (lambda w: objective(w, loss, bias),)
        slope = jax.grad(*of_objective)(folded).reshape(3, 6)
        matrix = jax.hessian(*of_objective)(folded)
        found = hessian_system.solve(system, rights, loss=loss)
        expected = jnp.linalg.pinv(matrix) @ rights.reshape(4, -1).T
        expected = expected.T.reshape(rights.shape)
        products = hessian_system.products(system, expected, loss=loss)
        np.testing.assert_allclose(hessian_system.gradient(system), slope, atol=1e-13)
        np.testing.assert_allclose(products, rights, atol=1e-11)
        np.testing.assert_allclose(found.values, expected, rtol=1e-8, atol=1e-9)
        left = rights - hessian_system.products(system, found.values, loss=loss)
        np.testing.assert_allclose(
            found.residuals, np.linalg.norm(left, axis=(1, 2)), atol=1e-13
        )
        assert np.max(found.residuals) < 1e-10


def test_many_systems_are_solved_in_parts(monkeypatch):
    problem = jaxlin.problem(ROWS, LABELS)
    loss = losses.softmax_cross_entropy
    with jax.enable_x64(True):
        examples = problem.examples_in_float64()
        settings = Settings(l2=L2, loss_arguments={})
        system = hessian_system.at(examples, POINT, loss=loss, settings=settings)
        whole = hessian_system.solve(system, RIGHTS, loss=loss)
        monkeypatch.setattr(hessian_system, "_MAX_SCORES", 3 * system.scores.size)
        parts = hessian_system.solve(system, RIGHTS, loss=loss)
        np.testing.assert_allclose(parts.values, whole.values, rtol=1e-10)
        assert parts.residuals.shape == (4,)


@pytest.mark.parametrize("bias", ["penalized", "free"])
@pytest.mark.parametrize("loss", fit_hessian.SMOOTH, ids=lambda loss: loss.__name__)
def test_newton_steps_lead_from_a_fit_to_its_optimum(loss, bias):
    problem = jaxlin.problem(ROWS, targets_of(loss), weights=WEIGHTS)
    fit = jaxlin.fit(
        problem, loss=loss, l2=L2, bias=bias, refine=False, stop=jaxlin.Stop(1e-3)
    )
    with jax.enable_x64(True):
        at_fit = fit_hessian.of_fit(fit, problem, at_optimum=False)
        system = fit_hessian.of_fit(fit, problem)
        before = hessian_system.gradient(at_fit)
        folded = linear.fold_bias(Params(*map(jnp.asarray, fit.params)))
        np.testing.assert_allclose(
            at_fit.weights, folded - folded.mean(axis=0, keepdims=True), atol=1e-7
        )
        assert np.linalg.norm(before) > 1e-8
        after = hessian_system.gradient(system)
        assert np.linalg.norm(after) < 1e-14


BAD = {
    "a hinge": (
        lambda fit, problem: (
            fit._replace(loss=losses.crammer_singer_hinge),
            problem,
        ),
        "fit must be of a smooth loss",
    ),
    "no l2": (
        lambda fit, problem: (fit._replace(l2=0.0), problem),
        "fit must have an l2 above 0",
    ),
    "other features": (
        lambda fit, problem: (fit, jaxlin.problem(ROWS[:, :4], LABELS)),
        "problem must be the one that was fitted, with 3 classes and 4 features",
    ),
    "other classes": (
        lambda fit, problem: (fit, jaxlin.problem(ROWS, LABELS + 1)),
        "problem must have the classes of the fit",
    ),
    "blocks": (
        lambda fit, problem: (fit, jaxlin.problem([(ROWS, LABELS)])),
        "problem must have dense rows in memory",
    ),
    "distributions": (
        lambda fit, problem: (fit, jaxlin.problem(ROWS, DISTRIBUTIONS)),
        "labels",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_fits_that_have_no_hessian_on_these_rows_are_refused(kind):
    problem = jaxlin.problem(ROWS, LABELS)
    fit = jaxlin.fit(problem, loss=losses.softmax_cross_entropy, l2=L2)
    change, message = BAD[kind]
    with pytest.raises(ValueError, match=message):
        fit_hessian.check(*change(fit, problem), use="leave_one_out")
