r"""Penalties: the value of a regulariser on a tree of weights, without its strength.

The penalty `l2` includes the factor one half, so that :math:`\lambda` times it has the
gradient :math:`\lambda W`. The lecture and CS231n write :math:`\lambda \sum W^2`; their
:math:`\lambda` is half of ours. `l2_of_c` converts scikit-learn's C, `l2_of_c_for` with
the penalised rows that scikit-learn has for a loss.

  >>> import jax.numpy as jnp
  >>> from jaxlin.objective import penalties
  >>> print(penalties.l2(jnp.array([3.0, 4.0])), penalties.l1(jnp.array([3.0, -4.0])))
  12.5 7.0
"""

import functools
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from jaxlin import check, losses
from jaxlin.typing import Array, Loss, PyTree


def l2(weights: PyTree) -> Array:
    r"""Half the sum of squares, :math:`\frac{1}{2} \sum_j w_j^2`, shape ``()``."""
    return 0.5 * _total(jax.tree.map(lambda leaf: jnp.sum(jnp.square(leaf)), weights))


def l1(weights: PyTree) -> Array:
    r"""Sum of absolute values, :math:`\sum_j |w_j|`; its derivative at 0 is 0."""
    # Not jnp.abs, whose derivative at 0 is 1.
    return _total(jax.tree.map(lambda leaf: jnp.sum(leaf * jnp.sign(leaf)), weights))


def elastic_net(weights: PyTree, *, l1_ratio: ArrayLike) -> Array:
    r"""Mixture :math:`r \sum |w_j| + \frac{1 - r}{2} \sum w_j^2`, shape ``()``.

    Args:
      weights: a tree of arrays.
      l1_ratio: mixing weight :math:`r` of `l1`, in [0, 1], as in scikit-learn.

    Reference:
      H. Zou and T. Hastie. Regularization and variable selection via the elastic net.
      Journal of the Royal Statistical Society B, 2005 (in the form of `glmnet`).
    """
    absolute, squares = l1(weights), l2(weights)
    ratio = jnp.asarray(l1_ratio, squares.dtype)
    return ratio * absolute + (1 - ratio) * squares


def l2_of_c(
    cs: Sequence[float],
    *,
    total_weight: float,
    num_classes: int,
    row_per_class: bool = False,
) -> tuple[float, ...]:
    r"""Converts scikit-learn's C to the l2 of a mean loss.

    The objective of scikit-learn is :math:`C \sum_i a_i \ell_i + \frac{1}{2} \|W\|^2`,
    so that :math:`\lambda_2 = 1 / (C \sum_i a_i)`. For two classes it is twice that:
    `LogisticRegression` penalises one row w where we penalise :math:`(-w/2, w/2)`.
    scikit-learn does not penalise the intercept: to fit the same model there, append a
    column of ones to the features and set ``fit_intercept=False``. The same formula
    converts l2 to C.

    Args:
      cs: values of C, distinct, above 0.
      total_weight: sum of the example weights, above 0; the number of examples if there
        are no weights.
      num_classes: number of classes, at least 2.
      row_per_class: whether scikit-learn penalises one row per class for two classes
        too; default False. True for `LinearSVC` compared with
        `jaxlin.losses.one_vs_rest_hinge`, and for `LinearSVC` with
        ``multi_class="crammer_singer"``; False in a comparison with our Weston-Watkins
        hinge.

    Returns:
      Strengths l2, in the order of ``cs``.

    Raises:
      ValueError: naming the argument, the rule and the value.

    Example:
      >>> l2_of_c((0.5, 2.0), total_weight=100, num_classes=3)
      (0.02, 0.005)
      >>> l2_of_c((0.5, 2.0), total_weight=100, num_classes=2)
      (0.04, 0.01)
    """
    values = check.numbers_list("cs", cs, above=0)
    check.number("total_weight", total_weight, above=0)
    check.integer("num_classes", num_classes, at_least=2)
    factor = 2 if num_classes == 2 and not row_per_class else 1
    return tuple(factor / (c * float(total_weight)) for c in values)


def l2_of_c_for(
    loss: Loss, cs: Sequence[float], *, total_weight: float, num_classes: int
) -> tuple[float, ...]:
    """Converts C to l2 as `l2_of_c` does, with the rows penalised for this loss.

    For two classes, `LinearSVC` penalises two rows with the one-vs-rest and the
    Crammer-Singer hinge; with the other losses, scikit-learn penalises one.

    Args:
      loss: loss of the fit.
      cs: values of C, as in `l2_of_c`, as are the others.
      total_weight: sum of the example weights.
      num_classes: number of classes.

    Returns:
      Strengths l2, in the order of ``cs``.

    Raises:
      ValueError: naming the argument, the rule and the value.

    Example:
      >>> from jaxlin import losses
      >>> hinge = losses.crammer_singer_hinge
      >>> l2_of_c_for(hinge, (0.5, 2.0), total_weight=100, num_classes=2)
      (0.02, 0.005)
    """
    return l2_of_c(
        cs,
        total_weight=total_weight,
        num_classes=num_classes,
        row_per_class=loss in (losses.one_vs_rest_hinge, losses.crammer_singer_hinge),
    )


def _total(values: PyTree) -> Array:
    return functools.reduce(jnp.add, jax.tree.leaves(values))
