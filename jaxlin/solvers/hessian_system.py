r"""Linear systems with the Hessian of the objective, at one point, in float64.

The Hessian is

.. math:: H = \frac{1}{\sum_i a_i} \sum_i a_i\, S_i \otimes x_i x_i^\top + \lambda_2 I,

S_i that of a smooth loss in the scores of example i. It determines how the optimum
moves with its data and settings (`jaxlin.sensitivity`). Where it has at most
`MAX_DENSE` rows it is factorised. Elsewhere conjugate gradients solve a system by
products in the dtype of the rows, and float64 residuals correct the solution until they
are small.

With a free bias and a loss that ignores a shift of all scores, H is singular along that
shift. Right sides must not have a part along it; solutions have none.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import linear
from jaxlin.linear import Bias, Params
from jaxlin.losses import conjugates
from jaxlin.objective import row_products, score_hessian
from jaxlin.objective.score_hessian import ScoreHessian
from jaxlin.solvers import (
    certified,
    class_hessian,
    conjugate_gradients,
    full_hessian,
    optimizer_state,
    preconditioner,
    score_gradients,
)
from jaxlin.solvers.class_hessian import ClassHessian
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.typing import Array, Loss

# Largest number of unknowns, classes * (features + 1), of a factorised Hessian: 290 MB,
# and its factorisation takes 2 s on two cores.
MAX_DENSE = 6000
# Least squared residual of a round of conjugate gradients, relative to its right side.
_RESIDUAL_OF_ROUND = 1e-8
_MAX_ROUNDS = 12
# Largest number of scores that the solutions of one round hold.
_MAX_SCORES = 20_000_000


class HessianSystem(NamedTuple):
    """The Hessian of the objective, and what belongs to its point.

    Attributes:
      examples: rows on the device; prepared (`jaxlin.solvers.certified.prepare`) where
        the Hessian is not factorised.
      settings: l2, loss arguments and treatment of the bias.
      weights: folded weights of the point, shape ``(classes, features + 1)``.
      scores: scores of all examples, shape ``(classes, examples)``.
      gradients: gradients of the losses in the scores, without the example weights,
        same shape.
      in_scores: Hessian of the mean loss in the scores.
      factor: Cholesky factor of the Hessian, shape ``(unknowns, unknowns)``, or None.
      classes: mean Hessian in the scores, for the preconditioner, or None.
    """

    examples: Examples
    settings: Settings
    weights: Array
    scores: Array
    gradients: Array
    in_scores: ScoreHessian
    factor: Array | None
    classes: ClassHessian | None

    @property
    def shares(self) -> Array:
        """Example weights that sum to 1, shape ``(examples,)``."""
        return self.in_scores.shares

    @property
    def l2(self) -> Array:
        """Strength of half the sum of squares, shape ``()``."""
        return jnp.asarray(self.settings.l2, self.weights.dtype)


class Solutions(NamedTuple):
    """Solutions of linear systems.

    Attributes:
      values: shape ``(systems, classes, features + 1)``.
      residuals: Euclidean norms of the residuals, shape ``(systems,)``.
    """

    values: Array
    residuals: Array


def is_dense(num_classes: int, num_features: int) -> bool:
    """Returns whether a Hessian of this size is factorised."""
    return num_classes * (num_features + 1) <= MAX_DENSE


def at(
    examples: Examples, params: Params, *, loss: Loss, settings: Settings
) -> HessianSystem:
    """The Hessian at some parameters; under ``jax.enable_x64(True)``.

    Args:
      examples: rows on the device, prepared if the Hessian is too large to factorise.
      params: weights ``(classes, features)`` and bias ``(classes,)``.
      loss: a smooth one that has a conjugate.
      settings: l2, loss arguments and treatment of the bias.
    """
    dense = is_dense(*params.weights.shape)
    folded = jnp.asarray(linear.fold_bias(Params(*map(jnp.asarray, params))))
    return _at(examples, folded.astype(jnp.float64), settings, loss=loss, dense=dense)


def moved(system: HessianSystem, weights: Array, *, loss: Loss) -> HessianSystem:
    """The Hessian of a factorised system at other weights, with the factor as it was.

    Its systems are solved by corrections, while the Hessian differs little from the
    factorised one.

    Args:
      system: a factorised system.
      weights: folded weights, shape ``(classes, features + 1)``.
      loss: its loss.
    """
    found = _at(system.examples, weights, system.settings, loss=loss, dense=False)
    return found._replace(factor=system.factor, classes=None)


@functools.partial(jax.jit, static_argnames=("loss", "dense"))
@jax.default_matmul_precision("highest")
def _at(
    examples: Examples, weights: Array, settings: Settings, *, loss: Loss, dense: bool
) -> HessianSystem:
    dtype = weights.dtype
    scores = score_gradients.rows_of(examples).scores(weights)
    shares = score_gradients.shares(examples, dtype)
    in_scores = score_gradients.hessian_of_mean_loss(
        loss,
        scores,
        examples.targets,
        shares,
        jnp.zeros((scores.shape[1], 0), dtype),
        smoothing=jnp.ones((), dtype),
        loss_arguments=settings.loss_arguments,
        dtype=dtype,
    )
    gradients = score_gradients.of_mean_loss(
        loss,
        examples.targets,
        jnp.ones_like(shares),
        jnp.zeros_like(scores.T),
        smoothing=jnp.ones((), dtype),
        loss_arguments=settings.loss_arguments,
    )(scores.T).T
    factor = classes = None
    if dense:
        matrix = _matrix(examples, in_scores, settings, loss=loss)
        factor = jax.scipy.linalg.cho_factor(matrix, lower=True)[0]
    else:
        classes = class_hessian.of_mean(score_hessian.mean(loss, in_scores))
    return HessianSystem(
        examples, settings, weights, scores, gradients, in_scores, factor, classes
    )


def of_examples(loss: Loss, system: HessianSystem) -> Array:
    """Hessians of the losses in the scores, ``(examples, classes, classes)``.

    They do not have the example weights.
    """
    in_scores = system.in_scores
    alone = in_scores._replace(shares=jnp.ones_like(in_scores.shares))
    return _of_examples(loss, alone, system.scores)


def _of_examples(loss: Loss, in_scores: ScoreHessian, scores: Array) -> Array:
    units = jnp.eye(scores.shape[0], dtype=scores.dtype)
    columns = jax.lax.map(
        lambda unit: score_hessian.product(
            loss, in_scores, jnp.broadcast_to(unit[:, None], scores.shape)
        ),
        units,
    )
    return jnp.transpose(columns, (2, 1, 0))


def _matrix(
    examples: Examples, in_scores: ScoreHessian, settings: Settings, *, loss: Loss
) -> Array:
    """The Hessian, with curvature along what has none."""
    dtype, bias = in_scores.shares.dtype, settings.bias
    num_classes = _num_classes(in_scores)
    rows = row_products.extended_rows(examples.features, examples.normalization, dtype)
    rows = rows if bias is not Bias.NONE else bias.penalized_part(rows)
    scores = jnp.zeros((num_classes, rows.shape[0]), dtype)
    matrix = full_hessian.full_hessian(rows, _of_examples(loss, in_scores, scores))
    ridge = jnp.full((num_classes, rows.shape[1]), jnp.asarray(settings.l2), dtype)
    if bias is Bias.FREE:
        ridge = bias.penalized_part(ridge)
    matrix += jnp.diag(ridge.ravel())
    if bias is Bias.FREE and conjugates.of(loss).shift_invariant:
        matrix = full_hessian.without_shift(matrix, *ridge.shape)
    return matrix


def _num_classes(in_scores: ScoreHessian) -> int:
    factors = (in_scores.diagonals, in_scores.vectors)
    return next(one.shape[0] for one in factors if one is not None)


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def products(system: HessianSystem, vectors: Array, *, loss: Loss) -> Array:
    """Products of the Hessian and vectors, ``(systems, classes, features + 1)``."""
    rows = score_gradients.rows_of(system.examples)
    allowed = _allowed(system)

    def product(vector: Array) -> Array:
        vector = allowed(vector)
        changes = score_hessian.product(loss, system.in_scores, rows.scores(vector))
        penalized = system.settings.bias.penalized_part(vector)
        return allowed(rows.combinations(changes)) + system.l2 * penalized

    return jax.vmap(product)(vectors)


@jax.jit
@jax.default_matmul_precision("highest")
def gradient(system: HessianSystem) -> Array:
    """Gradient of the objective at the point, shape ``(classes, features + 1)``."""
    rows, bias = score_gradients.rows_of(system.examples), system.settings.bias
    of_loss = rows.combinations(system.shares[None, :] * system.gradients)
    penalized = bias.penalized_part(system.weights)
    return _allowed(system)(of_loss) + system.l2 * penalized


def _allowed(system: HessianSystem) -> Any:
    """Function of folded vectors to their part that the treatment of the bias has."""
    bias = system.settings.bias
    return bias.penalized_part if bias is Bias.NONE else lambda vector: vector


def solve(
    system: HessianSystem, rights: Array, *, loss: Loss, tolerance: float = 1e-12
) -> Solutions:
    """Solves systems with the Hessian; under ``jax.enable_x64(True)``.

    Args:
      system: the Hessian, from `at`.
      rights: right sides, shape ``(systems, classes, features + 1)``.
      loss: its loss.
      tolerance: norm of a residual, relative to that of its right side, at which to
        stop. Rounding may leave more: see ``residuals``.
    """
    rights = jnp.asarray(rights, system.weights.dtype)
    size = max(1, _MAX_SCORES // system.scores.size)
    if len(rights) > size:
        parts = [
            solve(system, rights[start : start + size], loss=loss, tolerance=tolerance)
            for start in range(0, len(rights), size)
        ]
        return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *parts)
    return _solve(system, rights, tolerance, loss=loss)


class _Round(NamedTuple):
    """State of the corrections: the last solutions, and the best of each system."""

    number: Array
    found: Array
    residuals: Array
    best: Solutions
    is_done: Array


@functools.partial(jax.jit, static_argnames=("loss",))
def _solve(
    system: HessianSystem, rights: Array, tolerance: ArrayLike, *, loss: Loss
) -> Solutions:
    """Solutions of systems that are corrected until their residuals stay."""
    norms = _norms(rights)
    squared = jnp.maximum(jnp.square(tolerance), _RESIDUAL_OF_ROUND)

    def corrected(last: _Round) -> _Round:
        change = rough_solutions(system, last.residuals, squared, loss=loss)
        found = last.found + change
        residuals = rights - products(system, found, loss=loss)
        sizes, smallest = _norms(residuals), last.best.residuals
        is_better = sizes < smallest
        best = jnp.where(is_better[:, None, None], found, last.best.values)
        is_stalled = ~jnp.any(sizes < smallest / 2)
        smallest = jnp.minimum(sizes, smallest)
        is_done = is_stalled | jnp.all(smallest <= tolerance * norms)
        return _Round(
            last.number + 1, found, residuals, Solutions(best, smallest), is_done
        )

    nothing = Solutions(jnp.zeros_like(rights), norms)
    start = _Round(
        jnp.zeros((), int), nothing.values, rights, nothing, jnp.zeros((), bool)
    )
    return jax.lax.while_loop(
        lambda last: ~last.is_done & (last.number < _MAX_ROUNDS), corrected, start
    ).best


def _norms(vectors: Array) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(vectors), axis=(1, 2)))


@functools.partial(jax.jit, static_argnames=("loss",))
@jax.default_matmul_precision("highest")
def rough_solutions(
    system: HessianSystem, rights: Array, tolerance: Array, *, loss: Loss
) -> Array:
    """Solutions without a look at their residuals, a round of `solve`.

    Args:
      system: the Hessian, from `at`.
      rights: right sides, shape ``(systems, classes, features + 1)``.
      tolerance: squared residual of conjugate gradients, in the metric of the
        preconditioner and relative to the right side.
      loss: its loss.
    """
    if system.factor is not None:
        flat = rights.reshape(len(rights), -1).T
        solved = jax.scipy.linalg.cho_solve((system.factor, True), flat).T
        return jax.vmap(lambda one: optimizer_state.centered(loss, one))(
            solved.reshape(rights.shape)
        )
    return jax.vmap(
        lambda one: _by_conjugate_gradients(system, one, tolerance, loss=loss)
    )(rights)


def _by_conjugate_gradients(
    system: HessianSystem, right: Array, tolerance: Array, *, loss: Loss
) -> Array:
    """Solution to a few digits, by products in the dtype of the rows."""
    examples, bias = system.examples, system.settings.bias
    rows, penalized = score_gradients.rows_of(examples), bias.penalized_part
    dtype = jnp.promote_types(examples.features.dtype, jnp.float32)
    l2 = system.l2.astype(dtype)
    curvature = score_gradients.curvature(
        loss, _in_dtype(system.in_scores, dtype), bias=bias
    )
    moment, classes = certified.preconditioner_of(examples).moment, system.classes
    assert classes is not None, "no factor"
    # In float32 a small right side, squared, would be 0.
    size = jnp.max(jnp.abs(right))
    scaled = (right / jnp.where(size > 0, size, 1)).astype(dtype)
    # The bias alone answers its own part of the right side.
    of_bias = curvature.solve_bias(scaled[:, -1])
    ones = jnp.zeros_like(scaled).at[:, -1].set(of_bias)
    along = score_hessian.product(
        loss, _in_dtype(system.in_scores, dtype), rows.scores(ones)
    )
    if bias is Bias.FREE:
        scaled -= rows.combinations(along)
    found = conjugate_gradients.solution(
        lambda vector: penalized(
            rows.combinations(curvature.times(rows.scores(vector))) + l2 * vector
        ),
        lambda vector: preconditioner.solve(moment, classes, vector, l2=l2),
        penalized(scaled),
        tolerance=tolerance.astype(dtype),
    )
    change = curvature.bias_change(rows.scores(penalized(found))) + of_bias
    found = optimizer_state.centered(loss, found.astype(right.dtype))
    return size * penalized(found).at[:, -1].add(change)


def _in_dtype(in_scores: ScoreHessian, dtype: Any) -> ScoreHessian:
    """The same Hessian in another dtype; integer labels stay as they are."""
    return jax.tree.map(
        lambda leaf: (
            leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        ),
        in_scores,
    )
