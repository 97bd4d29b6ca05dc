"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Literal

import numpy as np

from experiments.common.config import Bounds, Count, Positive, Positives, Seed, Share
from experiments.common.config import check as check_config
from jaxlin import check
from jaxlin.selection import splits

MOMENTUM = 0.9


@dataclasses.dataclass(frozen=True)
class Config:
    """One comparison.

    Learning rates are in units of 1 / (mean squared norm of a normalised training
    example, with its constant feature), the scale of the inverse curvature, so that one
    grid serves images of any size.

    Attributes:
      dataset: cifar10, digits (with defaults of its own: more epochs, weaker
        penalties), an image set that tfds has prepared, or FILE.npz.
      solver: certified fits a path over the penalty to a proven gap, and shows how far
        SGD stays from that optimum; minibatch trains by SGD over grids of penalty and
        learning rate, for several seeds.
      seed: of everything random (split, first weights, order of the minibatches).
      seeds: how many models of each setting minibatch trains; certified has no use
        for more than one.
      epochs: passes over the training examples by SGD, in the grid and in the refit.
      batch_size: examples a minibatch.
      validation_fraction: share of the training set that choices are made on.
      evaluate_every: epochs between validations, which are also saving points;
        certified measures SGD after every epoch.
      hinge_l2: penalties that minibatch tries for the multiclass SVM.
      hinge_learning_rates: learning rates tried for the multiclass SVM, in units of
        1 / mean squared norm of a normalised example.
      softmax_l2: penalties that minibatch tries for softmax.
      softmax_learning_rates: learning rates tried for softmax, in the same units.
      path_l2: penalties that certified tries, for both losses.
      relative_gap: what a fit of certified's path must prove of (objective - optimum)
        / objective.
      polished_gap: what the fit of the chosen penalty on all training examples goes on
        to, in float64 where float32 does not reach.
      max_evaluations: passes over the examples after which a fit of certified gives up.
    """

    dataset: str = "cifar10"
    solver: Literal["certified", "minibatch"] = "certified"
    seed: Seed = 0
    seeds: Count = 3
    epochs: Count = 40
    batch_size: Count = 128
    validation_fraction: Share = 0.1
    evaluate_every: Count = 4
    hinge_l2: Annotated[tuple[float, ...], Bounds(at_least=0)] = (
        1e-3,
        3e-3,
        1e-2,
        3e-2,
    )
    hinge_learning_rates: Positives = (0.3, 1.0, 3.0)
    softmax_l2: Annotated[tuple[float, ...], Bounds(at_least=0)] = (
        3e-4,
        1e-3,
        3e-3,
        1e-2,
    )
    softmax_learning_rates: Positives = (0.15, 0.5, 1.5)
    path_l2: Positives = (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
    relative_gap: Share = 1e-4
    polished_gap: Positive = 1e-9
    max_evaluations: Count = 1000


# A thousand small images: an epoch is short and little penalty is needed.
DIGITS = Config(
    dataset="digits",
    epochs=200,
    validation_fraction=0.2,
    evaluate_every=20,
    hinge_l2=(1e-5, 1e-4, 1e-3, 1e-2),
    hinge_learning_rates=(0.15, 0.5, 1.5),
    softmax_l2=(1e-5, 1e-4, 1e-3, 1e-2),
    softmax_learning_rates=(0.5, 1.5, 5.0),
    path_l2=(1e-2, 3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5),
)

SMOKE = Config(
    dataset="digits",
    seeds=2,
    epochs=4,
    evaluate_every=2,
    hinge_l2=(1e-3, 1e-2),
    hinge_learning_rates=(0.3, 1.0),
    softmax_l2=(1e-3, 1e-2),
    softmax_learning_rates=(0.5, 1.5),
    path_l2=(1e-1, 1e-2),
    polished_gap=1e-6,
    max_evaluations=300,
)


# What one solver alone reads.
_READ_BY = {
    "certified": ("path_l2", "relative_gap", "polished_gap", "max_evaluations"),
    "minibatch": ("seeds", "evaluate_every", "hinge_l2", "softmax_l2"),
}


def ignored(config: Config) -> tuple[str, ...]:
    """Fields that were given another value than any default and that nobody reads."""
    other = "minibatch" if config.solver == "certified" else "certified"
    return tuple(
        name
        for name in _READ_BY[other]
        if all(
            getattr(config, name) != getattr(default, name)
            for default in (Config(), DIGITS, SMOKE)
        )
    )


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check_config(config)
    if config.polished_gap > config.relative_gap:
        raise ValueError(
            f"polished_gap must be at most relative_gap, {config.relative_gap}, got "
            f"{config.polished_gap}"
        )
    return config


def check_fits(labels: np.ndarray, config: Config) -> None:
    """Checks, before anything is compiled, that a run can be made of these examples.

    Raises:
      ValueError: if the training labels are too few to tell apart, split or batch.
    """
    check.several_classes("training labels", labels)
    classes, sizes, held_out = splits.stratified_sizes(
        labels, fraction=config.validation_fraction
    )
    if (held_out == sizes).any():
        lost = classes[np.argmax(held_out == sizes)]
        raise ValueError(
            "validation_fraction must leave an example of every class to train on, got "
            f"{config.validation_fraction}, which holds out all of class {lost}"
        )
    left = len(labels) - int(held_out.sum())
    if config.batch_size > left:
        raise ValueError(
            f"batch_size must be at most {left}, the examples left to train on, got "
            f"{config.batch_size} (both solvers run SGD, certified for comparison); "
            f"give --batch-size {left} or less"
        )
