"""Digits: float64 where data or parameters have it, all of float32 in products.

JAX computes in float32 unless it is told otherwise, process-wide. A proof in float64
should not ask its user for that: what has float64 digits is computed under
`keeping_digits` and handed back by `as_given` as NumPy arrays, which keep them.

  >>> import jax.numpy as jnp, numpy as np
  >>> from jaxlin.numerics import precision
  >>> x = np.array([1 + 1e-12])
  >>> with precision.keeping_digits(x):
  ...     y = precision.as_given(jnp.asarray(x) - 1)
  >>> print(type(y).__name__, y.dtype, y > 0)
  ndarray float64 [ True]

GPUs and TPUs multiply float32 matrices with fewer digits unless asked not to: on an
NVIDIA H200 products of normal numbers were off by 6e-5 of the largest, in all digits
by 7e-7, at 330 and 49 TFLOP/s. Scores that decide labels, and tables that choose l2,
should not depend on that, so `product` asks.
"""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.typing import Array, PyTree


def keeping_digits(*arrays: Any) -> contextlib.AbstractContextManager:
    """A context in which none of these arrays loses digits of float64.

    Lists count as float64, which NumPy makes of them; None does not count.
    """
    dtypes = [
        getattr(array, "dtype", np.float64) for array in arrays if array is not None
    ]
    is_wide = any(dtype == np.float64 for dtype in dtypes)
    return jax.enable_x64(True) if is_wide else contextlib.nullcontext()


def as_given(tree: PyTree) -> PyTree:
    """What was computed under `keeping_digits`: NumPy where it is float64.

    As JAX arrays they would lose digits in whatever is computed next, outside the
    context. Traced values are left as they are.
    """

    def leaf_as_given(leaf):
        is_traced = isinstance(leaf, jax.core.Tracer)
        return leaf if is_traced or leaf.dtype != np.float64 else np.asarray(leaf)

    return jax.tree.map(leaf_as_given, tree)


def product(left: Array, right: Array) -> Array:
    """``left @ right`` in all digits, unless JAX is told how many to take."""
    return jnp.matmul(left, right, precision=of_products())


def of_products() -> jax.lax.Precision | None:
    """What to ask of a product: all digits, unless JAX is told how many to take.

    ``with jax.default_matmul_precision("tensorfloat32"):`` around training trades them
    for speed.
    """
    told = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return None if told else jax.lax.Precision.HIGHEST
