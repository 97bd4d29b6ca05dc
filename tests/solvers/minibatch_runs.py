"""Short trainings by minibatches on one small problem."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxlin import linear, losses, normalization
from jaxlin.solvers import interface, minibatch

NUM_EXAMPLES, BATCH_SIZE = 50, 8  # 50 = 6 * 8 + 2: the last batch is smaller


@functools.cache
def raw_examples():
    generator = np.random.default_rng(0)
    labels = np.arange(NUM_EXAMPLES, dtype=np.int32) % 3
    dual_centers = generator.integers(0, 200, size=(3, 6))
    raw = dual_centers[labels] + generator.integers(0, 55, size=(NUM_EXAMPLES, 6))
    raw = raw.astype(np.uint8)
    fitted = normalization.fit_centered(raw, scale=255.0)
    return interface.Examples(jnp.asarray(raw), jnp.asarray(labels), None, fitted)


def momentum(learning_rate):
    return optax.sgd(learning_rate, momentum=0.9)


def make(loss=losses.softmax_cross_entropy, make_optimizer=momentum, **arguments):
    arguments = {"batch_size": BATCH_SIZE, **arguments}
    return minibatch.solver(loss=loss, make_optimizer=make_optimizer, **arguments)


def start(seed=0):
    drawn = np.random.default_rng(seed).normal(size=(3, 6))
    weights, bias = np.float32(0.1 * drawn), np.zeros(3, np.float32)
    return linear.Params(jnp.asarray(weights), jnp.asarray(bias))


def train(
    solver, settings, *, key=None, params=None, num_steps=4, examples=None, **options
):
    key = jax.random.key(7) if key is None else key
    examples = raw_examples() if examples is None else examples
    params = start() if params is None else params
    initial = solver.init(params, examples, settings)
    infos = []
    for _, state, info in interface.run(
        solver, key, initial, examples, settings, num_steps=num_steps, **options
    ):
        infos.append(np.asarray(info.loss))
        trained = state.params
    return jax.tree.map(np.asarray, trained), np.concatenate(infos)


def assert_trees_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def assert_trees_close(a, b, rtol=1e-5, atol=1e-6):
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=rtol, atol=atol), a, b
    )
