"""Bounds on the errors of derivatives, against those at the optimum itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from smooth_cases import LOSS_AND_BIAS

import jaxlin
from jaxlin import linear, losses
from jaxlin.problems import fit_hessian
from jaxlin.problems.fit_derivatives import FitDerivatives
from jaxlin.solvers import derivative_bounds, hessian_system, optimum_derivatives

EXAMPLES, WIDTH, CLASSES = 50, 4, 3
# Derivatives of all kinds; a fit of each loss has some.
KINDS = {
    "l2": lambda found: found.in_l2(),
    "l2 of classes": lambda found: found.in_l2(axis=1),
    "l2 of features": lambda found: found.in_l2(axis=0),
    "weights": lambda found: found.in_weights(),
    "features": lambda found: found.in_features(),
    "margin": lambda found: found.in_margin(),
    "labels": lambda found: found.in_labels(),
}
SQUARED = losses.weston_watkins_squared_hinge


def kinds_of(loss):
    without = {
        SQUARED: {"labels"},
        losses.softmax_cross_entropy: {"labels", "margin"},
        losses.cross_entropy: {"margin"},
    }
    return [name for name in KINDS if name not in without[loss]]


def problem_of(generator, loss):
    rows = generator.normal(size=(EXAMPLES, WIDTH)) * 10 ** generator.uniform(-0.5, 0.5)
    scores = rows @ generator.normal(size=(WIDTH, CLASSES))
    labels = (scores + generator.normal(size=scores.shape)).argmax(1)
    labels[:CLASSES] = np.arange(CLASSES)
    if loss is losses.cross_entropy:
        labels = generator.dirichlet(np.ones(CLASSES), size=EXAMPLES)
    weights = generator.uniform(0.1, 1, size=EXAMPLES)
    weights[-5:] = 0
    return jaxlin.problem(rows, labels, weights=weights)


def derivatives_at(system, cotangent, loss):
    """Derivatives by the Hessian at any point, with their bounds."""
    adjoint = optimum_derivatives.adjoint(system, cotangent, loss=loss)
    distance = derivative_bounds.distance(system, loss=loss)
    return FitDerivatives(loss, system, adjoint, distance)


def near_and_at_the_optimum(seed, loss, bias, gap):
    """Derivatives at a point that is as far from the optimum as a fit of this gap."""
    generator = np.random.default_rng(seed)
    problem = problem_of(generator, loss)
    l2 = 10 ** generator.uniform(-2, 0)
    fit = jaxlin.fit(
        problem,
        loss=loss,
        l2=l2,
        bias=bias,
        loss_arguments={"margin": 1.0} if loss is SQUARED else {},
        stop=jaxlin.Stop(1e-4, 100),
    )
    with jax.enable_x64(True):
        at = fit_hessian.of_fit(fit, problem)
        cotangent = jnp.asarray(generator.normal(size=at.weights.shape))
        change = generator.normal(size=at.weights.shape)
        if bias == "none":
            change[:, -1] = 0
        change -= change.mean(axis=0)
        # By strong convexity the gap is at least l2 / 2 times the squared distance.
        length = np.sqrt(2 * gap * fit.certificate.primal / l2)
        moved = at.weights + length * change / np.linalg.norm(change)
        near = hessian_system.at(
            at.examples,
            linear.unfold_bias(moved),
            loss=loss,
            settings=at.settings,
        )
        return [derivatives_at(one, cotangent, loss) for one in (near, at)]


@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_errors_are_within_their_bounds(loss, bias):
    ratios = []
    for seed, gap in enumerate((1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 1e-16)):
        near, at = near_and_at_the_optimum(seed, loss, bias, gap)
        for name in kinds_of(loss):
            found, exact = KINDS[name](near), KINDS[name](at)
            assert (exact.error < 1e-3 * np.max(np.abs(exact.value))).all(), name
            errors = np.abs(found.value - exact.value)
            assert (errors <= found.error + exact.error).all(), (seed, name)
            if gap <= 1e-12:
                assert np.isfinite(found.error).all(), (seed, name)
            # Where no violation changes its sign, the margin's are equal.
            if gap <= 1e-12 and name != "margin":
                ratios.append(np.max(found.error) / np.max(errors))
    # Medians are 140 to 600, and 500 to 23,000 with a free bias.
    assert np.median(ratios) < (100_000 if bias == "free" else 2000)


@pytest.mark.parametrize("loss", fit_hessian.SMOOTH, ids=lambda loss: loss.__name__)
def test_nothing_is_known_far_from_the_optimum(loss):
    near, _ = near_and_at_the_optimum(0, loss, "penalized", 1e3)
    for name in kinds_of(loss):
        value, error = KINDS[name](near)
        assert np.isfinite(value).all()
        # Rows of weight 0 have no part in the objective.
        rows = np.arange(len(value) - 5) if np.ndim(value) == 2 else ...
        assert np.isinf(error[rows]).all(), name


@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_the_distance_is_within_its_bound(loss, bias):
    """The bound on the eigenvalues, too, against those of the matrix."""
    near, at = near_and_at_the_optimum(5, loss, bias, 1e-12)
    distance = np.linalg.norm(near.system.weights - at.system.weights)
    assert distance <= float(near.distance.radius) < 1e4 * distance
    with jax.enable_x64(True):
        size = near.system.weights.size
        units = jnp.eye(size).reshape(size, *near.system.weights.shape)
        matrix = hessian_system.products(near.system, units, loss=loss)
        values = np.linalg.eigvalsh(np.reshape(matrix, (size, size)))
    # A free bias has a shift without curvature, and a bias of 0 none at all.
    positive = values[values > 1e-10]
    missing = {"penalized": 0, "free": 1, "none": CLASSES}[bias]
    assert len(positive) == size - missing
    assert 0 < float(near.distance.curvature) <= positive[0] * (1 + 1e-9)


def ill_conditioned(seed, loss):
    """A problem with two equal columns of pixels, and the Hessian at its optimum."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(0, 256, size=(30, 6)).astype(float)
    rows[:, 3] = rows[:, 2]
    labels = (rows[:, 0] + generator.normal(size=30) * 60 > 128).astype(int)
    problem = jaxlin.problem(rows, labels)
    stop = jaxlin.Stop(1e-8, 300)
    fit = jaxlin.fit(problem, loss=loss, l2=1e-8, stop=stop, refine=True)
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        return system, derivative_bounds.distance(system, loss=loss), rows, labels


@pytest.mark.parametrize("loss", [losses.softmax_cross_entropy, SQUARED])
def test_the_residual_counts_the_rounding_of_products(loss):
    """The smallest residual of several is small by chance.

    The difference of two equal columns is an eigenvector of every Hessian, with the
    eigenvalue l2.
    """
    system, distance, _, _ = ill_conditioned(0, loss)
    vector = np.zeros(system.weights.shape)
    vector[:, 2], vector[:, 3] = [1, -1], [-1, 1]
    with jax.enable_x64(True):
        adjoint = optimum_derivatives.adjoint(system, jnp.asarray(vector), loss=loss)
        bound = derivative_bounds.residual_bound(adjoint, distance.rounding) / 1e-8
    error = np.linalg.norm(np.asarray(adjoint.values) - vector / 1e-8)
    # Ratios are below .001. Without the rounding errors of H u they are .8 and .9.
    assert error <= 0.1 * float(bound)


def test_the_gradient_has_the_rounding_errors_of_scores():
    """Against long doubles, at weights a hundred times as large."""
    system, distance, rows, labels = ill_conditioned(0, losses.softmax_cross_entropy)
    extended = np.c_[rows, np.ones(30)].astype(np.longdouble)
    with jax.enable_x64(True):
        far = hessian_system.at(
            system.examples,
            linear.unfold_bias(100 * system.weights),
            loss=losses.softmax_cross_entropy,
            settings=system.settings,
        )
        found = np.asarray(hessian_system.gradient(far))
    weights = np.asarray(far.weights).astype(np.longdouble)
    scores = extended @ weights.T
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    gradients = powers / powers.sum(axis=1, keepdims=True) - np.eye(2)[labels]
    exact = gradients.T @ extended / 30 + np.longdouble(1e-8) * weights
    error = np.linalg.norm((found - exact).astype(float))
    assert error <= float(distance.rounding) * np.linalg.norm(far.weights)
