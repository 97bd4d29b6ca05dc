r"""Objective: the mean loss over examples plus a penalty.

.. math:: P(W, b) = \frac{\sum_i a_i\, \ell(W x_i + b, y_i)}{\sum_i a_i}
          + \frac{\lambda_2}{2} \|W, b\|^2 + \lambda_1 \|W, b\|_1

The loss is a mean, not a sum, so that an l2 keeps its meaning when examples are added.
`jaxlin.objective.penalties.l2_of_c` converts scikit-learn's C; the lecture's
:math:`\lambda` is half of ours. The bias is penalised, as with the bias trick, unless
``penalize_bias=False``.

The example weights :math:`a_i` are applied to the loss here and in the passes of
`jaxlin.solvers`. The weight 0 excludes an example; folds and padding are made that way.
`balanced_class_weights` gives all classes the same total weight.

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import linear, losses, objective
  >>> params = linear.Params(jnp.zeros((10, 4)), jnp.zeros(10))
  >>> compiled = jax.jit(objective.objective, static_argnames="loss")
  >>> value = compiled(
  ...     params, jnp.ones((6, 4)), jnp.arange(6),
  ...     loss=losses.softmax_cross_entropy, l2=0.1)
  >>> print(f"{value:.4f}")  # log 10
  2.3026

Full-batch methods use `value_and_gradient`, which reads each row once, in blocks, and
never holds a float copy of more than one block. For rows that do not fit into memory,
`accumulate` sums over blocks from the host, and `from_sums` computes value and gradient
from the sums.

  penalties    l2, l1 and elastic-net penalties
  part_sums    compensated sums over a block, in short parts
  block_sizes  number of rows per block of a pass
  score_hessian  Hessian of the mean loss in the scores, by its factors
  row_products  normalised rows and their products with weights
  row_sums     sums over rows in one blocked pass
  row_norms    norms of rows
  row_blocks   rows in blocks from the host
  batches      scores and losses of a batch, weighted means
  regularized  the objective, its gradient, sums over blocks
"""

from jaxlin import chapters
from jaxlin.objective.batches import (
    BLOCK_ROWS,
    balanced_class_weights,
    batch_scores,
    blocked_scores,
    blocked_sums,
    example_losses,
    weighted_mean,
)
from jaxlin.objective.regularized import (
    accumulate,
    from_sums,
    mean_loss,
    objective,
    penalty,
    value_and_gradient,
)

__getattr__ = chapters.loader(__name__)
__all__ = [
    "BLOCK_ROWS",
    "accumulate",
    "balanced_class_weights",
    "batch_scores",
    "blocked_scores",
    "blocked_sums",
    "example_losses",
    "from_sums",
    "mean_loss",
    "objective",
    "penalty",
    "value_and_gradient",
    "weighted_mean",
]
