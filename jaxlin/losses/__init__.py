r"""Losses of one example, as functions of its scores and its target.

Hinges take an integer label and a traced keyword ``margin``:

  weston_watkins_hinge           sum over wrong classes (the lecture's multiclass SVM)
  weston_watkins_squared_hinge   the same, each violation squared
  crammer_singer_hinge           largest violation over the wrong classes
  one_vs_rest_hinge              one binary hinge per class

Likelihood losses in nats (natural logarithm):

  softmax_cross_entropy          integer label: the softmax classifier
  cross_entropy, kl_divergence   target distribution over classes
  entropy                        of a distribution

Batches and gradients come from JAX:

  >>> import jax, jax.numpy as jnp
  >>> from jaxlin import losses
  >>> scores = jnp.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
  >>> of_batch = jax.jit(jax.vmap(losses.weston_watkins_hinge))
  >>> hinges = of_batch(scores, jnp.arange(3))
  >>> print([f"{hinge:.1f}" for hinge in hinges])
  ['2.9', '0.0', '12.9']

The value has the dtype of the scores and is finite for scores of +-1e9. In float16 it
is finite while differences of scores, and the loss itself, are below 65504: a squared
violation exceeds that from 256 on, and a sum over many classes overflows before its
largest term does; the value is then inf. At a kink the derivative of the inactive side,
0, is used. NaN scores give a NaN loss. The score -inf masks a class out.

A label outside [0, C) gives NaN, not an error: a compiled program cannot raise one.
`jaxlin.check` rejects such labels where data enter.

  label_losses  the losses above
  transforms    other reductions over classes, made from a loss
  dual_domains  domains of dual variables: projections and Fenchel-Young terms
  conjugates    convex conjugates, the basis of certificates
"""

from jaxlin import chapters
from jaxlin.losses.label_losses import (
    crammer_singer_hinge,
    cross_entropy,
    entropy,
    is_label,
    kl_divergence,
    margin_violations,
    one_vs_rest_hinge,
    one_vs_rest_violations,
    score_of_label,
    softmax_cross_entropy,
    weston_watkins_hinge,
    weston_watkins_squared_hinge,
)

__getattr__ = chapters.loader(__name__)
__all__ = [
    "crammer_singer_hinge",
    "cross_entropy",
    "entropy",
    "is_label",
    "kl_divergence",
    "margin_violations",
    "one_vs_rest_hinge",
    "one_vs_rest_violations",
    "score_of_label",
    "softmax_cross_entropy",
    "weston_watkins_hinge",
    "weston_watkins_squared_hinge",
]
