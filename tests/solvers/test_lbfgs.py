"""Directions of L-BFGS against the dense recursion for the inverse Hessian."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin.solvers import lbfgs

# As many places as unknowns: one program for all.
SHAPE, LENGTH = (2, 3), 6
SIZE = 6

add_pair = jax.jit(lbfgs.add_pair)
rescale = jax.jit(lbfgs.rescale)


@pytest.fixture(autouse=True, scope="module")
def _float64():
    with jax.enable_x64(True):
        yield


def spd(generator, size=SIZE):
    root = generator.normal(size=(size, size))
    return root @ root.T + 0.1 * np.eye(size)


def quadratic_pairs(generator, hessian, count):
    steps = generator.normal(size=(count, SIZE))
    return [(step, hessian @ step) for step in steps]


def filled(pairs, *, l2=0.0):
    history = lbfgs.empty(jnp.zeros(SHAPE), LENGTH)
    for step, change in pairs:
        history = add_pair(
            *(history, step.reshape(SHAPE), change.reshape(SHAPE)),
            l2=l2,
            when=np.array(True),
        )
    return jax.tree.map(np.asarray, history)


def dense_inverse(pairs, metric):
    """Nocedal and Wright, equation 6.17, from the scaled inverse metric."""
    inverse = np.linalg.inv(metric)
    if pairs:
        step, change = pairs[-1]
        inverse = inverse * (step @ change) / (change @ inverse @ change)
    for step, change in pairs:
        rho = 1 / (step @ change)
        left = np.eye(SIZE) - rho * np.outer(step, change)
        inverse = left @ inverse @ left.T + rho * np.outer(step, step)
    return inverse


@jax.jit
def _direction(history, gradient, metric, l2):
    return lbfgs.direction(
        history,
        gradient,
        lambda vector: jnp.linalg.solve(metric, vector.ravel()).reshape(SHAPE),
        l2=l2,
    )


def direction(history, gradient, metric, l2=0.0):
    return _direction(history, gradient, metric, l2)


@pytest.mark.parametrize("count", [0, 1, 3, 6, 9])
def test_the_direction_is_that_of_the_dense_recursion(count):
    """Histories whose places are empty, just filled, or used again."""
    generator = np.random.default_rng(count)
    hessian, metric = spd(generator), spd(generator)
    pairs = quadratic_pairs(generator, hessian, count)
    gradient = generator.normal(size=SIZE)
    found = direction(filled(pairs), gradient.reshape(SHAPE), metric)
    expected = -dense_inverse(pairs[-LENGTH:], metric) @ gradient
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-9)
    assert gradient @ np.ravel(found) < 0


def test_the_newest_pair_is_met_and_the_metrics_scale_does_not_matter():
    """The secant equation: an inverse Hessian maps the last change to its step."""
    generator = np.random.default_rng(10)
    hessian, metric = spd(generator), spd(generator)
    pairs = quadratic_pairs(generator, hessian, 3)
    step, change = pairs[-1]
    for scale in (1.0, 1e-3, 1e5):
        found = direction(filled(pairs), change.reshape(SHAPE), scale * metric)
        np.testing.assert_allclose(-np.ravel(found), step, rtol=1e-8)


def test_the_true_hessian_as_metric_gives_newtons_direction():
    generator = np.random.default_rng(11)
    hessian = spd(generator)
    gradient = generator.normal(size=SIZE)
    for count in (0, 2, 4):
        history = filled(quadratic_pairs(generator, hessian, count))
        found = direction(history, gradient.reshape(SHAPE), hessian)
        np.testing.assert_allclose(
            np.ravel(found), -np.linalg.solve(hessian, gradient), rtol=1e-8
        )


def test_only_pairs_of_positive_curvature_are_remembered_and_only_when_asked():
    generator = np.random.default_rng(12)
    pairs = quadratic_pairs(generator, spd(generator), 2)
    history = filled(pairs)
    step, change = (part.reshape(SHAPE) for part in pairs[0])
    across = np.zeros((2, *SHAPE))
    across[0, 0, 0] = across[1, 1, 1] = 1
    for when, pair in (
        (False, (step, change)),
        (True, (step, -change)),
        (True, across),
        (True, (0 * step, change)),
        (True, (step, 0 * change)),
        (True, (step, np.nan * change)),
    ):
        same = add_pair(history, *pair, l2=0.0, when=np.array(when))
        jax.tree.map(np.testing.assert_array_equal, same, history)
    more = add_pair(history, step, change, l2=0.0, when=np.array(True))
    more = jax.tree.map(np.asarray, more)
    place = int(more.newest)
    assert place == (int(history.newest) + 1) % LENGTH
    np.testing.assert_array_equal(more.steps[place], step)
    others = np.arange(LENGTH) != place
    np.testing.assert_array_equal(more.steps[others], history.steps[others])
    np.testing.assert_allclose(more.products[place, place], np.vdot(step, change))


@pytest.mark.parametrize("count", [1, 3, 9])
@pytest.mark.parametrize("l2", [0.0, 0.7])
def test_products_are_those_of_the_pairs(count, l2):
    generator = np.random.default_rng(count)
    pairs = quadratic_pairs(generator, spd(generator), count)
    history = filled(pairs, l2=l2)
    steps = history.steps.reshape(LENGTH, -1)
    changes = history.changes.reshape(LENGTH, -1)
    assert int(history.is_filled.sum()) == min(count, LENGTH)
    np.testing.assert_allclose(history.squares, steps @ steps.T, atol=1e-12)
    np.testing.assert_allclose(history.products, steps @ changes.T, atol=1e-12)
    for age, (step, change) in enumerate(pairs[::-1][:LENGTH]):
        place = (int(history.newest) - age) % LENGTH
        np.testing.assert_allclose(steps[place], step)
        np.testing.assert_allclose(changes[place], change - l2 * step, atol=1e-12)


def test_a_forgotten_history_leaves_the_metric_alone():
    generator = np.random.default_rng(13)
    metric, gradient = spd(generator), generator.normal(size=SIZE)
    history = filled(quadratic_pairs(generator, spd(generator), 4))
    found = direction(lbfgs.clear(history), gradient.reshape(SHAPE), metric)
    np.testing.assert_allclose(
        np.ravel(found), -np.linalg.solve(metric, gradient), rtol=1e-10
    )
    # What is remembered afterwards is all there is.
    pairs = quadratic_pairs(generator, spd(generator), 2)
    history = lbfgs.clear(history)
    for step, change in pairs:
        history = add_pair(
            history,
            step.reshape(SHAPE),
            change.reshape(SHAPE),
            l2=0.0,
            when=np.array(True),
        )
    found = direction(history, gradient.reshape(SHAPE), metric)
    expected = -dense_inverse(pairs, metric) @ gradient
    np.testing.assert_allclose(np.ravel(found), expected, rtol=1e-9)


def test_rescaled_pairs_are_those_of_the_rescaled_function():
    """From f + l2/2 |w|^2 to c f + l2/2 |w|^2."""
    generator = np.random.default_rng(14)
    hessian, metric, l2 = spd(generator), spd(generator), 0.3
    gradient = generator.normal(size=SIZE)
    ridge = l2 * np.eye(SIZE)
    for factor, count in ((2.0, LENGTH), (0.5, 2), (1.0, 3)):
        steps = generator.normal(size=(count, SIZE))
        before = filled([(step, (hessian + ridge) @ step) for step in steps], l2=l2)
        after = [(step, (factor * hessian + ridge) @ step) for step in steps]
        found = rescale(before, factor, l2=l2)
        moved = direction(found, gradient.reshape(SHAPE), metric, l2)
        expected = -dense_inverse(after, metric) @ gradient
        np.testing.assert_allclose(np.ravel(moved), expected, rtol=1e-8)
        # What comes after it is not rescaled.
        step = generator.normal(size=SIZE)
        after = [*after, (step, (factor * hessian + ridge) @ step)][-LENGTH:]
        found = add_pair(
            found,
            step.reshape(SHAPE),
            after[-1][1].reshape(SHAPE),
            l2=l2,
            when=np.array(True),
        )
        moved = direction(found, gradient.reshape(SHAPE), metric, l2)
        expected = -dense_inverse(after, metric) @ gradient
        np.testing.assert_allclose(np.ravel(moved), expected, rtol=1e-8)


def test_pairs_that_rescaling_leaves_without_curvature_are_forgotten():
    step = np.ones(SHAPE)
    # Of the change only the penalty is left; -1 of the function outweighs it.
    history = add_pair(
        lbfgs.empty(step, LENGTH), step, 0.5 * step, l2=1.0, when=np.array(True)
    )
    assert np.sum(history.is_filled) == 1
    assert not np.asarray(rescale(history, 2.0, l2=1.0).is_filled).any()
    empty = rescale(lbfgs.empty(step, LENGTH), 2.0, l2=1.0)
    assert not np.asarray(empty.is_filled).any()


def test_vmapped_histories_are_those_of_each_model():
    generator = np.random.default_rng(15)
    metric = spd(generator)
    gradients = generator.normal(size=(3, *SHAPE))
    counts = (0, 2, LENGTH + 1)
    histories = [
        filled(quadratic_pairs(generator, spd(generator), count)) for count in counts
    ]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *histories)
    together = jax.jit(jax.vmap(_direction, in_axes=(0, 0, None, None)))(
        stacked, gradients, metric, 0.0
    )
    together = np.asarray(together)
    for one, history, gradient in zip(together, histories, gradients, strict=True):
        np.testing.assert_allclose(one, direction(history, gradient, metric), rtol=1e-9)


def test_a_quadratic_is_minimised_in_as_many_steps_as_it_has_unknowns():
    """BFGS with exact line searches ends: Nocedal and Wright, theorem 6.4."""
    generator = np.random.default_rng(16)
    hessian, target = spd(generator), generator.normal(size=SIZE)
    point = np.zeros(SIZE)
    history = lbfgs.empty(jnp.zeros(SHAPE), LENGTH)
    for _ in range(SIZE):
        gradient = hessian @ (point - target)
        move = np.asarray(direction(history, gradient.reshape(SHAPE), np.eye(SIZE)))
        move = (
            move.ravel()
            * -(gradient @ move.ravel())
            / (move.ravel() @ hessian @ move.ravel())
        )
        history = add_pair(
            history,
            move.reshape(SHAPE),
            (hessian @ move).reshape(SHAPE),
            l2=0.0,
            when=np.array(True),
        )
        point = point + move
    np.testing.assert_allclose(point, target, rtol=1e-6)


@pytest.mark.skipif(
    tuple(map(int, jax.__version__.split(".")[:2])) < (0, 11),
    reason="XLA of jax 0.10 copies them",
)
def test_a_pair_is_written_in_place():
    """The program holds a few arrays of the weights' size, not copies of all pairs."""
    like = jax.ShapeDtypeStruct((30, 40), np.float32)

    def iteration(history, step, change):
        l2 = jnp.float32(0.1)
        after = lbfgs.add_pair(history, step, change, l2=l2, when=np.array(True))
        return after, lbfgs.direction(after, change, lambda vector: vector, l2=l2)

    pairs = jax.eval_shape(lambda: lbfgs.empty(jnp.zeros_like(like), 20))
    program = jax.jit(iteration, donate_argnums=0).lower(pairs, like, like).compile()
    assert program.memory_analysis().temp_size_in_bytes < 10 * like.size * 4
