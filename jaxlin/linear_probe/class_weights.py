r"""Class weights: numbers per class that multiply the weights of its examples.

With class weights :math:`a_c` a fit estimates the probabilities of another population,
in which class c is :math:`a_c` times as frequent as among the training examples:
:math:`\tilde p(c \mid x) \propto a_c\, p(c \mid x)`. `without_prior_shift` undoes this
for a fit of the softmax cross-entropy: its scores less :math:`\log a_c` estimate the
probabilities of the training population.

Reference:
  M. Saerens, P. Latinne and C. Decaestecker. Adjusting the outputs of a classifier to
  new a priori probabilities. Neural Computation, 2002.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxlin import check, objective
from jaxlin.linear import Params
from jaxlin.solvers.fitted import Fit


def numbers(
    class_weights: str | Sequence[float],
    codes: np.ndarray,
    *,
    example_weights: np.ndarray,
    num_classes: int,
) -> np.ndarray:
    """Weight of each class, shape ``(classes,)``.

    Args:
      class_weights: "balanced", weights of
        `jaxlin.objective.balanced_class_weights`, and 1 for a class without examples;
        or one number above 0 per class, in the order of the scores.
      codes: class of each example, shape ``(examples,)``.
      example_weights: weights of the examples, shape ``(examples,)``.
      num_classes: number of classes.

    Raises:
      ValueError: if there is not one number above 0 per class.
    """
    if not isinstance(class_weights, str):
        check.concrete("class_weights", class_weights)
        if np.shape(class_weights) != (num_classes,):
            raise ValueError(
                f"class_weights must be one number per class, {num_classes} of them "
                f"in the order of the classes, got shape {np.shape(class_weights)}"
            )
        return np.array(
            [
                check.number(f"class_weights[{i}]", value, above=0)
                for i, value in enumerate(class_weights)
            ]
        )
    if class_weights != "balanced":
        raise ValueError(
            'class_weights must be None, "balanced" or one number per class, got '
            f"{class_weights!r}"
        )
    found = objective.balanced_class_weights(
        jnp.asarray(codes),
        num_classes=num_classes,
        example_weights=jnp.asarray(example_weights, jnp.float32),
    )
    return np.where(np.asarray(found) > 0, found, 1.0)


def without_prior_shift(fit: Fit, class_weights: np.ndarray) -> Fit:
    """Fit whose probabilities are those of the training population.

    The logarithms of the class weights are subtracted from the bias. The certificate
    stays that of the weighted objective. Since the same vector is subtracted from the
    bias of the exact optimum, the radius and certified labels hold for that classifier.

    Args:
      fit: fit of the softmax cross-entropy with these class weights.
      class_weights: weight of each class, shape ``(classes,)``.
    """
    weights, bias = (np.asarray(leaf) for leaf in fit.params)
    shifted = (bias - np.log(class_weights)).astype(bias.dtype)
    return fit._replace(params=Params(weights, shifted))  # type: ignore[arg-type]
