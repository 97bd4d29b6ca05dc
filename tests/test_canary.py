"""Canaries: shapes that releases of jax compiled wrongly, against NumPy.

On CPUs a small product under `jax.vmap` that is then reduced was wrong from row 32,768
on, for 2 or 3 classes and 3 features: in jax 0.10.2 whatever stood between the two (jax
issue 39103), in all releases tried before it, 0.9.2 to 0.10.1, only where nothing did.
Releases from 0.11.0 on are right. Scores, certificates and distances all have that
form, so functions of the library are tried too, on all rows at once and in parts.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from problems import LABEL_LOSSES

from jaxlin import linear, objective
from jaxlin.geometry import hyperplanes, robustness
from jaxlin.neighbors import distances, pairwise

pytestmark = pytest.mark.optimized

NUM_ROWS = [32_769, 40_000]
BEFORE_0_11 = tuple(map(int, jax.__version__.split(".")[:2])) < (0, 11)


def assert_right(found, expected):
    """Compares with float64, and blames the compiler for what cannot be rounding."""
    wrong = np.abs(np.asarray(found) - expected) > 1e-3 * (1 + np.abs(expected))
    assert not wrong.any(), (
        f"jax {jax.__version__} computes wrong numbers on {jax.default_backend()}: "
        f"{wrong.sum()} of {wrong.size}, first at {np.argwhere(wrong)[0].tolist()}. "
        "Install another release; setup.cfg excludes those that are known to be wrong"
    )


def problem(num_classes, num_rows):
    generator = np.random.default_rng(0)
    weights = generator.normal(size=(num_classes, 3)).astype(np.float32)
    rows = generator.normal(size=(num_rows, 3)).astype(np.float32)
    return weights, rows, np.arange(num_rows) % num_classes


# The reduction, and what NumPy makes of scores (rows, classes).
REDUCTIONS = {
    "squares": (lambda scores: jnp.sum(scores**2), lambda s: (s**2).sum(axis=1)),
    "violations": (
        lambda scores: jnp.sum(jax.nn.relu(scores + 1)),
        lambda s: np.maximum(s + 1, 0).sum(axis=1),
    ),
    "maximum": (jnp.max, lambda s: s.max(axis=1)),
    "sum": (jnp.sum, lambda s: s.sum(axis=1)),
}


def _known(name):
    """Wrong in all releases for Python 3.11; nothing in the library has this form."""
    is_bare = name in ("maximum", "sum")
    known = pytest.mark.xfail(
        BEFORE_0_11, strict=True, reason="bare product, jax < 0.11"
    )
    return pytest.param(name, marks=[known] if is_bare else [])


@pytest.mark.parametrize("num_rows", NUM_ROWS)
@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("reduction", [*map(_known, REDUCTIONS)])
def test_reduced_products_of_many_rows(reduction, num_classes, num_rows):
    reduce, expected = REDUCTIONS[reduction]
    weights, rows, _ = problem(num_classes, num_rows)
    found = jax.jit(jax.vmap(lambda row: reduce(weights @ row)))(rows)
    assert_right(found, expected(rows.astype(float) @ weights.T.astype(float)))


# Functions of (params, row, label), whose values are summed up if they are arrays.
LIBRARY = {
    "largest score": lambda p, x, y: jnp.max(linear.scores(p, x)),
    "prediction": lambda p, x, y: linear.predict(p, x),
    # Infinite for the label itself.
    "distances to hyperplanes": lambda p, x, y: jnp.nan_to_num(
        hyperplanes.signed_distances(p, x, y), posinf=0.0
    ),
    "smallest perturbation": lambda p, x, y: (
        robustness.smallest_perturbation(p, x, norm=2).radius
    ),
    **{
        name: lambda p, x, y, loss=entry.loss: loss(linear.scores(p, x), y)
        for name, entry in LABEL_LOSSES.items()
    },
}


@pytest.mark.parametrize("name", LIBRARY)
def test_functions_of_many_rows_are_those_of_parts(name):
    weights, rows, labels = problem(3, NUM_ROWS[0])
    params = linear.Params(weights, np.arange(3, dtype=np.float32))
    apply = jax.jit(jax.vmap(LIBRARY[name], in_axes=(None, 0, 0)))
    # Both of 16,385 rows, one of which they share: one program.
    half = NUM_ROWS[0] // 2
    first, second = (
        np.asarray(apply(params, rows[part], labels[part]), float)
        for part in (slice(half + 1), slice(half, None))
    )
    found = apply(params, rows, labels)
    assert_right(found, np.concatenate([first, second[1:]]))


def test_objective_of_many_rows():
    """Squared violations and their gradient, by a matrix product of float64."""
    weights, rows, labels = problem(3, NUM_ROWS[0])
    params = linear.Params(weights, np.zeros(3, np.float32))
    compiled = jax.jit(
        functools.partial(
            objective.value_and_gradient,
            loss=LABEL_LOSSES["weston_watkins_squared_hinge"].loss,
            l2=0.0,
        )
    )
    value, gradient = compiled(params, rows, labels)
    scores = rows.astype(float) @ weights.T.astype(float)
    is_right = labels[:, None] == np.arange(3)
    own = scores[is_right][:, None]
    violations = np.where(is_right, 0, np.maximum(0, 1 + scores - own))
    slopes = 2 * violations
    slopes = np.where(is_right, -slopes.sum(axis=1, keepdims=True), slopes)
    assert_right(value, (violations**2).sum(axis=1).mean())
    assert_right(gradient.weights, slopes.T @ rows.astype(float) / len(rows))


@pytest.mark.parametrize(
    "metric", [distances.euclidean, distances.squared_euclidean, distances.manhattan]
)
def test_distances_of_all_pairs(metric):
    generator = np.random.default_rng(0)
    queries = generator.normal(size=(3, 3)).astype(np.float32)
    rows = generator.normal(size=(40_000, 3)).astype(np.float32)
    apart = np.abs(queries.astype(float)[:, None] - rows.astype(float))
    expected = {
        distances.euclidean: np.sqrt((apart**2).sum(axis=2)),
        distances.squared_euclidean: (apart**2).sum(axis=2),
        distances.manhattan: apart.sum(axis=2),
    }[metric]
    blocks = pairwise.blocks(queries, rows, metric=metric)
    assert_right(np.hstack([np.asarray(found) for _, found in blocks]), expected)
