"""Losses per test example, the input of a decomposition, and their checks."""

from typing import Any, NamedTuple

import numpy as np


class Measured(NamedTuple):
    """Losses of one kind per test example; booleans for the zero-one error.

    Attributes:
      trained: losses of the trained model, shape ``(runs, examples)``; several runs
        differ in their seeds.
      optimum: losses of the optimum on the training sample, one row per run of
        ``trained``, shape ``(runs, examples)``.
      halves: losses of refits on both halves of random splits, shape ``(splits, 2,
        examples)``, at least two splits, and as many as runs if there are several runs.
      quarters: losses of refits on random quarters, shape ``(refits, examples)``.
    """

    trained: Any
    optimum: Any
    halves: Any
    quarters: Any


def as_arrays(measured: Measured) -> list[np.ndarray]:
    """Float64 arrays in the order of the fields, with their shapes checked.

    Raises:
      ValueError: if a field breaks a rule of `Measured`.
    """
    if not isinstance(measured, Measured):
        raise ValueError(
            "measured must be a Measured of trained, optimum, halves and quarters, got "
            f"{type(measured).__name__}; make one: decomposition.Measured(*parts)"
        )
    ranks = {"trained": 2, "optimum": 2, "halves": 3, "quarters": 2}
    found = {
        name: losses(name, getattr(measured, name), rank=rank)
        for name, rank in ranks.items()
    }
    same_examples(found)
    runs, splits = len(found["trained"]), len(found["halves"])
    if len(found["optimum"]) != runs:
        raise ValueError(
            f"optimum must have a row for each of {runs} runs of trained, got "
            f"{len(found['optimum'])}"
        )
    if found["halves"].shape[1] != 2 or splits < 2 or runs not in (1, splits):
        raise ValueError(
            "halves must have shape (splits, 2, examples) with at least 2 splits, and "
            f"as many as there are runs if there are several, got "
            f"{found['halves'].shape} for {runs} runs"
        )
    return list(found.values())


def are_booleans(*arrays: Any) -> bool:
    """Returns whether losses are zero-one errors, by dtype (a hinge may be 0 or 1)."""
    return all(np.asarray(array).dtype == bool for array in arrays)


def losses(name: str, value: Any, *, rank: int) -> np.ndarray:
    """Finite losses as float64, examples along the last axis."""
    array = np.asarray(value)
    if array.ndim != rank or 0 in array.shape:
        raise ValueError(
            f"{name} must have rank {rank}, examples last, and not be empty, got shape "
            f"{array.shape}"
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must be numbers, got {array.dtype}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(
            f"{name} must be finite, got {array[~np.isfinite(array)][0]}; a loss that "
            "is infinite has no mean"
        )
    return array


def same_examples(arrays: dict[str, np.ndarray]) -> None:
    """Raises ValueError unless all arrays have the same number of examples, above 1."""
    sizes = {name: array.shape[-1] for name, array in arrays.items()}
    if len(set(sizes.values())) > 1 or min(sizes.values()) < 2:
        raise ValueError(
            f"losses must be of the same test examples, at least two, got {sizes}"
        )
