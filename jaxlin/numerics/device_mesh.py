"""Where things are: a CPU or an accelerator; the axes of the mesh of the moment.

`jaxlin.sharding` makes meshes and puts arrays on them; under ``jax.set_mesh`` the
passes over rows see from here on how many devices they are spread. Without a mesh all
is on one device.
"""

import os
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec

from jaxlin.typing import Array

# Examples, and models of a sweep.
ROWS = "rows"
MODELS = "models"


def on_accelerator() -> bool:
    """Whether the default backend is a GPU or TPU, where few large operations pay."""
    return jax.default_backend() != "cpu"


def num_shards(num_rows: int) -> int:
    """Devices that so many rows are spread over by the mesh of the moment.

    1 if the rows do not divide evenly: such arrays were not placed by
    `jaxlin.sharding`, which pads.
    """
    size = axis_size(ROWS)
    return size if num_rows % size == 0 else 1


def axis_size(name: str) -> int:
    """Devices along an axis of the mesh of the moment; 1 if it has no such axis.

    An axis that a program is already inside of, one device of it, counts as absent.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or name not in mesh.axis_names or name in mesh.manual_axes:
        return 1
    return mesh.shape[name]


def spread(array: Array, *axes: str | None) -> Array:
    """Asks for an array to be split along named axes, as far as the mesh has them.

    Args:
      array: inside a program or outside.
      axes: for each of its first axes the name of the axis of the mesh, or None.
    """
    names = [
        name
        if name is not None and axis_size(name) > 1 and size % axis_size(name) == 0
        else None
        for name, size in zip(axes, array.shape, strict=False)
    ]
    if not any(names):
        return array
    return jax.lax.with_sharding_constraint(array, PartitionSpec(*names))


def is_spread(array: Any) -> bool:
    """Whether an array lies on several devices, maybe of other processes."""
    return isinstance(array, jax.Array) and len(array.sharding.device_set) > 1


def whole(array: Array) -> Array:
    """Asks for an array that all devices have the whole of; inside a program."""
    if jax.sharding.get_abstract_mesh().empty:
        return array
    return jax.lax.with_sharding_constraint(array, PartitionSpec())


def bytes_of(tree: Any) -> int:
    """Bytes of all arrays of a tree, or of the shapes of `jax.eval_shape`."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def memory_bytes() -> int:
    """Memory of a device where it tells a limit (accelerators), else of the host."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return limit or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(what: str, *, remedy: str, **needed: int) -> None:
    """Raises a ValueError if arrays surely do not fit into memory.

    Args:
      what: needs them.
      remedy: the end of the message.
      **needed: bytes of each kind of array.
    """
    total, there = sum(needed.values()), memory_bytes()
    if total > there:
        parts = ", ".join(
            f"{name} {size / 1e9:.3g} GB" for name, size in needed.items()
        )
        raise ValueError(
            f"{what} must fit into the memory of {there / 1e9:.3g} GB, got at least "
            f"{total / 1e9:.3g} GB ({parts}); {remedy}"
        )


def remedy(function: str) -> str:
    """The end of a message about arrays whose length is not that of padded rows."""
    if axis_size(ROWS) == 1:
        return ""
    return f"; on a mesh, where rows are padded, give what {function} makes of yours"


def on_host(tree: Any) -> Any:
    """NumPy arrays, or an array itself if other processes hold a part of it.

    All are asked for before the first is waited for: from a GPU they come together.
    """
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
            leaf.copy_to_host_async()
    return jax.tree.map(_on_host, tree)


def _on_host(array: Any) -> Any:
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        is_whole_here = array.is_fully_replicated
        return np.asarray(array) if is_whole_here else array
    return np.asarray(array)
