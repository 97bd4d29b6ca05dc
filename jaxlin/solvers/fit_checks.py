"""Checks of a certified fit, made before anything is compiled."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, losses
from jaxlin.certificates import certificate_checks
from jaxlin.linear import Bias, Params
from jaxlin.normalization.rounding import LARGEST_NORM
from jaxlin.numerics import device_mesh
from jaxlin.solvers import optimizer_state
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array, Loss, LossArguments

# Arrays of one number per example and class that a pass holds while it searches for a
# free bias, the products of weights and rows included, rounded up: XLA on a CPU, 20,000
# rows. Softmax (4.4 arrays with jax 0.12, 6.4 with jax 0.10) and the Weston-Watkins
# hinges have scores, gradients and factors of the Hessian; targets of cross-entropy
# have this shape, too; Crammer-Singer sorts.
_ARRAYS_OF_BIAS_SEARCH = {
    losses.softmax_cross_entropy: 7,
    losses.cross_entropy: 6,
    losses.weston_watkins_hinge: 5,
    losses.weston_watkins_squared_hinge: 5,
    losses.crammer_singer_hinge: 8,
    losses.one_vs_rest_hinge: 6,
}


def check_settings(
    *,
    loss: Loss,
    l2: float,
    rank: int,
    loss_arguments: LossArguments | None,
) -> None:
    """Raises a ValueError for settings that a certified fit cannot have."""
    certificate_checks.check_certifiable(
        loss=loss, l2=l2, loss_arguments=loss_arguments
    )
    certificate_checks.check_rank(loss, rank, name="labels")


def check_concrete(**arguments: Any) -> None:
    """Raises a ValueError where JAX traces an argument, or the program around it."""
    for name, value in arguments.items():
        check.concrete(name, value)
    check.concrete("arguments", jnp.zeros(()))


def check_memory(
    rows: Any,
    *,
    num_classes: int,
    loss: Loss,
    num_examples: int | None = None,
    bias: Bias = Bias.PENALIZED,
) -> None:
    """Raises a ValueError if a fit surely needs more memory than there is.

    Args:
      rows: features on the device, or their shape and dtype.
      num_classes: number of classes.
      loss: the loss of the fit.
      num_examples: number of examples whose duals are on the device; None is all rows.
      bias: treatment of the bias; a free one needs the scores of all these examples.
    """
    num_rows, num_features = rows.shape
    num_examples = num_rows if num_examples is None else num_examples
    num_pairs = optimizer_state.default_num_pairs(num_classes * (num_features + 1))
    state_bytes, largest = _state_size(
        loss, num_classes, num_features, num_examples, num_pairs
    )
    scores = 4 * num_examples * num_classes if bias is Bias.FREE else 0
    rows_bytes = device_mesh.bytes_of(rows) // device_mesh.num_shards(num_rows)
    remedy = (
        "use fewer features or classes (a projection, the most frequent classes), or "
        "jaxlin.solvers.minibatch, which keeps a few arrays of that size"
    )
    if rows_bytes > state_bytes:
        remedy = "give the rows in blocks (jaxlin.objective.row_blocks)"
    device_mesh.check_memory(
        f"a fit of {num_classes} classes and {num_features} features, whose solver's "
        f"largest array has shape {largest},",
        remedy=remedy,
        state=state_bytes,
        rows=rows_bytes,
        scores=scores // device_mesh.num_shards(num_rows),
    )


def check_scores_of_blocks(num_examples: int, *, num_classes: int) -> None:
    """Raises a ValueError if the scores of a free bias do not fit into memory.

    A pass over rows in blocks keeps them for the search of
    `jaxlin.certificates.bias_search`.

    Args:
      num_examples: number of examples of all blocks.
      num_classes: number of classes.
    """
    device_mesh.check_memory(
        f"a free bias of {num_examples} examples in blocks and {num_classes} classes, "
        "whose scores are all kept in a pass,",
        remedy='use bias="penalized" or "none", which keep none, or fewer examples or '
        "classes",
        scores=4 * num_examples * num_classes,
    )


def bias_search_bytes(loss: Loss, *, num_examples: int, num_classes: int) -> int:
    """Bytes that a float32 pass of one model holds in the search for a free bias."""
    return _ARRAYS_OF_BIAS_SEARCH[loss] * 4 * num_examples * num_classes


# Kept by shape: tracing takes an eighth of a fit of digits.
@functools.lru_cache(maxsize=128)
def _state_size(
    loss: Loss, num_classes: int, num_features: int, num_examples: int, num_pairs: int
) -> tuple[int, tuple[int, ...]]:
    """Bytes of an optimizer state, and the shape of its largest array."""

    def start(weights: Array) -> optimizer_state.OptimizerState:
        params = Params(weights, weights[:, 0])
        return optimizer_state.start(
            loss,
            params,
            Settings(l2=1.0),
            num_examples=num_examples,
            num_pairs=num_pairs,
        )

    weights = jax.ShapeDtypeStruct((num_classes, num_features), jnp.float32)
    state = jax.eval_shape(start, weights)
    largest = max(jax.tree.leaves(state), key=device_mesh.bytes_of)
    return device_mesh.bytes_of(state), largest.shape


def check_norms(norms: ArrayLike) -> None:
    """Raises a ValueError for rows so large that their sums of squares overflow."""
    largest = _largest(norms)
    if not largest < LARGEST_NORM:
        raise ValueError(
            f"features must have norms below {LARGEST_NORM:g} once normalised, got "
            f"{largest:g}; scale them to size about 1 (jaxlin.normalization)"
        )


def check_classes(targets: jax.Array, num_classes: int) -> None:
    """Raises a ValueError if the targets are not those of ``num_classes`` classes."""
    check.integer("num_classes", num_classes, at_least=2)
    found = targets.shape[1] if targets.ndim == 2 else int(_largest(targets)) + 1
    if found > num_classes or (targets.ndim == 2 and found < num_classes):
        raise ValueError(
            f"num_classes must be that of the problem, which has {found}, got "
            f"{num_classes}"
        )


def _largest(values: Any) -> float:
    """Largest value; on the host, where it needs no program, if all values are here."""
    found = device_mesh.on_host(values)
    return float(found.max() if isinstance(found, np.ndarray) else jnp.max(found))
