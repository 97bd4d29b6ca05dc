"""Arrays of several processes: gathering, checks, padding, placement on the mesh.

In a single process without a mesh every function but `place` is trivial. An error in
one process raises an error in all of them, so that no process waits for another.
"""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxlin.numerics import device_mesh
from jaxlin.typing import Array

Checked = TypeVar("Checked")


def check_everywhere(check: Callable[[], Checked]) -> Checked:
    """Returns the result of a check; raises in all processes if it fails in one.

    Args:
      check: function without arguments that returns the checked value or raises a
        ValueError.
    """
    checked, error = None, None
    try:
        checked = check()
    except ValueError as raised:
        error = raised
    failed = gather(np.int32(error is not None))
    if error is not None:
        raise error
    if failed.any():
        raise ValueError(
            "rows must pass the checks of all processes, got an error in process "
            f"{int(np.argmax(failed))}; its message names the rule"
        )
    return checked  # type: ignore[return-value]


def check_equal(**integers: int) -> None:
    """Raises a ValueError in all processes if an integer differs between them."""
    for name, value in integers.items():
        values = gather(np.int32(value))
        if len(set(values.tolist())) > 1:
            raise ValueError(
                f"{name} must be the same in all processes, got {values.tolist()}"
            )


def check_rows_of_processes() -> None:
    """Raises a ValueError unless the mesh splits the rows evenly over processes."""
    if jax.process_count() == 1:
        return
    mesh = jax.sharding.get_mesh()
    owners = np.vectorize(lambda device: device.process_index)(mesh.devices)
    if device_mesh.ROWS in mesh.axis_names:
        axis = mesh.axis_names.index(device_mesh.ROWS)
        by_row = np.moveaxis(owners, axis, 0).reshape(owners.shape[axis], -1)
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


def padded_length(num_rows: int) -> int:
    """Returns the rows per process after padding, the same number in all processes."""
    num_devices = device_mesh.axis_size(device_mesh.ROWS)
    per_process = -(-num_devices // jax.process_count())
    largest = int(np.max(gather(np.int32(num_rows))))
    return -(-largest // per_process) * per_process


def pad(values: ArrayLike) -> np.ndarray:
    """Pads the values of this process on the host, by repeating them from the first."""
    array = np.asarray(values)
    length = padded_length(len(array))
    if length == len(array):
        return array
    return array[np.arange(length) % len(array)]


def any_process(value: bool) -> bool:
    """Returns True if the value is true in at least one process."""
    return bool(np.any(gather(np.int32(value))))


def total(value: Any) -> np.ndarray:
    """Sums a value over all processes, in float64."""
    return np.sum(gather_float64(value), axis=0)


def gather_float64(value: Any) -> np.ndarray:
    """Gathers a value in float64, one entry per process, shape ``(processes, ...)``."""
    # Sent as bytes: JAX would convert float64 to float32.
    array = np.asarray(value, np.float64)
    sent = np.frombuffer(array.tobytes(), np.uint8)
    parts = np.ascontiguousarray(gather(sent)).reshape(-1, sent.size)
    numbers = [np.frombuffer(part.tobytes(), np.float64) for part in parts]
    return np.stack(numbers).reshape(-1, *array.shape)


def gather(value: Any) -> np.ndarray:
    """Gathers a value, one entry per process, shape ``(processes, ...)``."""
    if jax.process_count() == 1:
        return np.asarray(value)[None]
    return np.asarray(multihost_utils.process_allgather(value))


def gather_rows(array: ArrayLike) -> np.ndarray:
    """Joins the rows of all processes, in the order of the processes.

    Args:
      array: numbers or booleans; lengths of the first axis may differ between
        processes.
    """
    values = np.asarray(array)
    if jax.process_count() == 1:
        return values
    lengths = gather(np.int32(len(values)))
    # As bytes: JAX would convert float64 to float32.
    sent = np.zeros((lengths.max(), *values.shape[1:]), values.dtype)
    sent[: len(values)] = values
    parts = gather(np.frombuffer(sent.tobytes(), np.uint8))
    joined = np.frombuffer(parts.tobytes(), values.dtype).reshape(-1, *sent.shape)
    return np.concatenate(
        [part[:length] for part, length in zip(joined, lengths, strict=True)]
    )


def own_rows(num_rows: int) -> slice:
    """Returns the slice of this process's rows among those of `gather_rows`."""
    lengths = gather(np.int32(num_rows))
    start = int(lengths[: jax.process_index()].sum())
    return slice(start, start + num_rows)


def alone() -> contextlib.AbstractContextManager:
    """Context for computations on rows of this process that others do not make."""
    if jax.process_count() == 1:
        return contextlib.nullcontext()
    axes = (device_mesh.ROWS, device_mesh.MODELS)
    device = np.array(jax.local_devices()[:1]).reshape(1, 1)
    return jax.set_mesh(Mesh(device, axes, axis_types=(AxisType.Auto,) * 2))


def place(array: Any, axes: tuple[str | None, ...]) -> Array:
    """Places this process's part of an array on the current mesh.

    Args:
      array: values of this process.
      axes: name of the mesh axis for each axis of the array, or None.

    Raises:
      ValueError: if no mesh is set.
    """
    if jax.sharding.get_abstract_mesh().empty:
        raise ValueError(
            "a mesh must be set to place arrays on it, got none; call this under "
            "jax.set_mesh(jaxlin.sharding.mesh(rows=...))"
        )
    names = (name if device_mesh.axis_size(name or "") > 1 else None for name in axes)
    target = NamedSharding(jax.sharding.get_mesh(), PartitionSpec(*names))
    return jax.make_array_from_process_local_data(target, np.asarray(array))


def place_whole(array: Any, axes: tuple[str | None, ...]) -> Array:
    """Places an array, of which each process has all values, on the current mesh.

    Args:
      array: the same values in all processes.
      axes: name of the mesh axis for each leading axis of the array, or None; an axis
        whose size the mesh axis does not divide is not split.
    """
    values = np.asarray(array)
    names = device_mesh.divided_axes(values.shape, axes)
    target = NamedSharding(jax.sharding.get_mesh(), PartitionSpec(*names))
    return jax.make_array_from_callback(values.shape, target, values.__getitem__)


def gather_whole(tree: Any) -> Any:
    """Gathers arrays that are split over processes; returns NumPy arrays.

    Python numbers, and the values of a single process, are returned unchanged.
    """

    def whole(leaf: Any) -> Any:
        if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
            return leaf
        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))

    return jax.tree.map(whole, tree)


def own_values(array: Any) -> np.ndarray:
    """Returns the part of an array that this process has, in the order of its rows."""
    is_global = isinstance(array, jax.Array) and not array.is_fully_addressable
    if not is_global or array.is_fully_replicated:
        return np.asarray(array)
    # Devices that share rows hold the same values.
    parts = {shard.index[0].start or 0: shard for shard in array.addressable_shards}
    return np.concatenate([np.asarray(parts[start].data) for start in sorted(parts)])
