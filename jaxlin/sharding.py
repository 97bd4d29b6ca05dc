"""Rows or models on many devices, and in many processes.

Under a mesh with the axis ``rows`` the rows are split over the devices, and each device
makes its part of every pass. With the axis ``models`` the models of a sweep are split,
and each device makes the pass for some of them. Calls of fits, sweeps and
cross-validation do not change::

    import jax, jaxlin
    from jaxlin import sharding
    with jax.set_mesh(sharding.mesh(rows=8)):
        problem = jaxlin.problem(features, labels)
        fit = jaxlin.fit(problem, ...)

Rows that do not divide evenly are padded: some rows are repeated with weight 0.
Objectives agree with those of one device up to rounding.

In several processes, after ``jax.distributed.initialize``, each calls `jaxlin.problem`
with the rows that it has loaded and sees no others; all then make the same calls.
Parameters and certificates are the same in all of them; arrays with one entry per
example (the duals of a hinge) stay split over them. A checkpoint is one file in a
folder that all processes share.
"""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.normalization import Normalization, moments
from jaxlin.numerics import device_mesh, processes


def mesh(
    *, rows: int = 1, models: int = 1, devices: Sequence[jax.Device] | None = None
) -> Mesh:
    """A mesh for ``jax.set_mesh`` over rows, over models, or over both.

    Args:
      rows: number of devices along the axis of rows, at least 1.
      models: number of devices along the axis of models, at least 1.
      devices: ``rows * models`` devices; None takes the first of ``jax.devices()``.

    Raises:
      ValueError: if there are too few devices, if more than ``rows * models`` are given
        or if a process gets no device.
    """
    check.integer("rows", rows, at_least=1)
    check.integer("models", models, at_least=1)
    available = list(jax.devices() if devices is None else devices)
    wanted = rows * models
    if len(available) < wanted or (devices is not None and len(available) > wanted):
        rule = "at most" if devices is None else "the number of devices,"
        raise ValueError(
            f"rows times models must be {rule} {len(available)}, got {rows} x {models}"
        )
    absent = set(range(jax.process_count())) - {
        device.process_index for device in available[:wanted]
    }
    if absent:
        raise ValueError(
            "rows times models must give each process a device, got "
            f"{rows} x {models}, which leaves process {min(absent)} without; take all "
            f"{len(available)} devices"
        )
    return jax.make_mesh(
        (rows, models),
        (device_mesh.ROWS, device_mesh.MODELS),
        axis_types=(AxisType.Auto, AxisType.Auto),
        devices=available[:wanted],
    )


def fit_centered(
    features: ArrayLike, *, scale: float, example_weights: ArrayLike | None = None
) -> Normalization:
    """`jaxlin.normalization.fit_centered` of the rows of all processes."""
    rows, weights = _rows_and_weights(features, example_weights)
    check.number("scale", scale, above=0)
    mean, _, _ = _moments(rows, weights)
    return moments.from_mean(mean, scale, dtype=rows.dtype)


def fit_standard(
    features: ArrayLike, *, example_weights: ArrayLike | None = None
) -> Normalization:
    """`jaxlin.normalization.fit_standard` of the rows of all processes."""
    rows, weights = _rows_and_weights(features, example_weights)
    mean, count, spread = _moments(rows, weights)
    squares = moments.sum_of_squares(rows, weights=weights, mean=mean, unit=spread)
    deviation = spread * np.sqrt(processes.total(squares) / count)
    return moments.from_moments(mean, deviation, dtype=rows.dtype)


def _rows_and_weights(
    features: ArrayLike, example_weights: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray | None]:
    rows, weights = processes.check_everywhere(
        lambda: moments.check_rows(features, example_weights, is_part=True)
    )
    processes.check_equal(width=rows.shape[1], weighted=int(weights is not None))
    return rows, weights


def _moments(
    rows: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, sum of weights and largest distance from one row, over all processes."""
    shift = np.min(
        processes.gather_float64(moments.first_weighted_row(rows, weights)),
        axis=0,
    )
    sums, count, spread = moments.sums_of_rows(rows, weights=weights, shift=shift)
    total = processes.total(count)
    if not total > 0:
        raise ValueError(
            "example_weights must have a positive sum over the examples of all "
            f"processes, got {total}"
        )
    return (
        shift + processes.total(sums) / total,
        total,
        np.max(processes.gather_float64(spread), axis=0),
    )
