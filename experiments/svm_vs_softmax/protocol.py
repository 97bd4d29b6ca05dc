"""The protocol of both comparisons: losses, split, normalisation, optimiser."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxlin
from experiments.common.losses import CERTIFIED
from jaxlin import Problem, check, data, normalization
from jaxlin.normalization import Normalization
from jaxlin.objective import row_norms
from jaxlin.selection import splits
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array, Loss, MakeOptimizer

HINGE, SOFTMAX = "weston_watkins_hinge", "softmax_cross_entropy"
# The compared losses, in the order of a page.
TITLES = {HINGE: "Multiclass SVM", SOFTMAX: "Softmax"}
LOSSES: dict[str, Loss] = {name: CERTIFIED[name] for name in TITLES}
MOMENTUM = 0.9

# What a run draws from: keys folded with these never meet.
SPLIT, SGD, BOOTSTRAP = range(3)


def key(config: Any, purpose: int) -> Array:
    """The key of one purpose."""
    return jax.random.fold_in(jax.random.key(config.seed), purpose)


def split(config: Any, labels: np.ndarray) -> splits.TrainHeldOutSplit:
    """The examples to train on, and those that choices are made on."""
    return splits.stratified_split(
        key(config, SPLIT), labels, fraction=config.validation_fraction
    )


def check_split(config: Any, dataset: data.Dataset) -> None:
    """Checks, before anything is compiled, that a run can be made of these examples.

    Prints a note for each class without a training example.

    Raises:
      ValueError: if the training labels are too few to tell apart, split or batch.
    """
    labels = dataset.train.labels
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
            f"{config.batch_size}; give --batch-size {left} or less"
        )
    for name in data.absent_classes(dataset):
        print(f"note: class {name!r} has no training example")


def problem(
    dataset: data.Dataset,
    examples: Any = slice(None),
    *,
    fitted: Normalization | None = None,
) -> Problem:
    """Training examples with classes by name.

    Args:
      dataset: the data set.
      examples: indices of the examples; all by default.
      fitted: normalisation; by default they are centred and scaled by themselves.
    """
    features, labels = (part[examples] for part in dataset.train)
    names = np.array(dataset.class_names)
    if fitted is None:
        fitted = normalization.fit_centered(features, scale=dataset.max_value)
    return jaxlin.problem(features, names[labels], normalization=fitted, classes=names)


def learning_rate_unit(problem: Problem) -> float:
    """1 / mean squared norm of a normalised example with its constant feature."""
    return float(1 / _mean_squared_norm(problem.examples))


@jax.jit
def _mean_squared_norm(examples: Examples) -> Array:
    norms = row_norms.norms(examples.features, normalization=examples.normalization)
    return jnp.mean(jnp.square(norms))


@functools.cache
def momentum_with_cosine_decay(num_updates: int) -> MakeOptimizer:
    """SGD with momentum whose learning rate falls to zero along a half cosine."""
    # Cached: equal functions share a compiled program.
    decay = optax.cosine_decay_schedule(1.0, num_updates)

    def make_optimizer(learning_rate):
        return optax.sgd(lambda count: learning_rate * decay(count), momentum=MOMENTUM)

    return make_optimizer
