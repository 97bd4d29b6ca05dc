"""Matrix rate of this machine, and the other library that measures it."""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import environment, timing
from jaxlin.typing import Array


def matrix_rate(*, size: int, rounds: int, settle_s: float) -> dict[str, float]:
    """GFLOP/s of a square float32 product in each library at hand.

    The fastest counts as the machine's, lest a floor be the weakness of one library.
    """
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(2, size, size)).astype(np.float32)
    on_device = jnp.asarray(left), jnp.asarray(right)
    tasks: dict[str, Callable[[], Any]] = {
        "NumPy": lambda: left @ right,
        "XLA": lambda: _product(*on_device),
    }
    torch = torch_or_none()
    if torch is not None:
        tensors = torch.from_numpy(left), torch.from_numpy(right)
        tasks["PyTorch"] = lambda: tensors[0] @ tensors[1]
    found = timing.interleaved(tasks, rounds=rounds, settle_s=settle_s, warm_ups=1)
    work = 2e-9 * size**3
    return {name: work / statistics.median(each) for name, each in found.items()}


def torch_or_none() -> Any:
    """PyTorch on all cores that this process may use, or None where it is missing."""
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(environment.usable_cores())
    return torch


@jax.jit
def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision="highest")
