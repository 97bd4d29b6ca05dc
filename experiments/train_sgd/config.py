"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses

from experiments.common.config import Count, Positives, Seed, Share


@dataclasses.dataclass(frozen=True)
class Config:
    """Two grids of minibatch training.

    Attributes:
      dataset: cifar10, digits (with defaults of its own: more epochs, weaker
        penalties), an image set that tfds has prepared, or FILE.npz.
      seed: of everything random: split, first weights, order of the minibatches.
      seeds: models of each setting.
      epochs: passes over the training examples, in the grid and in the refit.
      batch_size: examples per step.
      validation_fraction: share of the training set that choices are made on.
      hinge_l2: penalties of the multiclass SVM.
      hinge_learning_rates: its learning rates, in units of 1 / mean squared norm of a
        normalised example with its constant feature.
      softmax_l2: penalties of softmax.
      softmax_learning_rates: its learning rates, in the same units.
    """

    dataset: str = "cifar10"
    seed: Seed = 0
    seeds: Count = 3
    epochs: Count = 40
    batch_size: Count = 128
    validation_fraction: Share = 0.1
    hinge_l2: Positives = (1e-3, 3e-3, 1e-2, 3e-2)
    hinge_learning_rates: Positives = (0.3, 1.0, 3.0)
    softmax_l2: Positives = (3e-4, 1e-3, 3e-3, 1e-2)
    softmax_learning_rates: Positives = (0.15, 0.5, 1.5)


# A thousand small images: an epoch is short and little penalty is needed.
DIGITS = Config(
    dataset="digits",
    epochs=200,
    validation_fraction=0.2,
    hinge_l2=(1e-5, 1e-4, 1e-3, 1e-2),
    hinge_learning_rates=(0.15, 0.5, 1.5),
    softmax_l2=(1e-5, 1e-4, 1e-3, 1e-2),
    softmax_learning_rates=(0.5, 1.5, 5.0),
)

SMOKE = Config(
    dataset="digits",
    seeds=2,
    epochs=4,
    hinge_l2=(1e-3, 1e-2),
    hinge_learning_rates=(0.3, 1.0),
    softmax_l2=(1e-3, 1e-2),
    softmax_learning_rates=(0.5, 1.5),
)
