"""Float64 where data or parameters have it, full float32 precision in products.

JAX computes in float32 unless float64 is enabled for the whole process. A proof in
float64 should not require that of its user: computations on float64 arrays run under
`enable_float64_for`, and `float64_as_numpy` returns their results as NumPy arrays,
which keep all digits.

  >>> import jax.numpy as jnp, numpy as np
  >>> from jaxlin.numerics import precision
  >>> x = np.array([1 + 1e-12])
  >>> with precision.enable_float64_for(x):
  ...     y = precision.float64_as_numpy(jnp.asarray(x) - 1)
  >>> print(type(y).__name__, y.dtype, y > 0)
  ndarray float64 [ True]

By default GPUs and TPUs multiply float32 matrices at reduced precision. On an NVIDIA
H200 products of normally distributed numbers were off by 6e-5 of the largest at the
default precision (330 TFLOP/s), and by 7e-7 at full precision (49 TFLOP/s). Predicted
labels and the choice of l2 should not depend on that, so `product` requests full
precision.
"""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from jaxlin.typing import Array, PyTree

# Products of float32 numbers as six or three products of shorter ones on tensor cores
# (`jax.lax.DotAlgorithmPreset`). Three parts of bfloat16 hold all 24 bits of float32,
# and what six products leave out is half of its unit roundoff; two parts of
# TensorFloat-32 hold 22 bits. Tensor cores may truncate sums where float32 rounds. The
# allowance for rounding in certificates is that of float32; it has not been measured on
# a GPU that it covers these.
SPLIT_PRODUCTS = ("BF16_BF16_F32_X6", "TF32_TF32_F32_X3")


def enable_float64_for(*arrays: Any) -> contextlib.AbstractContextManager:
    """Context that enables float64 in JAX if one of the arrays is float64.

    Args:
      *arrays: arrays, lists or None. A list counts as float64, the dtype that NumPy
        gives it; None is ignored.
    """
    dtypes = [
        getattr(array, "dtype", np.float64) for array in arrays if array is not None
    ]
    has_float64 = any(dtype == np.float64 for dtype in dtypes)
    return jax.enable_x64(True) if has_float64 else contextlib.nullcontext()


def float64_as_numpy(tree: PyTree) -> PyTree:
    """Converts the float64 arrays of a tree to NumPy arrays.

    For results computed under `enable_float64_for`: as JAX arrays they would lose
    digits in the next computation outside the context. Traced values are unchanged.
    """

    def leaf_as_numpy(leaf):
        is_traced = isinstance(leaf, jax.core.Tracer)
        return leaf if is_traced or leaf.dtype != np.float64 else np.asarray(leaf)

    return jax.tree.map(leaf_as_numpy, tree)


def as_views(tree: PyTree) -> PyTree:
    """Views of the NumPy arrays of a tree, for programs under `enable_float64_for`.

    JAX (0.10 and 0.12) keeps the constants of a traced program on the device, and finds
    them by their NumPy objects. Float64 arrays that a user's `jax.jit` without float64
    has closed over would arrive in float32, which a program in float64 refuses with an
    error of XLA. A view is another object. Other leaves are unchanged.
    """

    def leaf_as_view(leaf):
        return leaf.view() if isinstance(leaf, np.ndarray) else leaf

    return jax.tree.map(leaf_as_view, tree)


def product(left: Array, right: Array) -> Array:
    """Returns ``left @ right`` at the precision of `matmul_precision`."""
    return jnp.matmul(left, right, precision=matmul_precision())


def row_precision(dtype: DTypeLike) -> jax.lax.Precision | None:
    """Returns the precision of products over the rows of a certified pass.

    It is the highest, whatever JAX's default precision is, but for one case: float32
    under ``with jax.default_matmul_precision("BF16_BF16_F32_X6"):`` (or another of
    `SPLIT_PRODUCTS`), which JAX refuses on devices that do not have it, and in float64
    everywhere. It is an option for measurements on accelerators. Proofs under it have
    not been tested.

    Args:
      dtype: dtype of both factors.
    """
    default = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    is_split = jnp.dtype(dtype) == jnp.float32 and default in SPLIT_PRODUCTS
    return None if is_split else jax.lax.Precision.HIGHEST


def matmul_precision() -> jax.lax.Precision | None:
    """Returns the highest precision, or None if JAX's default precision is set.

    ``with jax.default_matmul_precision("tensorfloat32"):`` around training trades
    precision for speed.
    """
    default = jax.config.jax_default_matmul_precision  # type: ignore[attr-defined]
    return None if default else jax.lax.Precision.HIGHEST
