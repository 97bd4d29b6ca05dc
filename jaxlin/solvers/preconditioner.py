r"""What the rows know about curvature: one factorisation for every l2, fold and loss.

Near a point the mean loss curves about as :math:`S \otimes H`: H is the second moment
of the rows (with the constant feature of the bias trick), S the mean Hessian of the
loss in the scores, C x C. So

.. math:: (S \otimes H + \lambda_2 I)^{-1} g, \quad H = V \,\text{diag}(h)\, V^\top

is a good step for a gradient g. V and h are computed once, from a sample of the rows;
S comes from the same sample at the current point; neither depends on l2. On CIFAR-10
raw pixels, whose second moment has a condition number of 3e7, L-BFGS that starts from
this metric needs 14 evaluations where plain L-BFGS needs more than 250.

How V is found depends on the width D + 1, and `second_moment` says which way it took by
the shape of what it returns:

* up to `EXACT_WIDTH`: the whole eigendecomposition;
* above: the leading directions by a randomised Nystrom sketch, and one value for all
  others (their mean). The sketch is two products with the sampled rows; nothing of
  size D x D exists.

What was tried and did not pay, on CIFAR-10 and to a certified gap of 1e-4: starting
from a fit of a part of the rows (the gap is made of gradients, and in flat directions
those of a part are noise: no evaluation saved in any of seven plans); Newton steps by
conjugate gradients on the sample (9 evaluations instead of 14 for softmax at l2 = 1e-3,
22 instead of 24 at 1e-4, each twice as dear, and many more for hinges); S taken afresh
during the search; other floors for flat directions; for the proof, the best convex
combination of the last 30 dual points (63 evaluations instead of 67 for the
Weston-Watkins hinge at l2 = 1e-3, none saved at 1e-2 nor for softmax).

References:
  J. Martens and R. Grosse. Optimizing neural networks with Kronecker-factored
  approximate curvature. ICML 2015.
  Z. Frangella, J. A. Tropp and M. Udell. Randomized Nystrom preconditioning. SIAM
  Journal on Matrix Analysis and Applications, 2023.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxlin import check
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization, normalize
from jaxlin.objective import row_norms
from jaxlin.typing import Array, Loss, LossArguments

# An exact eigendecomposition up to here costs less than what a sketch saves later.
EXACT_WIDTH = 1024
# Directions kept of wider rows, for losses with kinks or several losses, and for one
# smooth loss, whose fits are so short that the factorisation counts. On CIFAR-10, with
# rank 384, 512, 640, 768 and 1024, softmax takes 18, 17, 14, 15 and 14 evaluations to a
# gap of 1e-4 at l2 = 1e-3, and 34, 30, 25, 25 and 24 at 1e-4, while the factorisation
# takes as long as 5, 6, 7, 9 and 11 of them. The one-vs-rest hinge at l2 = 1e-3 takes
# 216 with 640 and 162 with 1024. Half as many sampled rows cost 2 to 3 evaluations
# more, twice as many save 1.
RANK = 1024
RANK_OF_SMOOTH = 640
# Sampled rows: twice the width, but at least this many, and no more numbers than that.
_MIN_ROWS = 4096
_MAX_NUMBERS = 100_000_000
# Sampled rows that are kept, for the curvature of the loss in the scores.
SAMPLE_ROWS = 1000
# Of many classes fewer are used, down to so many, and so many numbers are held at once.
_MIN_HESSIANS = 64
_MAX_HESSIAN_NUMBERS = 4_000_000
_NUMBERS_AT_ONCE = 400_000


class SecondMoment(NamedTuple):
    """Leading eigenvectors of the second moment of rows with a constant 1 appended.

    Attributes:
      vectors: orthonormal columns, shape ``(features + 1, rank)``.
      values: eigenvalues, descending, shape ``(rank,)``.
      rest: mean of the other eigenvalues, shape ``()``; 0 if there are none.
    """

    vectors: Array
    values: Array
    rest: Array


class ClassHessian(NamedTuple):
    """Eigendecomposition of the mean Hessian S of a loss in its scores.

    Attributes:
      vectors: orthonormal columns, shape ``(classes, classes)``.
      values: at least a small fraction of the largest, above 0, shape ``(classes,)``.
    """

    vectors: Array
    values: Array


class Preconditioner(NamedTuple):
    """What certified solvers know of the rows beforehand; made by `of_rows`.

    Attributes:
      moment: second moment of the rows.
      sample: numbers of some rows, in random order, shape ``(sampled,)``.
      rows: those rows, normalised, with the constant 1, shape
        ``(sampled, features + 1)``.
      norms: of all rows with their constant 1, shape ``(examples,)``.
    """

    moment: SecondMoment
    sample: Array
    rows: Array
    norms: Array


class Sampled(NamedTuple):
    """The rows that tell the curvature of the loss in the scores.

    Attributes:
      rows: normalised, with the constant 1, shape ``(sampled, features + 1)``.
      targets: one a row.
      weights: example weights, or None.
      dual_centers: present duals, of a hinge, shape ``(sampled, classes)``.
    """

    rows: Array
    targets: Array
    weights: Array | None
    dual_centers: Array


@functools.partial(jax.jit, static_argnames=("rank",))
def of_rows(
    key: Array,
    features: Array,
    *,
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    rank: int = RANK,
) -> Preconditioner:
    """Measures raw rows, shape ``(examples, features)``; see `second_moment`.

    Rows of weight 0 are not in the sample, or are 0 there if there are too few others.
    """
    num_rows, num_features = features.shape
    size = sample_size(num_rows, num_features)
    sample_key, sketch_key = jax.random.split(key)
    # Rows may be sorted by class: a sample must be drawn, not cut off.
    words = jax.random.bits(sample_key, (num_rows,), jnp.uint32)
    if example_weights is None:
        sample = jnp.argsort(words)[:size].astype(jnp.int32)
        rows = extended_rows(features[sample], normalization)
        moment = second_moment(sketch_key, rows, rank=rank)
    else:
        counts = example_weights > 0
        # Those that count draw what they would draw without the others.
        words = words[jnp.maximum(jnp.cumsum(counts) - 1, 0)]
        sample = jnp.lexsort((words, ~counts))[:size].astype(jnp.int32)
        is_in = counts[sample][:, None]
        rows = extended_rows(features[sample], normalization)
        rows = jnp.where(is_in, rows, 0)
        share = jnp.maximum(jnp.mean(is_in, dtype=rows.dtype), 1 / size)
        moment = second_moment(sketch_key, rows / jnp.sqrt(share), rank=rank)
    return Preconditioner(
        moment,
        sample[:SAMPLE_ROWS],
        rows[:SAMPLE_ROWS],
        row_norms.norms(features, normalization=normalization),
    )


def rank_for(loss: Loss) -> int:
    """Directions to keep for fits of this loss alone."""
    return RANK_OF_SMOOTH if conjugates.of(loss).smooth else RANK


def sample_size(num_rows: int, num_features: int) -> int:
    """How many rows `second_moment` wants, given what there is."""
    wanted = max(_MIN_ROWS, 2 * (num_features + 1))
    return max(1, min(num_rows, wanted, _MAX_NUMBERS // (num_features + 1)))


def extended_rows(features: Array, normalization: Normalization | None) -> Array:
    """Normalised rows with the constant 1, shape ``(rows, features + 1)``.

    In float32 whatever the dtype of the rows: a metric needs no more digits.
    """
    if normalization is not None:
        features = jax.vmap(normalize, in_axes=(None, 0))(normalization, features)
    features = features.astype(jnp.float32)
    ones = jnp.ones((features.shape[0], 1), features.dtype)
    return jnp.concatenate([features, ones], axis=1)


@jax.default_matmul_precision("highest")
def second_moment(
    key: Array,
    rows: Array,
    *,
    rank: int = RANK,
) -> SecondMoment:
    """Factorises the second moment of rows from `extended_rows`.

    Args:
      key: for the sketch.
      rows: shape ``(rows, features + 1)``.
      rank: directions kept where the width exceeds `EXACT_WIDTH`; at most half of it.

    Raises:
      ValueError: if ``rank`` is below 1.
    """
    check.integer("rank", rank, at_least=1)
    rows = rows / jnp.sqrt(jnp.asarray(rows.shape[0], rows.dtype))
    width = rows.shape[1]
    if width <= EXACT_WIDTH:
        values, vectors = jnp.linalg.eigh(rows.T @ rows)
        # Smaller ones are roundoff.
        values = jnp.maximum(values, jnp.finfo(values.dtype).eps * values[-1])
        return SecondMoment(vectors[:, ::-1], values[::-1], jnp.zeros((), values.dtype))
    # A sketch that is nearly square is ill-conditioned.
    rank = min(rank, -(-width // 2), rows.shape[0])
    vectors, values = _nystrom(key, rows, rank)
    trace = jnp.sum(jnp.square(rows))
    rest = jnp.maximum(trace - jnp.sum(values), 0) / max(width - rank, 1)
    return SecondMoment(vectors, values, rest)


def class_hessian(hessian: Array) -> ClassHessian:
    """Factorises a mean Hessian in the scores, shape ``(classes, classes)``.

    Flat directions (a shift of all scores, a class that is never in doubt) are given a
    thousandth of the largest curvature, so that noise in the gradient is not blown up.
    """
    values, vectors = jnp.linalg.eigh((hessian + hessian.T) / 2)
    largest = jnp.where(values[-1] > 0, values[-1], 1.0)
    return ClassHessian(vectors, jnp.maximum(values, 1e-3 * largest))


def of_loss(
    loss: Loss,
    weights: Array,
    sampled: Sampled,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None = None,
) -> ClassHessian:
    """Mean curvature of a (smoothed) loss in the scores, on a sample of the rows.

    Args:
      loss: one that has a conjugate.
      weights: folded, shape ``(classes, features + 1)``.
      sampled: the rows; of many classes not all are used.
      smoothing: of a hinge, in units of score.
      loss_arguments: traced keywords of the loss.
    """
    conjugate = conjugates.of(loss)
    num_classes, dtype = weights.shape[0], weights.dtype
    arguments = dict(loss_arguments or {})
    # Hessians of C x C numbers each are averaged: of many classes fewer, in parts.
    size = max(_MIN_HESSIANS, _MAX_HESSIAN_NUMBERS // num_classes**2)
    size = min(size, sampled.rows.shape[0])
    at_once = min(size, max(1, _NUMBERS_AT_ONCE // num_classes**2))
    size -= size % at_once
    shares = jnp.ones(size, dtype)
    if sampled.weights is not None:
        shares = sampled.weights[:size].astype(dtype)
    # A fold may leave nothing of the sample.
    shares = shares / jnp.maximum(jnp.sum(shares), jnp.finfo(dtype).tiny)
    dual_centers = sampled.dual_centers[:size].astype(dtype)
    if conjugate.smooth:
        dual_centers = jnp.zeros((size, num_classes), dtype)
    scores = sampled.rows[:size].astype(dtype) @ weights.T

    def slope(scores: Array, target: Array, dual_center: Array) -> Array:
        parameters = conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **arguments
        )
        return conjugate.score_gradient(target, parameters)

    def add(mean: Array, some: tuple[Array, Array, Array, Array]) -> tuple[Array, None]:
        shares, *where = some
        hessians = jax.vmap(jax.jacfwd(slope))(*where)
        return mean + jnp.tensordot(shares, hessians, axes=1), None

    in_parts = jax.tree.map(
        lambda leaf: leaf.reshape(-1, at_once, *leaf.shape[1:]),
        (shares, scores, sampled.targets[:size], dual_centers),
    )
    nothing = jnp.zeros((num_classes, num_classes), dtype)
    return class_hessian(jax.lax.scan(add, nothing, in_parts)[0])


def renewed(
    loss: Loss,
    classes: ClassHessian,
    weights: Array,
    sampled: Sampled,
    *,
    smoothing: Array,
    loss_arguments: LossArguments | None,
    when: Array,
) -> ClassHessian:
    """`of_loss` where ``when``, else what is known already, ``classes``.

    Under one `jax.vmap` it is computed for all models if one asks, and for none if none
    does, where a plain `jax.lax.cond` would compute it always: a fifth of what a
    iteration of 32 models takes beside its pass over the rows.
    """
    return _renewed(loss)(
        when, classes, weights, sampled, smoothing, dict(loss_arguments or {})
    )


@functools.cache
def _renewed(loss: Loss) -> Callable[..., ClassHessian]:
    def compute(
        weights: Array, sampled: Sampled, smoothing: Array, arguments: dict[str, Array]
    ) -> ClassHessian:
        return of_loss(
            loss, weights, sampled, smoothing=smoothing, loss_arguments=arguments
        )

    @jax.custom_batching.custom_vmap
    def one(when: Array, classes: ClassHessian, *of_what: Any) -> ClassHessian:
        return jax.lax.cond(when, lambda: compute(*of_what), lambda: classes)

    @one.def_vmap
    def many(
        axis_size: int, is_mapped: Any, when: Any, classes: Any, *of_what: Any
    ) -> Any:
        given = (when, classes, *of_what)
        axes = jax.tree.map(lambda mapped: 0 if mapped else None, is_mapped)
        when, classes = jax.vmap(
            lambda *leaves: leaves, in_axes=tuple(axes[:2]), axis_size=axis_size
        )(*given[:2])

        def where_asked() -> ClassHessian:
            found = jax.vmap(compute, in_axes=tuple(axes[2:]), axis_size=axis_size)(
                *of_what
            )
            return jax.vmap(
                lambda *three: jax.tree.map(
                    lambda new, old: jnp.where(three[0], new, old), *three[1:]
                )
            )(when, found, classes)

        found = jax.lax.cond(jnp.any(when), where_asked, lambda: classes)
        return found, jax.tree.map(lambda _: True, found)

    return one


def solve(
    moment: SecondMoment, classes: ClassHessian, gradient: Array, *, l2: Array
) -> Array:
    r"""Applies :math:`(S \otimes H + \lambda_2 I)^{-1}`.

    Args:
      moment: H.
      classes: S.
      gradient: on folded weights, shape ``(classes, features + 1)``; its dtype is that
        of the computation.
      l2: :math:`\lambda_2 > 0`.
    """
    moment, classes = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, gradient.dtype), (moment, classes)
    )
    by_class = classes.vectors.T @ gradient
    components = by_class @ moment.vectors
    inside = components / (classes.values[:, None] * moment.values[None, :] + l2)
    if moment.vectors.shape[0] == moment.vectors.shape[1]:
        return classes.vectors @ (inside @ moment.vectors.T)
    # Projected out twice: a trace of the stiffest direction, divided by the curvature
    # of the others, may point uphill.
    others = by_class - components @ moment.vectors.T
    outside = 1 / (classes.values[:, None] * moment.rest + l2)
    inside -= outside * (others @ moment.vectors)
    return classes.vectors @ (outside * others + inside @ moment.vectors.T)


def _nystrom(key: Array, rows: Array, rank: int) -> tuple[Array, Array]:
    """Leading eigenpairs of rows^T rows, from one product with it."""
    width = rows.shape[1]
    sketch = jax.random.normal(key, (width, rank), jnp.float32)
    image = rows.T @ (rows @ sketch)
    # The shift keeps the Cholesky factorisation positive in spite of rounding; it is
    # taken off the eigenvalues afterwards.
    epsilon = jnp.finfo(image.dtype).eps
    shift = epsilon * jnp.sqrt(width / rank) * jnp.linalg.norm(image)
    image = image + shift * sketch
    core = sketch.T @ image
    lower = jnp.linalg.cholesky((core + core.T) / 2)
    half = jax.scipy.linalg.solve_triangular(lower, image.T, lower=True).T
    values, vectors = jnp.linalg.eigh(half.T @ half)
    # Eigenvalues below the shift are noise, and so are their vectors.
    kept = values > 2 * shift
    lengths = jnp.sqrt(jnp.where(kept, values, 1))
    vectors = jnp.where(kept[None, :], half @ vectors / lengths[None, :], 0)
    return vectors[:, ::-1], jnp.where(kept, values - shift, 0)[::-1]
