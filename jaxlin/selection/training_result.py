"""Models of a sweep of minibatch training, as arrays."""

from typing import NamedTuple

import numpy as np

from jaxlin.check.diagnosis import counted
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.solvers.interface import Settings


class TrainingResult(NamedTuple):
    """Trained models, on four axes: normalisations, weight sets, seeds, settings.

    Attributes:
      params: weights and bias, with the four axes before their own.
      loss: mean loss over the examples of each epoch, without penalty, shape
        ``(epochs, normalizations, weight_sets, seeds, settings)``; not finite where
        training diverged.
      settings: learning rate, l2 and loss arguments, each of shape ``(settings,)``, and
        the treatment of the bias of all models.
      normalizations: normalisations of the features, stacked on a leading axis; None
        without normalisation.
      classes: class labels in the order of the scores, shape ``(classes,)``.
    """

    params: Params
    loss: np.ndarray
    settings: Settings
    normalizations: Normalization | None
    classes: np.ndarray

    def __str__(self) -> str:
        names = ("normalisation", "weight set", "seed", "setting")
        axes = " x ".join(map(counted, self.shape, names))
        diverged = int(self.diverged.sum())
        return (
            f"{counted(self.diverged.size, 'model')} ({axes}), "
            f"{counted(len(self.loss), 'epoch')}, last mean loss "
            f"{self.loss[-1].min():.4g} to {self.loss[-1].max():.4g}"
            + (f", {diverged} diverged" if diverged else "")
        )

    def __repr__(self) -> str:
        return f"TrainingResult({self})"

    @property
    def shape(self) -> tuple[int, ...]:
        """Numbers of normalisations, weight sets, seeds and settings."""
        return self.loss.shape[1:]

    @property
    def diverged(self) -> np.ndarray:
        """Mask of the models whose last loss or weights are not finite, four axes."""
        has_finite_weights = np.isfinite(self.params.weights).all(axis=(-1, -2))
        return ~(np.isfinite(self.loss[-1]) & has_finite_weights)
