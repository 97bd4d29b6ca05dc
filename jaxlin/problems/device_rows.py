"""Rows on the device or the current mesh."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.normalization import Normalization
from jaxlin.normalization.rounding import without_overflow
from jaxlin.numerics import device_mesh, precision, processes
from jaxlin.objective.row_blocks import Block
from jaxlin.solvers.interface import Examples


def place(rows: Block, normalization: Normalization | None) -> Examples:
    """Puts rows onto the device, or onto the current mesh.

    Args:
      rows: features, codes and weights on the host.
      normalization: applied to each row inside a pass, or None.

    Returns:
      The examples without a preconditioner. Under a mesh the rows are padded to the
      same number per device; padding has weight 0.
    """
    # A program in float64 may have closed over these arrays.
    features, targets, weights = precision.as_views(rows)
    features = without_overflow(features, weights, normalization)
    placed_normalization = place_normalization(normalization)
    if jax.sharding.get_abstract_mesh().empty:
        return Examples(
            jnp.asarray(features),
            jnp.asarray(targets),
            None if weights is None else jnp.asarray(weights),
            placed_normalization,
        )
    length = processes.padded_length(len(features))
    if weights is None and processes.any_process(length > len(features)):
        weights = np.ones(len(features), np.float32)
    if weights is not None:
        weights = np.pad(weights, (0, length - len(features)))
    by_row = (device_mesh.ROWS,)
    return Examples(
        processes.place(processes.pad(features), by_row),
        processes.place(processes.pad(targets), by_row),
        None if weights is None else processes.place(weights, by_row),
        placed_normalization,
    )


def place_normalization(normalization: Normalization | None) -> Normalization | None:
    """Puts a normalization onto the device; under a mesh, onto each device."""
    if normalization is None:
        return None
    if jax.sharding.get_abstract_mesh().empty:
        return Normalization(*map(jnp.asarray, precision.as_views(normalization)))
    return Normalization(*(processes.place(part, ()) for part in normalization))
