"""Interior-point iterations: their equations, and fits of hinges at any l2."""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from fitting_problems import EXAMPLES, data, extended, folded, problem

import jaxlin
from jaxlin import losses
from jaxlin.losses import conjugates
from jaxlin.solvers import interior_point, interior_system
from jaxlin.solvers.interface import Examples, Settings

HINGES = [
    loss
    for loss in conjugates.known_losses()
    if conjugates.of(loss).violations is not None
]
FULL = pytest.mark.full
MARGIN, L2 = 0.7, 0.1


def small_state(loss):
    """State and data of 13 examples, one of weight 0, after one step."""
    generator = np.random.default_rng(1)
    weights = np.r_[0, generator.uniform(1, 2, size=12)]
    examples = Examples(
        jnp.asarray(generator.normal(size=(13, 3))),
        jnp.asarray(generator.integers(3, size=13)),
        jnp.asarray(weights),
    )
    settings = Settings(
        l2=jnp.asarray(L2), loss_arguments={"margin": jnp.asarray(MARGIN)}
    )
    weights, bias = generator.normal(size=(3, 3)), generator.normal(size=3)
    params = jaxlin.linear.Params(jnp.asarray(weights), jnp.asarray(bias))
    state, shared = interior_point._begin(params, examples, settings, loss=loss)
    state = interior_point._step(state, shared, settings, loss=loss)
    return state, shared, settings


def equations(state, shared, loss):
    """Left sides of the equations, where a dual is a variable; written out by hand."""
    num_classes = state.duals.shape[1]
    is_label = jax.nn.one_hot(shared.targets, num_classes, dtype=bool)
    scores = shared.rows @ state.weights.T
    own = jnp.sum(jnp.where(is_label, scores, 0), axis=1, keepdims=True)
    duals = jnp.where(shared.is_free, state.duals, 0)
    if loss is losses.one_vs_rest_hinge:
        signs = jnp.where(is_label, -1, 1)
        violations, gradients = MARGIN + signs * scores, signs * duals
    else:
        violations = jnp.where(is_label, 0, MARGIN + scores - own)
        wrong = jnp.where(is_label, 0, duals)
        gradients = wrong - is_label * jnp.sum(wrong, axis=1, keepdims=True)
    cap, balance = state.upper, violations + state.lower
    if loss is losses.crammer_singer_hinge:
        cap = jnp.sum(jnp.where(is_label, state.lower, 0), axis=1, keepdims=True)
    if loss is losses.weston_watkins_squared_hinge:
        balance -= state.duals / 2
    free = shared.is_free
    return {
        "balance": jnp.where(free, balance - cap, 0),
        "lower": jnp.where(free, state.duals * state.lower, 0),
        "upper": jnp.where(free, state.slack * state.upper, 0),
        "slack": jnp.where(free & (state.upper > 0), state.duals + state.slack, 1),
        "weights": L2 * state.weights
        + (shared.shares[:, None] * gradients).T @ shared.rows,
        "sum": jnp.sum(duals, axis=1),
    }


@pytest.mark.parametrize("loss", HINGES, ids=lambda loss: loss.__name__)
def test_a_direction_solves_the_linearised_equations(loss):
    with jax.enable_x64(True):
        state, shared, settings = small_state(loss)
        direction = interior_system.directions(state, shared, settings, loss=loss)
        mu, products = jnp.asarray(0.01), 0.001 * state.duals
        names = ("weights", "duals", "slack", "lower", "upper")
        change = direction(mu, products, -products)

        def left_sides(*values):
            moved = state._replace(**dict(zip(names, values, strict=True)))
            return equations(moved, shared, loss)

        found, by = jax.jvp(
            left_sides,
            [getattr(state, name) for name in names],
            [getattr(change, name) for name in names],
        )
        after = jax.tree.map(jnp.add, found, by)
    free = np.asarray(shared.is_free)
    np.testing.assert_allclose(after["balance"], 0, atol=1e-10)
    np.testing.assert_allclose(after["weights"], 0, atol=1e-10)
    np.testing.assert_allclose(after["slack"], 1, atol=1e-12)
    lower = np.asarray(mu - products)[free]
    np.testing.assert_allclose(np.asarray(after["lower"])[free], lower, atol=1e-12)
    if conjugates.of(loss).cap == "each":
        upper = np.asarray(mu + products)[free]
        np.testing.assert_allclose(np.asarray(after["upper"])[free], upper, atol=1e-12)
    if conjugates.of(loss).cap == "sum":
        np.testing.assert_allclose(by["sum"], 0, atol=1e-12)
    assert max(np.abs(found[name]).max() for name in ("weights", "lower")) > 1e-3


@pytest.mark.parametrize("loss", HINGES, ids=lambda loss: loss.__name__)
def test_the_first_duals_solve_all_equations_but_that_of_the_weights(loss):
    with jax.enable_x64(True):
        _, shared, settings = small_state(loss)
        examples = Examples(shared.rows[:, :-1], shared.targets, shared.shares)
        params = jaxlin.linear.Params(jnp.ones((3, 3)), jnp.zeros(3))
        state, shared = interior_point._begin(params, examples, settings, loss=loss)
        found = equations(state, shared, loss)
    mu, free = interior_point._FIRST_MU * MARGIN, np.asarray(shared.is_free)
    np.testing.assert_allclose(found["balance"], 0, atol=1e-12)
    np.testing.assert_allclose(np.asarray(found["lower"])[free], mu)
    np.testing.assert_allclose(found["slack"], 1)
    assert (np.asarray(state.duals) > 0).all()


@pytest.mark.parametrize("loss", [losses.crammer_singer_hinge], ids=["crammer_singer"])
@pytest.mark.parametrize("l2", [1e-1, 1e-6])
def test_few_iterations_prove_nine_digits_at_any_l2(loss, l2):
    check_few_iterations(loss, l2)


@pytest.mark.full
@pytest.mark.parametrize("loss", HINGES, ids=lambda loss: loss.__name__)
@pytest.mark.parametrize("l2", [1e-1, 1e-3, 1e-6])
def test_few_iterations_prove_nine_digits_of_each_hinge(loss, l2):
    check_few_iterations(loss, l2)


def check_few_iterations(loss, l2):
    rows, labels = data(3)
    found = jaxlin.fit(problem(3), loss=loss, l2=l2, stop=jaxlin.Stop(1e-9))
    assert found.converged
    assert found.float64_passes < 25
    if found.float64_passes:
        assert str(found).endswith(f"passes, {found.float64_passes} of them in float64")
    shares = np.full(EXAMPLES, 1 / EXAMPLES)
    truth = optima.Data(extended(rows), labels, shares, 3, loss.__name__, l2)
    value = optima.objective(np.float64(folded(found)), truth)
    # Of a smooth loss float32 may prove the gap, though not print the objective.
    digits = 1e-12 if found.float64_passes else 1e-6
    np.testing.assert_allclose(found.certificate.primal, value, rtol=digits)


def test_failed_factorisations_end_a_fit_as_stalled(monkeypatch):
    """The best parameters stay, with their certificate."""
    monkeypatch.setattr(interior_point, "_FIRST_SHIFT", -2.0)
    rows = np.random.default_rng(0).normal(size=(17, 2)).astype(np.float32)
    found = jaxlin.fit(
        rows, np.arange(17) % 3, loss=HINGES[0], l2=1e-2, stop=jaxlin.Stop(1e-12)
    )
    assert found.stalled
    assert not found.converged
    # The first pass, and one after each failure.
    assert found.float64_passes == 1 + interior_point._MAX_FAILURES + 1
    assert np.isfinite(found.params.weights).all()
    assert found.relative_gap < 1


@pytest.mark.parametrize(
    "loss",
    [
        loss if loss is losses.softmax_cross_entropy else pytest.param(loss, marks=FULL)
        for loss in conjugates.known_losses()
        if conjugates.of(loss).shift_invariant and loss is not losses.cross_entropy
    ],
    ids=lambda loss: loss.__name__,
)
@pytest.mark.parametrize("refine", [False, None])
def test_weights_sum_to_zero_over_classes_where_scores_may_shift(loss, refine):
    """From a start that does not; the mean of the classes would only cost penalty."""
    start = jaxlin.linear.Params(np.ones((3, 5), np.float32), np.ones(3, np.float32))
    found = jaxlin.fit(
        problem(3),
        loss=loss,
        l2=1e-5,
        stop=jaxlin.Stop(1e-6),
        start=start,
        refine=refine,
    )
    weights = np.float64(folded(found))
    atol = 1e-6 if found.params.weights.dtype == np.float32 else 1e-14
    largest = np.abs(weights).max()
    np.testing.assert_allclose(weights.sum(axis=0) / largest, 0, atol=atol)
