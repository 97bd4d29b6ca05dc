r"""Kronecker-factored preconditioner: one factorisation for every l2, fold and loss.

The Hessian of the mean loss is approximated by :math:`S \otimes H`. H is the second
moment of the rows (with the constant feature of the bias trick); S is the mean Hessian
of the loss in the scores, C x C, or its diagonal where C is large
(`jaxlin.solvers.class_hessian`). The step for a gradient g is

.. math:: (S \otimes H + \lambda_2 I)^{-1} g, \quad H = V \,\text{diag}(h)\, V^\top

V and h are computed once, from a sample of the rows. S is computed from the same sample
at the current iterate. Neither depends on l2. On raw pixels of CIFAR-10, whose second
moment has a condition number of 3e7, L-BFGS with this preconditioner needs 14 passes
where plain L-BFGS needs more than 250.

The method for V depends on the width D + 1; the shape of the result of `second_moment`
shows which one was used:

* up to `EXACT_WIDTH`: the whole eigendecomposition;
* above: the leading directions by a randomised Nystrom sketch, and the mean of the
  other eigenvalues for all other directions. The sketch is two products with the
  sampled rows; no array of size D x D is made.

Alternatives that were not worth their cost, on CIFAR-10 and to a certified gap of 1e-4:

* a warm start from a fit of a part of the rows: the gap depends on gradients, which in
  flat directions are noise if they come from a part; no pass saved in any of seven
  plans;
* from the start, Newton steps by conjugate gradients on the sample: 9 passes instead of
  14 for softmax at l2 = 1e-3, 22 instead of 24 at 1e-4, each twice as expensive, and
  many more passes for hinges (on all rows, after 60 passes, they gain:
  `jaxlin.solvers.newton`);
* for those systems, the second moment of rows weighted by the trace of their Hessian in
  the scores: 718 products instead of 939 for 42 systems of 20,000 x 384 x 20, as much
  time saved as its eigendecompositions take;
* S computed anew during the fit of a smooth loss, or within a round of a hinge;
* other lower bounds of the curvature in flat directions;
* for hinges, the exact Hessian in the leading 128 or 384 directions, factorised anew
  at each round: 116 or 117 passes instead of 147 for the Crammer-Singer hinge at l2 =
  1e-3, 134 or 149 instead of 170 for one-vs-rest, 63 or 55 instead of 67 for
  Weston-Watkins, each round as long as 13 passes or more;
* for the proof, the best convex combination of the last 30 dual points: 63 passes
  instead of 67 for the Weston-Watkins hinge at l2 = 1e-3, none saved at 1e-2 nor for
  softmax.

References:
  J. Martens and R. Grosse. Optimizing neural networks with Kronecker-factored
  approximate curvature. ICML 2015.
  Z. Frangella, J. A. Tropp and M. Udell. Randomized Nystrom preconditioning. SIAM
  Journal on Matrix Analysis and Applications, 2023.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.linear import Bias
from jaxlin.losses import conjugates
from jaxlin.normalization import Normalization
from jaxlin.numerics import compilation
from jaxlin.objective import row_norms, row_products
from jaxlin.solvers.class_hessian import ClassHessian
from jaxlin.typing import Array, Loss

# Up to this width, 1,280 features and the constant, an exact eigendecomposition costs
# less than a sketch saves later. At 1,281 it takes .3 s instead of .2; five l2 of the
# Weston-Watkins hinge on 10,000 generated rows of 50 classes take 732 passes instead of
# 829, 17 l2 of softmax 40 instead of 38.
EXACT_WIDTH = 1281
# Directions kept of wider rows: RANK for losses with kinks or several losses,
# RANK_OF_SMOOTH for one smooth loss, whose fits are so short that the time of the
# factorisation matters. On CIFAR-10, with rank 384, 512, 640, 768 and 1024, softmax
# takes 18, 17, 14, 15 and 14 passes to a gap of 1e-4 at l2 = 1e-3, and 34, 30, 25, 25
# and 24 at 1e-4, while the factorisation takes as long as 5, 6, 7, 9 and 11 passes. The
# one-vs-rest hinge at l2 = 1e-3 takes 216 passes with 640 and 162 with 1024. Half as
# many sampled rows cost 2 to 3 passes more, twice as many save 1.
RANK = 1024
RANK_OF_SMOOTH = 640
# Sampled rows: twice the width, but at least _MIN_ROWS, and at most _MAX_NUMBERS
# numbers.
_MIN_ROWS = 4096
_MAX_NUMBERS = 100_000_000
# Whatever the dtype of the rows: a preconditioner needs no more digits.
_DTYPE = np.float32
# Most sampled rows that are kept for the Hessian of the loss in the scores, for many
# classes: with 500, 1,000, 2,000, 4,000 and 10,000 of 10,000 x 64 generated rows of 500
# classes the Weston-Watkins hinge takes 102, 90, 75, 71 and 65 passes at l2 = 1e-2.
_MAX_KEPT = 4000


class SecondMoment(NamedTuple):
    """Leading eigenvectors of the second moment of rows with a constant 1 appended.

    For a free bias the rows are centred, since the Schur complement of the bias in the
    Hessian subtracts their mean, and the constant is 0. Without a bias it is 0, too.

    Attributes:
      vectors: orthonormal columns, shape ``(features + 1, rank)``.
      values: eigenvalues, descending, shape ``(rank,)``.
      rest: mean of the other eigenvalues, shape ``()``; 0 if there are none.
      center: center of the rows for a free bias, else None.
    """

    vectors: Array
    values: Array
    rest: Array
    center: RowCenter | None = None


class Preconditioner(NamedTuple):
    """Statistics of the rows for certified solvers; made by `of_rows`.

    Attributes:
      moment: second moment of the rows.
      sample: indices of the sampled rows, in random order, shape ``(sampled,)``.
      rows: sampled rows, normalised, with the constant 1, shape
        ``(sampled, features + 1)``.
      norms: Euclidean norms of all normalised rows with the constant 1, shape
        ``(examples,)``.
    """

    moment: SecondMoment
    sample: Array
    rows: Array
    norms: Array


def of_rows(
    key: Array,
    features: Array,
    *,
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    rank: int = RANK,
    bias: Bias = Bias.PENALIZED,
) -> Preconditioner:
    """Samples raw rows and computes their second moment and norms.

    Rows of weight 0 are not in the sample, or are 0 there if there are too few others.

    Args:
      key: draws the sample and the sketch.
      features: raw rows, shape ``(examples, features)``.
      example_weights: shape ``(examples,)``, or None for all ones.
      normalization: applied to each row, or None.
      rank: directions kept where rows are wide (`second_moment`).
      bias: treatment of the bias.
    """
    arguments = (key, features, example_weights, normalization)
    quickly = compilation.is_worth_it(features.size, arguments)
    of_rows = _of_rows_quickly if quickly else _of_rows
    return of_rows(*arguments, rank=rank, bias=bias)


def _statistics(
    key: Array,
    features: Array,
    example_weights: Array | None,
    normalization: Normalization | None,
    *,
    rank: int,
    bias: Bias,
) -> Preconditioner:
    num_rows, num_features = features.shape
    size = sample_size(num_rows, num_features)
    sample_key, sketch_key = jax.random.split(key)
    # Rows may be sorted by class: a sample must be drawn at random, not sliced.
    words = jax.random.bits(sample_key, (num_rows,), jnp.uint32)
    if example_weights is None:
        sample = jnp.argsort(words)[:size].astype(jnp.int32)
        is_in = jnp.ones((size, 1), bool)
        counts = jnp.ones(num_rows, bool)
    else:
        counts = example_weights > 0
        # Rows with weight draw the words that they would draw without the others.
        words = words[jnp.maximum(jnp.cumsum(counts) - 1, 0)]
        sample = jnp.lexsort((words, ~counts))[:size].astype(jnp.int32)
        is_in = counts[sample][:, None]
    rows = row_products.extended_rows(features[sample], normalization, _DTYPE)
    rows = jnp.where(is_in, rows, 0)
    share = jnp.maximum(jnp.mean(is_in, dtype=rows.dtype), 1 / size)
    of_moment, mean = centered_rows(rows, is_in, bias=bias)
    moment = second_moment(sketch_key, of_moment / jnp.sqrt(share), rank=rank)
    if mean is not None:
        distances = row_norms.norms(features, normalization=normalization, center=mean)
        radius = jnp.max(jnp.where(counts, distances, 0))
        moment = moment._replace(center=RowCenter(mean, radius))
    kept = num_kept(size)
    return Preconditioner(
        moment,
        sample[:kept],
        rows[:kept],
        row_norms.norms(features, normalization=normalization),
    )


_jit = functools.partial(jax.jit, static_argnames=("rank", "bias"))
_of_rows = _jit(_statistics)
_of_rows_quickly = _jit(_statistics, compiler_options=compilation.FEW_OPTIMISATIONS)


def centered_rows(
    rows: Array, is_in: Array, *, bias: Bias
) -> tuple[Array, Array | None]:
    """Rows as `second_moment` needs them for a treatment of the bias, and their mean.

    Args:
      rows: rows with the constant 1, or 0, shape ``(rows, features + 1)``.
      is_in: mask of the rows that are not 0, shape ``(rows, 1)``.
      bias: treatment of the bias.

    Returns:
      The rows, and for a free bias the mean that was subtracted, shape ``(features,)``.
    """
    if bias is Bias.PENALIZED:
        return rows, None
    rows = bias.penalized_part(rows)
    if bias is Bias.NONE:
        return rows, None
    mean = jnp.sum(rows, axis=0) / jnp.maximum(jnp.sum(is_in), 1)
    return jnp.where(is_in, rows - mean[None, :], 0), mean[:-1]


def rank_for(loss: Loss) -> int:
    """Returns the number of directions to keep for fits of this loss alone."""
    return RANK_OF_SMOOTH if conjugates.of(loss).smooth else RANK


def sample_size(num_rows: int, num_features: int) -> int:
    """Returns the number of rows to sample for `second_moment`."""
    wanted = max(_MIN_ROWS, 2 * (num_features + 1))
    return max(1, min(num_rows, wanted, _MAX_NUMBERS // (num_features + 1)))


def num_kept(num_sampled: int) -> int:
    """Returns the number of sampled rows to keep for the Hessian of the loss.

    Few sizes, eight per octave up to 1,000 and one per octave above, so that fits of
    similar numbers of rows share programs.
    """
    for size in (_MAX_KEPT, 2000, 1000):
        if num_sampled >= size:
            return size
    step = 2 ** max(0, num_sampled.bit_length() - 4)
    return num_sampled - num_sampled % step


@jax.default_matmul_precision("highest")
def second_moment(
    key: Array,
    rows: Array,
    *,
    rank: int = RANK,
) -> SecondMoment:
    """Factorises the second moment of rows with the constant 1.

    Args:
      key: draws the sketch.
      rows: shape ``(rows, features + 1)``.
      rank: directions kept where the width exceeds `EXACT_WIDTH`, at least 1; reduced
        to half the width or the number of rows where it is larger.

    Raises:
      ValueError: if ``rank`` is below 1.
    """
    check.integer("rank", rank, at_least=1)
    rows = rows / jnp.sqrt(jnp.asarray(rows.shape[0], rows.dtype))
    width = rows.shape[1]
    if width <= EXACT_WIDTH:
        values, vectors = jnp.linalg.eigh(rows.T @ rows)
        # Smaller eigenvalues are roundoff.
        values = jnp.maximum(values, jnp.finfo(values.dtype).eps * values[-1])
        return SecondMoment(vectors[:, ::-1], values[::-1], jnp.zeros((), values.dtype))
    # A sketch that is nearly square is ill-conditioned.
    rank = min(rank, -(-width // 2), rows.shape[0])
    vectors, values = _nystrom(key, rows, rank)
    trace = jnp.sum(jnp.square(rows))
    rest = jnp.maximum(trace - jnp.sum(values), 0) / max(width - rank, 1)
    return SecondMoment(vectors, values, rest)


def solve(
    moment: SecondMoment, classes: ClassHessian, gradient: Array, *, l2: Array
) -> Array:
    r"""Applies :math:`(S \otimes H + \lambda_2 I)^{-1}`.

    Args:
      moment: eigendecomposition of H.
      classes: eigendecomposition of S, or its diagonal.
      gradient: gradient in the folded weights, shape ``(classes, features + 1)``; its
        dtype is that of the computation.
      l2: :math:`\lambda_2`, above 0.
    """
    moment, classes = jax.tree.map(
        lambda leaf: jnp.asarray(leaf, gradient.dtype), (moment, classes)
    )
    by_class = gradient if classes.vectors is None else classes.vectors.T @ gradient
    components = by_class @ moment.vectors
    inside = components / (classes.values[:, None] * moment.values[None, :] + l2)
    if moment.vectors.shape[0] == moment.vectors.shape[1]:
        solved = inside @ moment.vectors.T
        return solved if classes.vectors is None else classes.vectors @ solved
    # Projected out twice: a remainder of the stiffest direction, divided by the
    # curvature of the others, may point uphill.
    others = by_class - components @ moment.vectors.T
    outside = 1 / (classes.values[:, None] * moment.rest + l2)
    inside -= outside * (others @ moment.vectors)
    solved = outside * others + inside @ moment.vectors.T
    return solved if classes.vectors is None else classes.vectors @ solved


def _nystrom(key: Array, rows: Array, rank: int) -> tuple[Array, Array]:
    """Leading eigenpairs of rows^T rows, from one product with that matrix."""
    width = rows.shape[1]
    sketch = jax.random.normal(key, (width, rank), jnp.float32)
    image = rows.T @ (rows @ sketch)
    # The shift keeps the Cholesky factorisation positive in spite of rounding; it is
    # subtracted from the eigenvalues afterwards.
    epsilon = jnp.finfo(image.dtype).eps
    shift = epsilon * jnp.sqrt(width / rank) * jnp.linalg.norm(image)
    image = image + shift * sketch
    core = sketch.T @ image
    lower = jnp.linalg.cholesky((core + core.T) / 2)
    half = jax.scipy.linalg.solve_triangular(lower, image.T, lower=True).T
    values, vectors = jnp.linalg.eigh(half.T @ half)
    # Eigenvalues below the shift are noise, as are their vectors.
    kept = values > 2 * shift
    lengths = jnp.sqrt(jnp.where(kept, values, 1))
    vectors = jnp.where(kept[None, :], half @ vectors / lengths[None, :], 0)
    return vectors[:, ::-1], jnp.where(kept, values - shift, 0)[::-1]
