"""Rows or models on many devices, and in many processes.

Under a mesh with the axis ``rows`` every pass over the rows is made by all devices,
each over its own; with the axis ``models`` the models of a sweep are spread, each
device makes the pass for some. Fits, sweeps and cross-validation are called as ever::

    import jax
    from jaxlin import sharding
    with jax.set_mesh(sharding.mesh(rows=8)):
        problem = sharding.problem(features, labels, num_classes=10)
        fit = fitting.fit_prepared(certified.prepare(problem), ...)

The weightings of a sweep and the folds of a cross-validation are put there by
`weightings` and `folds`; a probe is called as without a mesh. Rows that do not divide
evenly are padded: some are there twice, the second time with weight 0. Objectives agree
with those of one device up to rounding.

In several processes, after ``jax.distributed.initialize``, each calls `problem` with
the rows that it has loaded and sees no others; all then make the same calls. Parameters
and certificates are the same in all of them; what has one entry an example (the
multipliers of a hinge) stays spread over them.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxlin import check, placement
from jaxlin import normalization as normalization_of
from jaxlin.normalization import (
    Normalization,
    check_normalization,
    check_rounding,
    without_junk,
)
from jaxlin.solvers.base import Problem
from jaxlin.typing import Array

Found = TypeVar("Found")


def mesh(
    *, rows: int = 1, models: int = 1, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh for ``jax.set_mesh`` over rows, over models, or over both.

    Args:
      rows: devices that share the rows.
      models: devices that share the models of a sweep.
      devices: as many as the product; None takes the first of ``jax.devices()``.

    Raises:
      ValueError: if there are not so many devices.
    """
    check.integer("rows", rows, at_least=1)
    check.integer("models", models, at_least=1)
    found = list(jax.devices() if devices is None else devices)
    wanted = rows * models
    if len(found) < wanted or (devices is not None and len(found) > wanted):
        rule = "at most" if devices is None else "the number of devices,"
        raise ValueError(
            f"rows times models must be {rule} {len(found)}, got {rows} x {models}"
        )
    absent = set(range(jax.process_count())) - {
        device.process_index for device in found[:wanted]
    }
    if absent:
        raise ValueError(
            "rows times models must give each process a device, got "
            f"{rows} x {models}, which leaves process {min(absent)} without; take all "
            f"{len(found)} devices"
        )
    return jax.make_mesh(
        (rows, models),
        (placement.ROWS, placement.MODELS),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=found[:wanted],
    )


def problem(
    features: ArrayLike,
    targets: ArrayLike,
    *,
    num_classes: int,
    example_weights: ArrayLike | None = None,
    normalization: Normalization | None = None,
) -> Problem:
    """`jaxlin.solvers.base.problem` on the mesh of the moment.

    Args:
      features: as of `jaxlin.solvers.base.problem`; of several processes the rows of
        this one.
      targets: likewise.
      num_classes: C.
      example_weights: likewise; rows that pad get 0.
      normalization: the same in all processes; `fit_standard` and `fit_centered` here
        fit one to the rows of all.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """

    def examples() -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        found = check.examples(
            features,
            targets,
            example_weights,
            num_classes=num_classes,
            # Whatever is true of all rows need not be of those of one process.
            is_part=jax.process_count() > 1,
        )
        if normalization is not None:
            width = found[0].shape[1]
            checked = check_normalization(normalization, num_features=width)
            check_rounding("features", found[0], checked, example_weights=found[2])
        return found

    rows, answers, weights = _together(examples)
    _check_rows_of_processes()
    _check_alike(width=rows.shape[1], dtype=rows.dtype.num, rank=answers.ndim)
    present = check.present_classes(answers, example_weights=weights)
    found = np.flatnonzero(_sum(np.isin(np.arange(num_classes), present)))
    if not found.size:
        raise ValueError(
            "example_weights of all processes must have a positive sum, got 0"
        )
    check.several_classes("targets of all processes", found)
    if normalization is not None:
        normalization = check_normalization(normalization, num_features=rows.shape[1])
    rows = without_junk(rows, weights, normalization)
    num_padded = _num_padded(len(rows))
    if weights is None and _any_process(num_padded > len(rows)):
        weights = np.ones(len(rows), np.float32)
    if weights is not None:
        weights = np.pad(weights, (0, num_padded - len(rows)))
    by_row = (placement.ROWS,)
    return Problem(
        _place(_padded(rows), by_row),
        _place(_padded(answers), by_row),
        None if weights is None else _place(weights, by_row),
        None
        if normalization is None
        else Normalization(*(_place(part, ()) for part in normalization)),
    )


def folds(fold_of: ArrayLike, *, num_examples: int) -> Array:
    """Folds for a cross-validation of a `problem` on the mesh of the moment.

    Args:
      fold_of: fold of each example of this process, 0, 1, ..., from
        `jaxlin.selection.folds`, shape ``(examples,)`` or ``(repeats, examples)``.
        Folds that each process draws for its own rows are folds of all; what cannot be
        drawn there fails in that process alone, so draw before any process waits.
      num_examples: of this process, as given to `problem`.

    Returns:
      Shape ``(..., padded examples of all processes)``. Rows that pad are in the folds
      of those that they repeat; their weights see to it that they count once.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """

    def checked() -> np.ndarray:
        array = np.asarray(fold_of)
        is_shaped = array.ndim in (1, 2) and array.shape[-1] == num_examples
        if array.dtype.kind not in "iu" or not is_shaped:
            raise ValueError(
                f"fold_of must be integers ({num_examples},) or (repeats, "
                f"{num_examples}), got {array.dtype} of shape {array.shape}"
            )
        if array.min(initial=0) < 0:
            raise ValueError(f"fold_of must be at least 0, got {array.min()}")
        return array

    array = _together(checked)
    _check_rows_of_processes()
    _check_alike(rank=array.ndim, repeats=int(np.prod(array.shape[:-1])))
    wider = np.moveaxis(_padded(np.moveaxis(array, -1, 0)), 0, -1).astype(np.int32)
    return _place(wider, (None,) * (array.ndim - 1) + (placement.ROWS,))


def weightings(values: ArrayLike, *, num_examples: int) -> Array:
    """Weightings of a sweep on the mesh of the moment.

    Args:
      values: shape ``(weightings, examples)``, of the examples of this process.
      num_examples: of this process, as given to `problem`.

    Returns:
      Shape ``(weightings, padded examples of all processes)``.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    array = np.asarray(values)

    def of_each() -> list[np.ndarray]:
        if array.ndim != 2:
            raise ValueError(
                f"values must have shape (weightings, {num_examples}), got "
                f"{array.shape}"
            )
        return [
            check.example_weights(
                f"values[{i}]", one, num_examples=num_examples, is_part=True
            )
            for i, one in enumerate(array)
        ]

    checked = _together(of_each)
    _check_rows_of_processes()
    _check_alike(weightings=len(array))
    sums = _sum(array.sum(axis=1))
    if not sums.all():
        raise ValueError(
            f"values[{int(np.argmin(sums))}] must have a positive sum over the "
            "examples of all processes, got 0"
        )
    for i, largest in enumerate(np.max(_of_each(array.max(axis=1)), axis=0)):
        check.weight_size(f"values[{i}]", largest)
    wider = np.stack([_padded(one) for one in checked]).astype(np.float32)
    return _place(wider, (None, placement.ROWS))


def fit_centered(
    features: ArrayLike, *, scale: float, example_weights: ArrayLike | None = None
) -> Normalization:
    """`jaxlin.normalization.fit_centered` of the rows of all processes."""
    rows, weights = _rows_and_weights(features, example_weights)
    check.number("scale", scale, above=0)
    mean, _, _ = _moments(rows, weights)
    return normalization_of.centered(mean, scale, dtype=rows.dtype)


def fit_standard(
    features: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Normalization:
    """`jaxlin.normalization.fit_standard` of the rows of all processes."""
    rows, weights = _rows_and_weights(features, example_weights)
    mean, count, spread = _moments(rows, weights)
    squares = normalization_of.sum_of_squares(
        rows, weights=weights, mean=mean, unit=spread
    )
    deviation = spread * np.sqrt(_sum(squares) / count)
    return normalization_of.standard(mean, deviation, dtype=rows.dtype)


def _rows_and_weights(
    features: ArrayLike, example_weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray | None]:
    rows, weights = _together(
        lambda: normalization_of.checked_rows(features, example_weights, is_part=True)
    )
    _check_alike(width=rows.shape[1], weighted=int(weights is not None))
    return rows, weights


def _moments(
    rows: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sum of weights, largest distance from a row: over all processes."""
    shift = np.min(_of_each(normalization_of.counted_row(rows, weights)), axis=0)
    sums, count, spread = normalization_of.sums_of_rows(
        rows, weights=weights, shift=shift
    )
    total = _sum(count)
    if not total > 0:
        raise ValueError(
            "example_weights must have a positive sum over the examples of all "
            f"processes, got {total}"
        )
    return shift + _sum(sums) / total, total, np.max(_of_each(spread), axis=0)


def _together(checked: Callable[[], Found]) -> Found:
    """What a check returns, or an error in all processes if one has it."""
    found, error = None, None
    try:
        found = checked()
    except ValueError as raised:
        error = raised
    failed = _gathered(np.int32(error is not None))
    if error is not None:
        raise error
    if failed.any():
        raise ValueError(
            "rows must pass the checks of all processes, got an error in process "
            f"{int(np.argmax(failed))}; mend what it says there"
        )
    return found  # type: ignore[return-value]


def _check_alike(**facts: int) -> None:
    """Raises a ValueError in all processes if a fact is not the same in all."""
    for name, value in facts.items():
        values = _gathered(np.int32(value))
        if len(set(values.tolist())) > 1:
            raise ValueError(
                f"{name} must be the same in all processes, got {values.tolist()}"
            )


def _check_rows_of_processes() -> None:
    """Raises a ValueError if the mesh does not give each process rows of its own."""
    if jax.process_count() == 1:
        return
    mesh = jax.sharding.get_mesh()
    owners = np.vectorize(lambda device: device.process_index)(mesh.devices)
    if placement.ROWS in mesh.axis_names:
        place = mesh.axis_names.index(placement.ROWS)
        by_row = np.moveaxis(owners, place, 0).reshape(owners.shape[place], -1)
    else:
        by_row = owners.reshape(1, -1)
    is_owned = (by_row == by_row[:, :1]).all()
    counts = np.bincount(by_row[:, 0], minlength=jax.process_count())
    if not is_owned or len(set(counts.tolist())) > 1:
        raise ValueError(
            "the mesh must split the rows evenly over all processes, each of which has "
            f"loaded its own, got {dict(mesh.shape)} over {jax.process_count()} "
            "processes; give rows= a multiple of their number"
        )


def _num_padded(num_rows: int) -> int:
    """Rows of this process once padded, the same number in every process."""
    size = placement.axis_size(placement.ROWS)
    here = -(-size // jax.process_count())
    most = int(np.max(_gathered(np.int32(num_rows))))
    return -(-most // here) * here


def _padded(values: ArrayLike) -> np.ndarray:
    """Values of this process's examples, on the host, repeated to be as many as all."""
    array = np.asarray(values)
    wanted = _num_padded(len(array))
    if wanted == len(array):
        return array
    return array[np.arange(wanted) % len(array)]


def _any_process(value: bool) -> bool:
    return bool(np.any(_gathered(np.int32(value))))


def _sum(value: Any) -> np.ndarray:
    """The sum over processes, in float64."""
    return np.sum(_of_each(value), axis=0)


def _of_each(value: Any) -> np.ndarray:
    """One entry a process, in float64: its words are sent as bytes."""
    array = np.asarray(value, np.float64)
    words = np.frombuffer(array.tobytes(), np.uint8)
    parts = np.ascontiguousarray(_gathered(words)).reshape(-1, words.size)
    numbers = [np.frombuffer(part.tobytes(), np.float64) for part in parts]
    return np.stack(numbers).reshape(-1, *array.shape)


def _gathered(value: Any) -> np.ndarray:
    """One entry a process."""
    if jax.process_count() == 1:
        return np.asarray(value)[None]
    return np.asarray(multihost_utils.process_allgather(value))


def _place(array: Any, axes: tuple[str | None, ...]) -> Array:
    """Puts this process's part of an array onto the mesh of the moment."""
    if jax.sharding.get_abstract_mesh().empty:
        raise ValueError(
            "a mesh must be set to place arrays on it, got none; call this under "
            "jax.set_mesh(jaxlin.sharding.mesh(rows=...))"
        )
    names = (name if placement.axis_size(name or "") > 1 else None for name in axes)
    target = NamedSharding(jax.sharding.get_mesh(), PartitionSpec(*names))
    return jax.make_array_from_process_local_data(target, np.asarray(array))
