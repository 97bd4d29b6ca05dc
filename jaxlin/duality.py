r"""Certificates: how far from the optimum parameters are, with proof.

For :math:`\lambda_2 > 0` the optimum :math:`W^*` of the objective P is unique, and any
points :math:`u_i` of the domains of the conjugates (`jaxlin.conjugates`) bound P from
below by the dual value D. The gap between the two is computed as a sum of terms none of
which is negative, so that no digits cancel:

.. math:: P(W) - P(W^*) \le P(W) - D(U) = \frac{1}{\sum_i a_i}
   \sum_i a_i \big[ \ell(s_i) + \ell^*(u_i) - \langle s_i, u_i \rangle \big]
   + \frac{\|G(U) + \lambda_2 W\|^2}{2 \lambda_2},
   \quad G(U) = \frac{\sum_i a_i u_i x_i^\top}{\sum_i a_i}

The bias is penalised: it is the column of W that the constant feature 1 of each row
multiplies (the bias trick). With a free bias P is not strongly convex, and a bound
would need points that sum to zero exactly; neither is offered, and l2 = 0 has no
certificate at all.

  >>> import jax.numpy as jnp
  >>> from jaxlin import duality, linear, losses
  >>> params = linear.Params(jnp.zeros((2, 2)), jnp.zeros(2))
  >>> rows, labels = jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.array([0, 1])
  >>> proof = duality.certificate(
  ...     params, rows, labels, loss=losses.softmax_cross_entropy, l2=1.0)
  >>> print(f"{proof.primal:.4f} {proof.dual:.4f} {proof.gap:.4f}")
  0.6931 0.4431 0.2500

What follows from a gap, by strong convexity: the distance to the optimum (`radius`),
which labels the optimum must agree on (`same_labels`), and between which bounds its
accuracy lies (`accuracy_interval`).
"""

import functools
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import check, conjugates, linear, losses, objective, row_sums
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.row_sums import RowSums
from jaxlin.typing import Array, Loss, LossArguments

# An interval of the optimum's accuracy wider than this says nothing worth saying.
UNINFORMATIVE_WIDTH = 0.05
# Smoothings tried, in margins, for hinge parameters that come without a dual point.
_SMOOTHINGS = (1.0, 0.3, 0.1, 0.03, 0.01)


class Certificate(NamedTuple):
    """A proof that the objective is within ``gap + rounding`` of its minimum.

    Attributes:
      primal: the objective at the parameters, shape ``()``.
      dual: a lower bound of the minimum but for rounding, ``primal - gap``.
      gap: from the sum of terms above, not from the difference.
      rounding: what floating-point errors may have hidden of the gap: products and sums
        of random rounding errors, with a safety factor; not a worst case.
    """

    primal: Array
    dual: Array
    gap: Array
    rounding: Array


class Evaluation(NamedTuple):
    """What one pass over the rows tells about one model.

    Attributes:
      smoothed: the smoothed objective, shape ``()``; the objective for a smooth loss.
      gradient: of the smoothed objective, on folded weights
        ``(classes, features + 1)``.
      excess: the mean of the Fenchel-Young terms, shape ``()``.
      stationarity: the other term of the gap, shape ``()``.
      certificate: of the parameters with the points of this pass.
    """

    smoothed: Array
    gradient: Array
    excess: Array
    stationarity: Array
    certificate: Certificate


def relative_gap(certificate: Certificate) -> Array:
    """The proven bound, rounding included, over the objective: shape ``()``."""
    return (certificate.gap + certificate.rounding) / jnp.abs(certificate.primal)


class Shared(NamedTuple):
    """Traced arguments of a link; made by `shared`.

    Attributes:
      smoothing: of a hinge, in units of score.
      loss_arguments: the loss's own, such as its margin.
      per_norm: error of a score per norm of the row.
      per_score: error of a score per size of the largest score.
    """

    smoothing: Array
    loss_arguments: LossArguments
    per_norm: Array
    per_score: Array


def shared(
    params: Params, smoothing: Array, loss_arguments: LossArguments | None
) -> Shared:
    """The traced arguments of a pass over the rows at these parameters.

    In units of roundoff, a sum of D products strays from the truth by about the size of
    its partial sums if their rounding errors are independent, and by sqrt(D) times the
    total if all products have one sign (Higham and Mary, A new approach to
    probabilistic rounding error analysis, SIAM Journal on Scientific Computing, 2019).
    The factors leave room.
    """
    folded = linear.fold_bias(params)
    unit = jnp.finfo(folded.dtype).eps / 2
    width = jnp.sqrt(jnp.asarray(folded.shape[1], folded.dtype))
    weight = jnp.max(jnp.linalg.norm(folded, axis=1))
    return Shared(
        smoothing, dict(loss_arguments or {}), 4 * unit * weight, 4 * unit * width
    )


class PerExample(NamedTuple):
    """What a link needs to know of an example beside its target.

    Attributes:
      center: of the smoothing, shape ``(classes,)``; ``(0,)`` for a smooth loss.
      norm: Euclidean norm of the normalised row with its constant 1, shape ``()``.
    """

    center: Array
    norm: Array


@functools.cache
def link(loss: Loss) -> row_sums.Link:
    """The link of `row_sums.over_rows` whose sums `evaluation` turns into a proof.

    Its output is the parameters of the point (the next center of a hinge); nothing,
    shape ``(0,)``, for a smooth loss.

    Raises:
      ValueError: if no conjugate of the loss is known.
    """
    conjugate = conjugates.of(loss)

    def values_of_example(
        shared: Shared, scores: Array, target: Any, example: PerExample
    ) -> tuple[Array, Array, Array]:
        arguments = dict(shared.loss_arguments)
        if jnp.ndim(target) == 1:
            # A float32 distribution seldom sums to 1 in the dtype of the computation.
            target = jnp.asarray(target, scores.dtype)
            target = target / jnp.sum(target)
        center = jnp.zeros_like(scores) if conjugate.smooth else example.center
        smoothing = shared.smoothing
        parameters = conjugate.parameters(
            scores, target, center, smoothing=smoothing, **arguments
        )
        point = conjugate.point(target, parameters)
        value = loss(scores, target, **arguments)
        if conjugate.smooth:
            smoothed, excess = value, jnp.zeros_like(value)
        else:
            smoothed = conjugate.smoothed(
                scores, target, parameters, center, smoothing=smoothing, **arguments
            )
            excess = conjugate.excess(scores, target, parameters, **arguments)
        # How far the scores of this row may be off; see `evaluation`.
        largest = jnp.max(jnp.abs(scores))
        error = shared.per_norm * example.norm + shared.per_score * largest
        if conjugate.smooth:
            # The excess vanishes at the gradient, to second order in the scores.
            hidden = 4 * scores.shape[0] * jnp.square(error)
        else:
            hidden = _hidden(loss, scores, target, point, error, arguments)
        values = jnp.stack(
            [
                smoothed,
                value,
                excess,
                hidden,
                jnp.linalg.norm(point) * example.norm,
            ]
        ).astype(scores.dtype)
        return values, point, parameters[: 0 if conjugate.smooth else None]

    return values_of_example


def _hidden(loss, scores, target, point, error, arguments) -> Array:
    """How much of a hinge's excess errors of its scores may hide.

    At a kink the slope is one of two, and which one is hidden by rounding: both count.
    A shift of the margin moves all violations of it at once.
    """
    margin = jnp.asarray(arguments.get("margin", 1.0), scores.dtype)
    # A violation is made of two scores and the margin, each sum rounded; that of
    # one-vs-rest of one score, and the right class has one too.
    one_score = loss is losses.one_vs_rest_hinge
    reach = (1 if one_score else 2) * error + jnp.finfo(scores.dtype).eps * margin
    if loss is losses.crammer_singer_hinge:
        # Ties among wrong classes are kinks too. The excess is a mean, its weights
        # summing to 1, of what separates violations from the largest of them.
        return reach
    slope = jax.grad(loss)
    sides = [
        jnp.abs(slope(scores, target, margin=margin + shift) - point)
        for shift in (reach, -reach)
    ]
    charged = True if one_score else ~losses.is_label(scores, target)
    return reach * jnp.sum(jnp.where(charged, jnp.maximum(*sides), 0))


def evaluation(sums: RowSums, params: Params, l2: Array) -> Evaluation:
    """Turns the sums of `link` over all rows into objective, gradient and proof."""
    folded = linear.fold_bias(params)
    smoothed, primal, excess, hidden, size = row_sums.total(sums.values) / sums.weight
    of_rows = linear.fold_bias(
        Params(row_sums.total(sums.weights), row_sums.total(sums.bias))
    )
    gradient = of_rows / sums.weight + l2 * folded
    penalty = l2 / 2 * jnp.sum(jnp.square(folded))
    squared = jnp.sum(jnp.square(gradient))
    stationarity = squared / (2 * l2)
    gap = excess + stationarity

    # Errors of examples are added as if they agreed.
    unit = jnp.finfo(folded.dtype).eps / 2
    gradient_error = 8 * unit * (size + l2 * jnp.linalg.norm(folded))
    rounding = (
        hidden
        + (2 * jnp.sqrt(squared) + gradient_error) * gradient_error / (2 * l2)
        + 8 * unit * gap
    )
    primal = primal + penalty
    return Evaluation(
        smoothed=smoothed + penalty,
        gradient=gradient,
        excess=excess,
        stationarity=stationarity,
        certificate=Certificate(primal, primal - gap, gap, rounding),
    )


def certificate(
    params: Params,
    features: Array,
    targets: Array,
    *,
    loss: Loss,
    l2: ArrayLike,
    loss_arguments: LossArguments | None = None,
    example_weights: Array | None = None,
    normalization: Normalization | None = None,
    block_size: int | None = None,
) -> Certificate:
    """Certifies any parameters, wherever they come from.

    For a smooth loss the bound is as good as the gradient is small. For a hinge the
    points come from smoothed forms of it, the best of several; a certified fit has
    better ones, from its multipliers, so that its own certificate is tighter.

    Args:
      params: parameters, whose bias counts as penalised.
      features: raw rows, shape ``(examples, features)``.
      targets: labels or distributions, one an example.
      loss: one that has a conjugate.
      l2: strength of half the sum of squares, above 0.
      loss_arguments: traced keywords of the loss.
      example_weights: shape ``(examples,)``; None is all ones.
      normalization: applied to each row, or None.
      block_size: rows a block; None chooses it.

    Raises:
      ValueError: if l2 is not above 0, or the loss has no conjugate.
    """
    check.number("l2", l2, above=0)
    conjugates.of(loss)
    return _certificate(
        params,
        features,
        targets,
        jnp.asarray(l2, params.weights.dtype),
        dict(loss_arguments or {}),
        example_weights,
        normalization,
        loss=loss,
        block_size=block_size,
    )


@functools.partial(jax.jit, static_argnames=("loss", "block_size"))
def _certificate(
    params,
    features,
    targets,
    l2,
    arguments,
    weights,
    normalization,
    *,
    loss,
    block_size,
):
    smooth = conjugates.of(loss).smooth
    margin = arguments.get("margin", 1.0)
    norms = row_sums.norms(features, normalization=normalization, block_size=block_size)
    num_classes = params.bias.shape[0]
    centers = jnp.zeros((len(norms), 0 if smooth else num_classes), l2.dtype)

    def with_smoothing(smoothing: Array) -> Certificate:
        sums, _ = row_sums.over_rows(
            params,
            features,
            targets,
            PerExample(centers, norms),
            link=link(loss),
            shared=shared(params, smoothing, arguments),
            example_weights=weights,
            normalization=normalization,
            block_size=block_size,
        )
        return evaluation(sums, params, l2).certificate

    smoothings = margin * jnp.asarray(_SMOOTHINGS[: 1 if smooth else None], l2.dtype)
    found = jax.vmap(with_smoothing)(smoothings)
    best = jnp.argmin(found.gap)
    return jax.tree.map(lambda leaf: leaf[best], found)


def radius(certificate: Certificate, *, l2: ArrayLike) -> Array:
    r"""Bounds the Frobenius distance :math:`\|W - W^*\|` (bias included): shape ``()``.

    :math:`r = \sqrt{2\,\text{gap} / \lambda_2}`, by strong convexity of the penalty;
    the gap includes its rounding.
    """
    return jnp.sqrt(2 * (certificate.gap + certificate.rounding) / l2)


def label_radii(
    params: Params, features: Array, *, normalization: Normalization | None = None
) -> Array:
    r"""How far W may be moved before a row's label can change, shape ``(rows,)``.

    :math:`(s_1 - s_2) / (\sqrt{2} \|x\|)` for the two best scores, less what rounding
    may have added to their difference.

    Args:
      params: parameters, bias penalised.
      features: raw rows, shape ``(rows, features)``.
      normalization: the one the parameters were fitted with, or None.
    """
    scores = _blocked_scores(params, features, normalization=normalization)
    norms = _row_norms(features, normalization=normalization)
    best, second = jax.lax.top_k(scores, 2)[0].T
    folded = linear.fold_bias(params)
    unit = 2 * jnp.finfo(folded.dtype).eps * jnp.sqrt(1.0 * folded.shape[1])
    rounding = 2 * unit * jnp.max(jnp.linalg.norm(folded, axis=1))
    return ((best - second) / norms - rounding) / jnp.sqrt(2.0)


def same_labels(
    params: Params,
    features: Array,
    *,
    radius: ArrayLike,
    normalization: Normalization | None = None,
) -> Array:
    """Which rows the exact optimum provably gives the same label, shape ``(rows,)``.

    Those whose `label_radii` exceed ``radius``, the one of `radius`; other arguments as
    there.
    """
    return label_radii(params, features, normalization=normalization) > radius


class AccuracyInterval(NamedTuple):
    """Bounds that the accuracy of the exact optimum on some rows provably satisfies.

    Attributes:
      lower: share of rows that are proven and right.
      upper: 1 less the share of rows that are proven and wrong.
      certified: share of rows whose label is proven; always to be shown beside.
    """

    lower: float
    upper: float
    certified: float

    def __str__(self) -> str:
        share = f"{100 * self.certified:.1f} % of labels certified"
        if self.upper - self.lower > UNINFORMATIVE_WIDTH:
            return f"uninformative ({share})"
        return f"[{100 * self.lower:.2f}, {100 * self.upper:.2f}] % ({share})"


def accuracy_interval(correct: Array, same: Array) -> AccuracyInterval:
    """Interval of the optimum's accuracy from what was proven of each row.

    Args:
      correct: whether our label of each row is right, shape ``(rows,)``.
      same: from `same_labels`, shape ``(rows,)``.
    """
    chex.assert_rank([correct, same], 1)
    chex.assert_equal_shape([correct, same])
    right = float(jnp.mean(same & correct))
    wrong = float(jnp.mean(same & ~correct))
    return AccuracyInterval(right, 1 - wrong, float(jnp.mean(same)))


@jax.jit
@jax.default_matmul_precision("highest")
def _blocked_scores(params, features, *, normalization):
    return objective.blocked_scores(params, features, normalization=normalization)


_row_norms = jax.jit(row_sums.norms, static_argnames=("block_size",))
