"""A small problem, and its optima by Newton steps on an objective written here."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from jaxlin import losses

L2 = 1e-2
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(40, 4))
LABELS = (ROWS[:, :3] + GENERATOR.normal(size=(40, 3))).argmax(1)
DISTRIBUTIONS = GENERATOR.dirichlet(np.ones(3), size=40)
WEIGHTS = GENERATOR.uniform(0.5, 2, size=40)
WEIGHTS[7] = 0
NORMALIZATION = jaxlin.normalization.fit_standard(ROWS)


def targets_of(loss):
    return DISTRIBUTIONS if loss is losses.cross_entropy else LABELS


def problem_of(loss, **changes):
    settings = {"weights": WEIGHTS, "normalization": NORMALIZATION} | changes
    return jaxlin.problem(ROWS, targets_of(loss), **settings)


def fit_of(problem, loss, bias="penalized", l2=L2):
    stop = jaxlin.Stop(1e-10)
    return jaxlin.fit(problem, loss=loss, l2=l2, bias=bias, stop=stop, refine=True)


def _scores_of(folded, rows, bias):
    rows = (rows - NORMALIZATION.mean[None]) / NORMALIZATION.scale[None]
    if bias == "none":
        folded = folded.at[:, -1].set(0)
    return rows @ folded[:, :-1].T + folded[None, :, -1]


def _objective(folded, weights, targets, l2, loss, bias):
    folded = folded.reshape(3, 5)
    found = jax.vmap(loss)(_scores_of(folded, jnp.asarray(ROWS), bias), targets)
    penalized = folded if bias == "penalized" else folded[:, :-1]
    mean = jnp.sum(weights * found) / jnp.sum(weights)
    return mean + l2 / 2 * jnp.sum(penalized**2)


@functools.partial(jax.jit, static_argnames=("loss", "bias"))
def _scores(all_weights, targets, l2, rows, loss, bias):
    def of_weights(weights):
        settings = (weights, targets, l2, loss, bias)

        def newton(_, folded):
            slope = jax.grad(_objective)(folded, *settings)
            # A pseudo-inverse, because a shift of all scores has no curvature.
            matrix = jax.hessian(_objective)(folded, *settings)
            return folded - jnp.linalg.pinv(matrix, rtol=1e-12) @ slope

        folded = jax.lax.fori_loop(0, 40, newton, jnp.zeros(15))
        return _scores_of(folded.reshape(3, 5), rows, bias)

    return jax.lax.map(of_weights, all_weights)


def scores_at(all_weights, *, loss, bias="penalized", l2=L2, rows=ROWS):
    """Scores of rows at the optimum of each set of weights, centred."""
    with jax.enable_x64(True):
        weights = jnp.asarray(all_weights, jnp.float64)
        targets, rows = jnp.asarray(targets_of(loss)), jnp.asarray(rows, jnp.float64)
        found = np.asarray(_scores(weights, targets, l2, rows, loss=loss, bias=bias))
    return centered(found)


def centered(scores):
    return scores - scores.mean(axis=-1, keepdims=True)


def without_each(weights=WEIGHTS):
    """One set of weights an example, which has weight 0 in it."""
    return np.where(np.eye(len(weights), dtype=bool), 0, weights[None])
