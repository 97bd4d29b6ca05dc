"""Newton's method: its Hessian, and fits that float32 cannot finish."""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from fitting_problems import EXAMPLES, SOFTMAX, data, extended, fit, folded, problem

import jaxlin
from jaxlin import losses, normalization
from jaxlin.certificates import duality
from jaxlin.losses import conjugates
from jaxlin.numerics import device_mesh
from jaxlin.problems import fit_methods
from jaxlin.solvers import (
    certified,
    conjugate_gradients,
    fit_loop,
    float64_methods,
    full_hessian,
    line_search,
    newton,
)
from jaxlin.solvers.interface import Examples, Settings

CERTIFIED = [loss for loss in conjugates.known_losses() if loss != losses.cross_entropy]


@pytest.mark.parametrize("is_separable", [False, True])
def test_the_hessian_is_the_sum_of_kronecker_products(is_separable, monkeypatch):
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(13, 4))
    in_scores = generator.normal(size=(13, 3, 3))
    in_scores += in_scores.swapaxes(1, 2)
    if is_separable:
        in_scores *= np.eye(3)
    monkeypatch.setattr(full_hessian, "_NUMBERS_PER_BLOCK", 5 * 6 * 4)  # three blocks
    with jax.enable_x64(True):
        found = full_hessian.full_hessian(
            jnp.asarray(rows), jnp.asarray(in_scores), is_separable=is_separable
        )
    expected = sum(
        np.kron(hessian, np.outer(row, row))
        for hessian, row in zip(in_scores, rows, strict=True)
    )
    np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [losses.softmax_cross_entropy, losses.cross_entropy],
    ids=lambda f: f.__name__,
)
def test_a_direction_leads_to_gradient_0(loss, monkeypatch):
    """By differences of the gradient, which JAX derives from the loss."""
    monkeypatch.setattr(newton, "_LEAST_RESIDUAL", 1e-24)
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(13, 3))
    targets = generator.integers(3, size=13)
    if loss is losses.cross_entropy:
        targets = generator.dirichlet(np.ones(3), size=13)
    weights = np.r_[0, generator.uniform(1, 2, size=12)]
    fitted = normalization.Normalization(rows.mean(axis=0), rows.std(axis=0))
    at = generator.normal(size=(3, 4))
    at -= at.mean(axis=0)  # as the weights of a fit
    extended_rows = extended((rows - fitted.mean) / fitted.scale)
    with jax.enable_x64(True):

        @jax.jit
        @jax.grad
        def gradient(at):
            values = jax.vmap(loss)(jnp.asarray(extended_rows) @ at.T, targets)
            return weights @ values / weights.sum() + 0.05 * jnp.sum(at**2)

        zero, one, tiny = jnp.zeros(()), jnp.ones(()), jnp.asarray(1e-24)
        state = newton.NewtonState(
            params=zero,
            certificate=duality.Certificate(one, one, tiny, zero),
            candidate=zero,
            iterate=jnp.asarray(at),
            value=one,
            gradient=gradient(at),
            direction=zero,
            step=zero,
            begins_round=zero,
            failures=zero,
            idle_passes=zero,
        )
        arrays = map(jnp.asarray, (rows, targets, weights))
        examples = certified.prepare(Examples(*arrays, fitted))
        source = certified.row_source(examples, loss=loss)
        found = newton._with_direction(
            state,
            examples,
            source.moment,
            source.sampled(jnp.zeros((13, 0))),
            Settings(l2=0.1),
            relative_gap=zero,
            loss=loss,
        )
        step = 1e-6 * found.direction
        change = (gradient(at + step) - gradient(at - step)) / 2e-6
        np.testing.assert_allclose(change, -state.gradient, atol=1e-7)
        # The step leaves little of the slope.
        slopes = [
            jnp.vdot(gradient(point), found.direction)
            for point in (at, at + found.step * found.direction)
        ]
        assert abs(slopes[1]) <= 0.3 * abs(slopes[0])
    assert np.abs(state.gradient).max() > 0.1


@pytest.mark.parametrize("minimum", [0.2, 1.0, 30.0])
@pytest.mark.parametrize("power", [2, 4, 1.2])
def test_a_step_of_small_slope_is_found_near_and_far(minimum, power):
    trials = []

    def slope(step):
        trials.append(1)
        shift = step - minimum
        return jnp.sign(shift) * jnp.abs(shift) ** (power - 1)

    step = line_search.step_of_small_slope(slope, jnp.float32)
    assert abs(slope(step)) <= 0.31 * abs(slope(jnp.zeros(())))
    assert step > 0


@pytest.mark.full
@pytest.mark.parametrize("loss", CERTIFIED)
@pytest.mark.parametrize("l2", [1e-1, 1e-4])
def test_small_problems_are_proven_to_ten_digits(loss, l2):
    rows, labels = data(3)
    found = jaxlin.fit(problem(3), loss=loss, l2=l2, stop=jaxlin.Stop(1e-9))
    assert found.converged
    assert found.float64_passes > 0 or conjugates.of(loss).smooth
    shares = np.full(EXAMPLES, 1 / EXAMPLES)
    truth = optima.Data(extended(rows), labels, shares, 3, loss.__name__, l2)
    value = optima.objective(np.float64(folded(found)), truth)
    # Of a smooth loss float32 may prove the gap, though not print the objective.
    digits = 1e-12 if found.float64_passes else 1e-6
    np.testing.assert_allclose(found.certificate.primal, value, rtol=digits)
    best = optima.optimum(truth)
    assert found.certificate.dual <= best.value * (1 + 1e-9)
    assert value - best.value <= 2e-9 * value


def test_where_float32_stops_newton_goes_on_unless_it_is_told_not_to():
    found = fit(3, l2=1e-2, relative_gap=1e-13)
    assert found.converged
    assert found.params.weights.dtype == np.float64
    assert 0 < found.float64_passes < 10
    alone = fit(3, l2=1e-2, relative_gap=1e-13, refine=False)
    assert not alone.converged
    assert alone.params.weights.dtype == jnp.float32
    assert alone.float64_passes == 0
    assert not jax.config.jax_enable_x64


def test_small_problems_have_few_unknowns_and_examples(monkeypatch):
    shape = {"num_classes": 10, "num_features": 199, "num_examples": 1000}
    assert float64_methods.is_small_shape(**shape)
    assert not float64_methods.is_small_shape(**{**shape, "num_features": 200})
    assert not float64_methods.is_small_shape(**{**shape, "num_examples": 200_000})
    monkeypatch.setattr(device_mesh, "has_float64", lambda: False)
    assert not float64_methods.is_small_shape(**shape)


@pytest.mark.parametrize(
    ("loss", "max_products", "float64"),
    [
        (SOFTMAX, 0, True),  # a pass or two are enough
        (losses.crammer_singer_hinge, EXAMPLES * 5 * 3, True),
        (losses.crammer_singer_hinge, EXAMPLES * 5 * 3 - 1, False),
    ],
)
def test_larger_problems_go_on_in_float64_where_that_is_cheap(
    loss, max_products, float64, monkeypatch
):
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 17)  # one less than there are
    monkeypatch.setattr(fit_methods, "_MAX_PRODUCTS", max_products)
    stop = jaxlin.Stop(1e-12, 500)
    found = jaxlin.fit(problem(3), loss=loss, l2=1e-2, stop=stop)
    assert (found.float64_passes > 0) == float64
    assert found.converged == float64
    alone = jaxlin.fit(problem(3), loss=loss, l2=1e-2, stop=stop, refine=False)
    assert alone.float64_passes == 0


@pytest.mark.parametrize("bias", ["penalized", "free", "none"])
def test_newton_steps_finish_what_passes_would_finish_late(bias, monkeypatch):
    """A weak penalty, where L-BFGS takes hundreds of passes in float32."""
    monkeypatch.setattr(float64_methods, "MAX_UNKNOWNS", 17)  # one less than there are
    monkeypatch.setattr(fit_loop, "_FLOAT32_PASSES_BEFORE_NEWTON_STEPS", 12)
    settings = {"loss": SOFTMAX, "l2": 1e-6, "bias": bias}
    found = jaxlin.fit(problem(3), **settings, stop=jaxlin.Stop(1e-10, 400))
    assert found.converged
    assert found.passes - found.float64_passes == 12
    assert found.float64_passes <= 20
    # Where none follow, float32 has all passes.
    alone = jaxlin.fit(
        problem(3), **settings, stop=jaxlin.Stop(1e-10, 30), refine=False
    )
    assert alone.passes == 30
    # In a sweep, too.
    monkeypatch.setattr(fit_loop, "_FLOAT32_PASSES_OF_SMALL_GAPS", 12)
    swept = jaxlin.sweep(
        problem(3),
        losses=(SOFTMAX,),
        l2s=(1e-6,),
        bias=bias,
        stop=jaxlin.Stop(1e-10, 400),
    )
    assert swept.converged.all()
    assert 0 < swept.passes[0] - swept.float64_passes[0] <= 12
    digits = 1e-9 * found.certificate.primal
    assert abs(swept[0].certificate.primal - found.certificate.primal) <= digits


def test_a_step_leaves_no_more_of_the_gap_than_is_wanted():
    """Convergence is quadratic until the wanted gap is near."""

    def tolerance(gap, wanted):
        certificate = duality.Certificate(*map(jnp.asarray, (1.0, 1.0 - gap, gap, 0.0)))
        return float(newton._tolerance(certificate, jnp.asarray(wanted)))

    assert tolerance(1e-2, 1e-8) == pytest.approx(1e-2)
    assert tolerance(1e-6, 1e-8) == pytest.approx(5e-3)
    assert tolerance(1e-7, 1e-8) == pytest.approx(5e-2)
    assert tolerance(np.inf, 1e-8) == pytest.approx(0.1)


@pytest.mark.parametrize("has_float64", [True, False])
def test_rows_in_blocks_and_tpus_stay_in_float32(has_float64, monkeypatch):
    rows, labels = data(3)
    monkeypatch.setattr(device_mesh, "has_float64", lambda: has_float64)
    given = ([(rows, labels, None)],) if has_float64 else (rows, labels)
    found = jaxlin.fit(*given, loss=SOFTMAX, l2=1e-2, stop=jaxlin.Stop(1e-13))
    assert found.float64_passes == 0
    assert found.stalled


def test_two_failed_line_searches_in_a_row_end_a_fit(monkeypatch):
    """The pass between them, at the iterate itself, is no success."""
    monkeypatch.setattr(line_search, "decreases_enough", lambda *_: jnp.zeros((), bool))
    monkeypatch.setattr(line_search, "backtracked_step", lambda *_: jnp.zeros(()))
    rows = np.random.default_rng(0).normal(size=(19, 2)).astype(np.float32)
    labels = np.arange(19) % 3
    stop = jaxlin.Stop(1e-15)
    # The failing search is compiled in, for these calls alone.
    jax.clear_caches()
    found = jaxlin.fit(rows, labels, loss=SOFTMAX, l2=1e-2, stop=stop)
    jax.clear_caches()
    assert found.stalled
    assert found.float64_passes == 4


def test_conjugate_gradients_end_at_the_tolerance():
    """In the metric of the preconditioner, against the solution by elimination."""
    generator = np.random.default_rng(2)
    factor = generator.normal(size=(12, 12))
    matrix = factor @ factor.T + 0.1 * np.eye(12)
    right = generator.normal(size=(3, 4))
    diagonal = np.diagonal(matrix).reshape(3, 4)
    exact = np.linalg.solve(matrix, right.ravel()).reshape(3, 4)
    errors = []
    with jax.enable_x64(True):
        for tolerance in (1e-2, 1e-20):
            found = conjugate_gradients.solution(
                lambda vector: (matrix @ vector.ravel()).reshape(3, 4),
                lambda vector: vector / diagonal,
                jnp.asarray(right),
                tolerance=jnp.asarray(tolerance),
            )
            residual = right - (matrix @ np.asarray(found).ravel()).reshape(3, 4)
            sizes = [np.sum(some**2 / diagonal) for some in (residual, right)]
            assert sizes[0] <= 1.01 * tolerance * sizes[1]
            errors.append(np.abs(found - exact).max())
    assert errors[1] < 1e-8 < errors[0]


def test_conjugate_gradients_that_overflow_leave_the_preconditioned_step():
    right = jnp.asarray([1.0, -2.0])
    found = conjugate_gradients.solution(
        lambda vector: jnp.full_like(vector, jnp.nan),
        lambda vector: vector / 4,
        right,
        tolerance=jnp.asarray(1e-6),
    )
    np.testing.assert_array_equal(found, right / 4)
