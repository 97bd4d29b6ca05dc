"""Sets of example weights, as folds and resamples use them: checks and placement."""

import jax
import numpy as np

from jaxlin import check
from jaxlin.numerics import device_mesh, processes
from jaxlin.objective import row_blocks
from jaxlin.objective.row_blocks import Block
from jaxlin.typing import Array


def placed_sets(
    name: str,
    sets: np.ndarray,
    *,
    rows: Block,
    classes: np.ndarray,
    num_sets: int | None,
    allow_one_class: bool,
    every_class: bool,
) -> Array | np.ndarray:
    """Checks sets of weights and spreads them over devices like the rows.

    Args:
      name: the argument's name in error messages.
      sets: shape ``(sets, examples)``.
      rows: rows of this process, whose own weights multiply each set.
      classes: labels in the order of the scores.
      num_sets: least number of sets; None allows any number.
      allow_one_class: whether a set may leave examples of one class alone.
      every_class: whether each set must leave examples of every class.

    Returns:
      Shape ``(sets, rows on the device)``, float32.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    checked = processes.check_everywhere(
        lambda: check_sets(
            name, sets, num_sets=num_sets, num_examples=len(rows.targets)
        )
    )
    processes.check_equal(**{name: len(sets)})
    check_classes(
        name,
        checked,
        rows=rows,
        classes=classes,
        allow_one_class=allow_one_class,
        every_class=every_class,
    )
    if jax.sharding.get_abstract_mesh().empty:
        return checked
    padded = np.stack([processes.pad(one) for one in checked])
    return processes.place(padded, (None, device_mesh.ROWS))


def check_sets(
    name: str, sets: np.ndarray, *, num_sets: int | None, num_examples: int
) -> np.ndarray:
    """Checks the sets of this process and converts them to float32.

    Args:
      name: the argument's name in error messages.
      sets: shape ``(sets, examples)``.
      num_sets: least number of sets; None allows any number.
      num_examples: examples of this process.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    shape = sets.shape
    if len(shape) != 2 or shape[0] < (num_sets or 1) or shape[1] != num_examples:
        # One set without an axis of sets is as long as many would be.
        wanted = num_sets if len(shape) == 2 and num_sets else "sets"
        raise ValueError(
            f"{name} must have shape ({wanted}, {num_examples}) for these models and "
            f"rows, got {shape}"
        )
    is_part = jax.process_count() > 1
    return np.stack(
        [
            check.example_weights(
                f"{name}[{i}]", one, num_examples=num_examples, is_part=is_part
            )
            for i, one in enumerate(sets)
        ]
    ).astype(np.float32)


def check_classes(
    name: str,
    sets: np.ndarray,
    *,
    rows: Block,
    classes: np.ndarray,
    allow_one_class: bool,
    every_class: bool = False,
) -> None:
    """Raises a ValueError, in all processes, for sets of no class or of one class.

    Args:
      name: the argument's name in error messages.
      sets: from `check_sets`.
      rows: rows of this process, whose own weights multiply each set.
      classes: labels in the order of the scores.
      allow_one_class: whether a set may leave examples of one class alone.
      every_class: whether each set must leave examples of every class.
    """
    _, targets, weights = rows
    own = 1 if weights is None else weights
    largest = np.max(processes.gather_float64(sets.max(axis=1)), axis=0)
    for i, one in enumerate(sets):
        if not largest[i] > 0:
            raise ValueError(
                f"{name}[{i}] must have a positive sum over the examples of all "
                "processes, got 0"
            )
        check.weight_size(f"{name}[{i}]", largest[i])
        if every_class:
            of_classes = row_blocks.class_weights(
                targets, one * own, num_classes=len(classes)
            )
            check_class_weights(
                f"{name}[{i}]", processes.total(of_classes), classes=classes
            )
        if allow_one_class:
            continue
        present = check.present_classes(targets, example_weights=one * own)
        found = processes.total(np.isin(np.arange(len(classes)), present))
        if np.count_nonzero(found) < 2:
            only = classes[found > 0]
            got = f"only class {only[0]!s}" if len(only) else "none"
            raise ValueError(
                f"{name}[{i}] must leave examples of at least two classes, got "
                f"{got}; a classifier has nothing to tell apart"
            )


def check_every_class(rows: Block, *, classes: np.ndarray) -> None:
    """Raises a ValueError if a class has no weight in the rows of all processes."""
    weights = rows.example_weights
    own = np.ones(len(rows.targets)) if weights is None else weights
    found = row_blocks.class_weights(rows.targets, own, num_classes=len(classes))
    check_class_weights("labels", processes.total(found), classes=classes)


def check_class_weights(name: str, found: np.ndarray, *, classes: np.ndarray) -> None:
    """Raises a ValueError if a class has the total weight 0.

    Args:
      name: the argument's name in error messages.
      found: total weights of the classes (`jaxlin.objective.row_blocks.class_weights`).
      classes: labels in the order of the scores.
    """
    absent = np.flatnonzero(~(np.asarray(found) > 0))
    if len(absent):
        others = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise ValueError(
            f"{name} must give every class a positive weight where the bias is free, "
            f"got 0 for class {classes[absent[0]]!s}{others}, whose optimal bias is "
            'minus infinity; leave the class out, or take bias="penalized"'
        )
