"""Rows where they are given: on the host, on the device, or sparse.

Rows on the device stay there: neither their check nor a fit copies them to the host.
Rows of scipy.sparse stay sparse on the host, and become dense block by block.

  >>> import jax.numpy as jnp
  >>> from jaxlin.numerics import row_arrays
  >>> given = jnp.ones((3, 2))
  >>> row_arrays.rows("features", given) is given
  True
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin import check
from jaxlin.check import foreign

# Rows as they are given: `np.ndarray`, `jax.Array`, or a csr_array of scipy.sparse.
Rows = Any


def rows(
    name: str, value: Any, *, num_features: int | None = None, native: bool = True
) -> Rows:
    """Checks features like `jaxlin.check.features`, and leaves them where they are.

    Args:
      name: name of the rows in error messages.
      value: array-like, table, tensor, or rows of scipy.sparse, of which all formats
        become CSR; shape ``(examples, features)``. An array on the default device stays
        there, also one of another library, by DLPack.
      num_features: required number of columns; None, the default, accepts any.
      native: whether to convert non-native byte order, which copies the array.

    Returns:
      Array on the host or on the device, or CSR rows, shape ``(examples, features)``.

    Raises:
      ValueError: as `jaxlin.check.features`.
    """
    if check.is_sparse(value):
        return check.sparse_features(name, value, num_features=num_features)
    array = device_array(name, value)
    if array is None:
        return check.features(name, value, num_features=num_features, native=native)
    check.check_layout(name, array, value, num_features=num_features)
    if array.dtype != np.uint8 and not _all_finite(array):
        check.check_finite(name, np.asarray(array))
    return array


def block(name: str, some: Rows) -> np.ndarray:
    """Returns a block of rows as a dense array on the host, in native byte order."""
    return check.dense(name, some.toarray() if check.is_sparse(some) else some)


def dense_rows(name: str, some: Any) -> np.ndarray | jax.Array:
    """Returns rows as a dense array of a dtype that the library computes with.

    Args:
      name: name of the rows in error messages.
      some: rows as `rows` takes them; they need not be finite.
    """
    if check.is_sparse(some):
        some = check.as_csr(name, some).toarray()
    array = device_array(name, some)
    return check.as_numbers(name, some) if array is None else array


def device_array(name: str, value: Any) -> jax.Array | None:
    """Returns an array in the memory of the default device, without a copy.

    Args:
      name: name of the value in error messages.
      value: any value.

    Returns:
      The `jax.Array` that is given, or one that shares the memory of a tensor of
      another library. None for arrays on the host or on another device, for float64
      and integers, which are converted on the host, and under a mesh, over which the
      host spreads the rows.

    Raises:
      ValueError: if the array is traced, part of a differentiation, or in the memory of
        a device that JAX does not use.
    """
    if not isinstance(value, jax.Array):
        foreign.check_is_plain(name, value)
        if not foreign.is_on_accelerator(value):
            return None
        value = foreign.by_dlpack(name, value)
    check.concrete(name, value)
    is_integer = value.dtype.kind in "bui" and value.dtype != np.uint8
    # JAX would round float64 where it is not enabled.
    if is_integer or value.dtype == np.float64:
        return None
    if not jax.sharding.get_abstract_mesh().empty:
        return None
    here = jax.device_put(np.float32(0)).devices()
    return value if value.devices() == here else None


@jax.jit
def _all_finite(array):
    return jnp.isfinite(array).all()
