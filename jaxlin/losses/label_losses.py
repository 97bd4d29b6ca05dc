"""Losses of one example, from its scores and its label or target distribution."""

import chex
import jax
import jax.numpy as jnp
from jax.scipy.special import entr
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.typing import Array


def weston_watkins_hinge(
    scores: Array, label: ArrayLike, /, *, margin: ArrayLike = 1.0
) -> Array:
    r"""Multiclass hinge loss of one example, summed over the wrong classes.

    .. math:: \ell(s, y) = \sum_{j \neq y} \max(0,\; s_j - s_y + \Delta)

    The hinges of optax (`optax.losses.multiclass_hinge_loss`), scikit-learn and Keras
    take the maximum over the wrong classes instead of the sum (`crammer_singer_hinge`).
    PyTorch's ``MultiMarginLoss`` is this loss divided by the number of classes.

    Args:
      scores: class scores :math:`s`, shape ``(classes,)``.
      label: index :math:`y` of the right class, shape ``()``.
      margin: required lead :math:`\Delta` of the right class, in units of score;
        default 1.

    Returns:
      The loss, shape ``()``.

    Example:
      >>> print(weston_watkins_hinge(jnp.array([3.0, 2.5, -1.0]), 0))
      0.5

    Reference:
      J. Weston and C. Watkins. Support vector machines for multi-class pattern
      recognition. ESANN 1999.
    """
    return jnp.sum(jax.nn.relu(margin_violations(scores, label, margin=margin)))


def weston_watkins_squared_hinge(
    scores: Array, label: ArrayLike, /, *, margin: ArrayLike = 1.0
) -> Array:
    r"""Sum over the wrong classes of squared margin violations.

    .. math:: \ell(s, y) = \sum_{j \neq y} \max(0,\; s_j - s_y + \Delta)^2

    Differentiable everywhere. Its minimiser differs from that of
    `weston_watkins_hinge`. Arguments and result are those of `weston_watkins_hinge`.

    Example:
      >>> print(weston_watkins_squared_hinge(jnp.array([3.0, 2.5, -1.0]), 0))
      0.25
    """
    violations = jax.nn.relu(margin_violations(scores, label, margin=margin))
    return jnp.sum(jnp.square(violations))


def crammer_singer_hinge(
    scores: Array, label: ArrayLike, /, *, margin: ArrayLike = 1.0
) -> Array:
    r"""Hinge loss of the wrong class with the highest score.

    .. math:: \ell(s, y) = \max(0,\; \max_{j \neq y} s_j - s_y + \Delta)

    The multiclass hinge of optax, jaxopt, Keras and ``sklearn.metrics.hinge_loss``.
    Where several wrong classes share the highest score, the derivative is divided
    equally among them (a subgradient). Arguments and result are those of
    `weston_watkins_hinge`.

    Example:
      >>> print(crammer_singer_hinge(jnp.array([3.0, 2.5, 2.25]), 0))
      0.5

    Reference:
      K. Crammer and Y. Singer. On the algorithmic implementation of multiclass
      kernel-based vector machines. Journal of Machine Learning Research, 2001.
    """
    return jax.nn.relu(jnp.max(margin_violations(scores, label, margin=margin)))


def one_vs_rest_hinge(
    scores: Array, label: ArrayLike, /, *, margin: ArrayLike = 1.0
) -> Array:
    r"""Sum over all classes of the binary hinge of that class against the rest.

    .. math:: \ell(s, y) = \sum_j \max(0,\; \Delta - t_j s_j), \quad
              t_y = 1,\; t_j = -1 \text{ for } j \neq y

    Unlike the other hinges it depends on the scores themselves, not only on their
    differences: adding a constant to all scores changes the loss. Arguments and result
    are those of `weston_watkins_hinge`.

    Example:
      >>> print(one_vs_rest_hinge(jnp.array([3.0, -0.5, -2.0]), 0))
      0.5

    Reference:
      R. Rifkin and A. Klautau. In defense of one-vs-all classification. Journal of
      Machine Learning Research, 2004.
    """
    return jnp.sum(jax.nn.relu(one_vs_rest_violations(scores, label, margin=margin)))


def softmax_cross_entropy(scores: Array, label: ArrayLike, /) -> Array:
    r"""Negative log-likelihood of the label under the softmax of the scores, in nats.

    .. math:: \ell(s, y) = \log \sum_j e^{s_j} - s_y = -\log \text{softmax}(s)_y

    Computed as :math:`\log(1 + \sum_{j \neq y} e^{s_j - s_y})`, which keeps all digits
    when the right class leads by far, where the difference above would cancel. The
    infimum, 0, is not attained with finite scores; there is no upper bound.

    Args:
      scores: class scores :math:`s` (logits), shape ``(classes,)``.
      label: index :math:`y` of the right class, shape ``()``.

    Returns:
      The loss, shape ``()``.

    Example:
      >>> print(f"{softmax_cross_entropy(jnp.array([3.2, 5.1, -1.7]), 0):.4f}")
      2.0404
    """
    return jax.nn.softplus(jax.nn.logsumexp(_leads_of_wrong_classes(scores, label)))


def cross_entropy(scores: Array, target: Array, /) -> Array:
    r"""Cross-entropy of a target distribution and the softmax of the scores, in nats.

    .. math:: \ell(s, t) = -\sum_j t_j \log \text{softmax}(s)_j

    It equals ``entropy(target) + kl_divergence(scores, target)``, and for a one-hot
    target `softmax_cross_entropy` of that label. Its derivative in the target is
    :math:`-\log \text{softmax}(s)_j`, also for a class with target 0. If the score of
    such a class is -inf, it contributes 0 to the value and to both gradients.

    Scores come first, as in optax; `sklearn.metrics.log_loss` takes the target first.

    Args:
      scores: class scores :math:`s` (logits), shape ``(classes,)``.
      target: distribution :math:`t` over classes, non-negative with sum 1, shape
        ``(classes,)``; not checked here.

    Returns:
      The loss, shape ``()``.

    Example:
      >>> smoothed = jnp.array([0.9, 0.05, 0.05])
      >>> print(f"{cross_entropy(jnp.array([3.0, 1.0, 0.0]), smoothed):.4f}")
      0.4198
    """
    _check_scores(scores)
    chex.assert_equal_shape([scores, target])
    target = jnp.asarray(target, scores.dtype)
    log_probabilities = jax.nn.log_softmax(scores)
    # The target 0 alone does not suffice: the derivative in a target of 0 is not 0.
    is_absent = (target == 0) & (log_probabilities == -jnp.inf)
    return -jnp.sum(target * jnp.where(is_absent, 0, log_probabilities))


def kl_divergence(scores: Array, target: Array, /) -> Array:
    r"""Kullback-Leibler divergence from the softmax of the scores to a target, in nats.

    .. math:: \text{KL}(t \,\|\, q) = \sum_j t_j \log (t_j / q_j), \quad
              q = \text{softmax}(s)

    `cross_entropy` minus `entropy` of the target: the same gradient in the scores, and
    minimum 0 (up to rounding) where softmax and target agree. Arguments and result are
    those of `cross_entropy`; the derivative in the target is that of `cross_entropy`
    minus that of `entropy`.
    """
    return cross_entropy(scores, target) - entropy(jnp.asarray(target, scores.dtype))


def entropy(distribution: Array, /) -> Array:
    r"""Shannon entropy :math:`-\sum_j p_j \log p_j` in nats, with 0 log 0 = 0.

    The derivative at :math:`p_j = 0`, inf in the limit, is defined as 0, so that
    gradients through a softmax with a probability of 0 are finite.

    Args:
      distribution: :math:`p`, non-negative with sum 1, shape ``(classes,)``.

    Returns:
      The entropy, shape ``()``: 0 for a one-hot ``p``, log C for the uniform one.
    """
    check.one_example("distribution", distribution)
    # entr(1) is 0, the value wanted at 0, and has a finite derivative.
    return jnp.sum(entr(jnp.where(distribution == 0, 1, distribution)))


def margin_violations(
    scores: Array, label: ArrayLike, /, *, margin: ArrayLike = 1.0
) -> Array:
    r"""Margin violations :math:`\Delta + s_j - s_y` of the wrong classes.

    Negative where the margin is satisfied; -inf for the right class, whose hinge is
    then 0. Arguments are those of `weston_watkins_hinge`.

    Returns:
      Signed violations, shape ``(classes,)``.
    """
    return _leads_of_wrong_classes(scores, label) + _like(margin, scores)


def one_vs_rest_violations(
    scores: Array, label: ArrayLike, /, *, margin: ArrayLike = 1.0
) -> Array:
    r"""Margin violations :math:`\Delta - t_j s_j` of `one_vs_rest_hinge`.

    Negative where the margin is satisfied. Arguments are those of
    `weston_watkins_hinge`.

    Returns:
      Signed violations, shape ``(classes,)``.
    """
    signs = jnp.where(is_label(scores, label), -1, 1)
    return _if_class(scores, label, _like(margin, scores)) + signs * scores


def is_label(scores: Array, label: ArrayLike, /) -> Array:
    """Mask of the right class, boolean, shape ``(classes,)``.

    Args:
      scores: one number per class, shape ``(classes,)``.
      label: index of the right class, shape ``()``.
    """
    _check_scores(scores)
    check.one_example("label", label, num_dimensions=0)
    chex.assert_type(label, int)
    return jnp.arange(scores.shape[0]) == label


def score_of_label(scores: Array, label: ArrayLike, /) -> Array:
    """Score of the right class, shape ``()``; NaN if the label is outside [0, C).

    Args:
      scores: one number per class, shape ``(classes,)``.
      label: index of the right class, shape ``()``.
    """
    # A masked sum is faster than indexing here, which becomes a gather under vmap.
    right = jnp.sum(jnp.where(is_label(scores, label), scores, 0))
    return _if_class(scores, label, right)


def _leads_of_wrong_classes(scores: Array, label: ArrayLike) -> Array:
    """Lead s_j - s_y of each wrong class; -inf, without a loss, for the right one.

    A masked class (score -inf) stays -inf even if the right class is masked too.
    """
    is_out = is_label(scores, label) | (scores == -jnp.inf)
    return jnp.where(is_out, -jnp.inf, scores - score_of_label(scores, label))


def _if_class(scores: Array, label: ArrayLike, value: Array) -> Array:
    """The value; NaN for a label outside [0, C), where no number is a valid loss."""
    is_class = (jnp.asarray(label) >= 0) & (jnp.asarray(label) < scores.shape[0])
    return jnp.where(is_class, value, jnp.nan)


def _check_scores(scores: Array) -> None:
    check.one_example("scores", scores)
    chex.assert_type(scores, float)


def _like(value: ArrayLike, scores: Array) -> Array:
    # Without this a float32 margin would turn bfloat16 losses into float32.
    return jnp.asarray(value, scores.dtype)
