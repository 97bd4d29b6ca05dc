"""Helpers for the current backend and mesh.

`jaxlin.sharding` makes meshes and places arrays on them; this module reports over how
many devices the mesh of ``jax.set_mesh`` spreads rows and models. Without a mesh
everything runs on one device.
"""

import os
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import PartitionSpec

from jaxlin.typing import Array

# Names of the mesh axes: examples, and models of a sweep.
ROWS = "rows"
MODELS = "models"


def on_accelerator() -> bool:
    """Returns whether the default backend is a GPU or TPU.

    Accelerators are fastest with few large operations.
    """
    return jax.default_backend() != "cpu"


def has_float64() -> bool:
    """Returns whether the default backend computes in float64; TPUs do not."""
    return jax.default_backend() != "tpu"


def num_shards(num_rows: int) -> int:
    """Returns the number of devices over which the current mesh spreads the rows.

    It is 1 if the rows do not divide evenly: such arrays were not placed by
    `jaxlin.sharding`, which pads.

    Args:
      num_rows: number of rows over all devices.
    """
    size = axis_size(ROWS)
    return size if num_rows % size == 0 else 1


def axis_size(name: str) -> int:
    """Returns the number of devices along a mesh axis; 1 if there is no such axis.

    A manual axis (inside `jax.shard_map`, where a program runs per device) counts as
    absent.
    """
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or name not in mesh.axis_names or name in mesh.manual_axes:
        return 1
    return mesh.shape[name]


def shard(array: Array, *axes: str | None) -> Array:
    """Constrains an array to be split along mesh axes, as far as the mesh has them.

    An axis whose size the mesh axis does not divide is not split.

    Args:
      array: the array to split, inside or outside a compiled program.
      *axes: name of the mesh axis for each leading axis of the array, or None.
    """
    names = divided_axes(array.shape, axes)
    if not any(names):
        return array
    return jax.lax.with_sharding_constraint(array, PartitionSpec(*names))


def divided_axes(shape: Sequence[int], axes: Sequence[str | None]) -> list[str | None]:
    """Returns the mesh axes, None for each that the mesh lacks or does not divide."""
    return [
        name
        if name is not None and axis_size(name) > 1 and size % axis_size(name) == 0
        else None
        for name, size in zip(axes, shape, strict=False)
    ]


def replicate(array: Array) -> Array:
    """Constrains an array to be replicated on all devices; for compiled programs."""
    if jax.sharding.get_abstract_mesh().empty:
        return array
    return jax.lax.with_sharding_constraint(array, PartitionSpec())


def bytes_of(tree: Any) -> int:
    """Returns the bytes of all arrays, or `jax.eval_shape` shapes, of a tree."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def memory_bytes() -> int:
    """Returns the memory of a device if it reports a limit, else that of the host."""
    limit = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return limit or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def check_memory(what: str, *, remedy: str, **needed: int) -> None:
    """Raises a ValueError if arrays cannot fit into memory.

    Args:
      what: the computation that needs the arrays, as the subject of the message.
      remedy: the end of the message.
      **needed: bytes needed, by kind of array; a lower bound.
    """
    total, memory = sum(needed.values()), memory_bytes()
    if total > memory:
        parts = ", ".join(
            f"{name} {size / 1e9:.3g} GB" for name, size in needed.items() if size
        )
        raise ValueError(
            f"{what} must fit into the memory of {memory / 1e9:.3g} GB, got at least "
            f"{total / 1e9:.3g} GB ({parts}); {remedy}"
        )


def remedy(function: str) -> str:
    """Returns the end of a message about arrays that are not as long as padded rows."""
    if axis_size(ROWS) == 1:
        return ""
    return f"; on a mesh, where rows are padded, give the result of {function}"


def on_host(tree: Any) -> Any:
    """Copies a tree of arrays to the host, as NumPy arrays.

    All copies start before the first is awaited, so that copies from a GPU overlap. An
    array of which other processes hold a part is returned unchanged.
    """
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, jax.Array) and leaf.is_fully_addressable:
            leaf.copy_to_host_async()
    return jax.tree.map(_on_host, tree)


def _on_host(array: Any) -> Any:
    if isinstance(array, jax.Array) and not array.is_fully_addressable:
        return np.asarray(array) if array.is_fully_replicated else array
    return np.asarray(array)
