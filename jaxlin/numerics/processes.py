"""Arrays of several processes: gathered, agreed on, padded and put on the mesh.

In one process without a mesh every function is the identity or trivial. What raises an
error in one process raises one in all of them, so that none waits for the others.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import ArrayLike

from jaxlin.numerics import device_mesh
from jaxlin.typing import Array

Found = TypeVar("Found")


def together(checked: Callable[[], Found]) -> Found:
    """Returns the result of a check, or raises in all processes if one of them does."""
    found, error = None, None
    try:
        found = checked()
    except ValueError as raised:
        error = raised
    failed = gathered(np.int32(error is not None))
    if error is not None:
        raise error
    if failed.any():
        raise ValueError(
            "rows must pass the checks of all processes, got an error in process "
            f"{int(np.argmax(failed))}; mend what it says there"
        )
    return found  # type: ignore[return-value]


def check_alike(**facts: int) -> None:
    """Raises a ValueError in all processes if a fact is not the same in all."""
    for name, value in facts.items():
        values = gathered(np.int32(value))
        if len(set(values.tolist())) > 1:
            raise ValueError(
                f"{name} must be the same in all processes, got {values.tolist()}"
            )


def check_rows_of_processes() -> None:
    """Raises a ValueError if the mesh does not give each process rows of its own."""
    if jax.process_count() == 1:
        return
    mesh = jax.sharding.get_mesh()
    owners = np.vectorize(lambda device: device.process_index)(mesh.devices)
    if device_mesh.ROWS in mesh.axis_names:
        place = mesh.axis_names.index(device_mesh.ROWS)
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


def num_padded(num_rows: int) -> int:
    """Rows of this process once padded, the same number in every process."""
    size = device_mesh.axis_size(device_mesh.ROWS)
    here = -(-size // jax.process_count())
    most = int(np.max(gathered(np.int32(num_rows))))
    return -(-most // here) * here


def padded(values: ArrayLike) -> np.ndarray:
    """Values of this process's examples, on the host, repeated to be as many as all."""
    array = np.asarray(values)
    wanted = num_padded(len(array))
    if wanted == len(array):
        return array
    return array[np.arange(wanted) % len(array)]


def any_process(value: bool) -> bool:
    """Returns True if the value is true in some process."""
    return bool(np.any(gathered(np.int32(value))))


def total(value: Any) -> np.ndarray:
    """The sum over processes, in float64."""
    return np.sum(of_each(value), axis=0)


def of_each(value: Any) -> np.ndarray:
    """One entry a process, in float64: its words are sent as bytes."""
    array = np.asarray(value, np.float64)
    words = np.frombuffer(array.tobytes(), np.uint8)
    parts = np.ascontiguousarray(gathered(words)).reshape(-1, words.size)
    numbers = [np.frombuffer(part.tobytes(), np.float64) for part in parts]
    return np.stack(numbers).reshape(-1, *array.shape)


def gathered(value: Any) -> np.ndarray:
    """One entry a process."""
    if jax.process_count() == 1:
        return np.asarray(value)[None]
    return np.asarray(multihost_utils.process_allgather(value))


def place(array: Any, axes: tuple[str | None, ...]) -> Array:
    """Puts this process's part of an array onto the mesh of the moment."""
    if jax.sharding.get_abstract_mesh().empty:
        raise ValueError(
            "a mesh must be set to place arrays on it, got none; call this under "
            "jax.set_mesh(jaxlin.sharding.mesh(rows=...))"
        )
    names = (name if device_mesh.axis_size(name or "") > 1 else None for name in axes)
    target = NamedSharding(jax.sharding.get_mesh(), PartitionSpec(*names))
    return jax.make_array_from_process_local_data(target, np.asarray(array))
