"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses

from experiments.common.config import Count, Positives, Seed, Share


@dataclasses.dataclass(frozen=True)
class Config:
    """One comparison.

    Attributes:
      dataset: cifar10, digits (with defaults of its own: more epochs, weaker
        penalties), an image set that tfds has prepared, or FILE.npz.
      seed: of everything random: the split, first weights and batches of SGD.
      validation_fraction: share of the training set that choices are made on.
      path_l2: penalties to choose from, for both losses.
      relative_gap: gap that each fit of the path must prove, (objective - optimum) /
        objective.
      polished_gap: the same for the fit of the chosen penalty on all training examples,
        in float64 where float32 does not reach it. 1e-6 is enough to compare the
        objectives; the accuracy of the exact optimum may need 1e-9.
      max_passes: passes over the examples after which a fit gives up.
      epochs: passes of SGD over the training examples.
      batch_size: examples per step of SGD.
      hinge_learning_rates: learning rates of SGD for the multiclass SVM, in units of 1
        / mean squared norm of a normalised example with its constant feature. The unit
        is the scale of the inverse curvature: one grid serves images of any size.
      softmax_learning_rates: learning rates of SGD for softmax, in the same units.
    """

    dataset: str = "cifar10"
    seed: Seed = 0
    validation_fraction: Share = 0.1
    path_l2: Positives = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
    relative_gap: Share = 1e-4
    polished_gap: Share = 1e-6
    max_passes: Count = 1000
    epochs: Count = 20
    batch_size: Count = 128
    hinge_learning_rates: Positives = (0.3, 1.0, 3.0)
    softmax_learning_rates: Positives = (0.15, 0.5, 1.5)


# A thousand small images: an epoch is short and little penalty is needed.
DIGITS = Config(
    dataset="digits",
    validation_fraction=0.2,
    path_l2=(1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5),
    epochs=200,
    hinge_learning_rates=(0.15, 0.5, 1.5),
    softmax_learning_rates=(0.5, 1.5, 5.0),
)

SMOKE = Config(
    dataset="digits",
    path_l2=(1e-1, 1e-2),
    max_passes=300,
    epochs=4,
    hinge_learning_rates=(0.3, 1.0),
    softmax_learning_rates=(0.5, 1.5),
)


def check_gaps(config: Config) -> None:
    """Checks fields that need one another.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if config.polished_gap > config.relative_gap:
        raise ValueError(
            f"polished_gap must be at most relative_gap, {config.relative_gap}, got "
            f"{config.polished_gap}"
        )
