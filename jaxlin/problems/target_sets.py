"""Several labels per row: sets of targets, of which each model of a sweep takes one."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.numerics import device_mesh, processes
from jaxlin.problems.checked import Problem
from jaxlin.typing import Array


class TargetSets(NamedTuple):
    """Sets of labels of the rows of a problem, all with its number of classes.

    Attributes:
      codes: integers in [0, classes), shape ``(examples, sets)``.
      names: name of each set in error messages.
    """

    codes: np.ndarray
    names: tuple[str, ...]


def place(
    sets: TargetSets, problem: Problem, *, weight_sets: np.ndarray | None
) -> Array:
    """Checks sets of labels and spreads them over devices like the rows.

    Args:
      sets: the sets.
      problem: problem whose rows they label.
      weight_sets: sets of example weights, shape ``(sets, examples)``; None is all
        ones.

    Returns:
      Codes, shape ``(rows on the device, sets)``.

    Raises:
      ValueError: if the shape is not one column per name and one row per example, or a
        class has no example of positive weight in some set of labels and weights.
    """
    shape = (problem.num_examples, len(sets.names))
    if sets.codes.shape != shape:
        raise ValueError(
            f"target sets must have shape {shape}, one column per name, got "
            f"{sets.codes.shape}"
        )
    _check_classes(sets, problem, weight_sets)
    if jax.sharding.get_abstract_mesh().empty:
        return jnp.asarray(sets.codes)
    return processes.place(processes.pad(sets.codes), (device_mesh.ROWS,))


def _check_classes(
    sets: TargetSets, problem: Problem, weight_sets: np.ndarray | None
) -> None:
    """Raises a ValueError if a class of a set has no weight in a set of weights."""
    own = problem.whole_rows.example_weights
    weights = np.ones((1, problem.num_examples)) if weight_sets is None else weight_sets
    is_counted = (weights > 0) & (True if own is None else np.asarray(own) > 0)
    for i, counted in enumerate(is_counted):
        codes = sets.codes[counted]
        found = processes.total(
            [(codes == code).sum(axis=0) for code in range(problem.num_classes)]
        )
        if not found.all():
            code, number = np.argwhere(found == 0)[0]
            part = "" if weight_sets is None else f" of part {i}"
            raise ValueError(
                f"{sets.names[number]} must have an example of positive weight in each "
                f"class among the training examples{part}, got none in class "
                f"{problem.classes[code]!s}; leave the label out, or hold out fewer "
                "examples of the class"
            )
