"""Matrix rate of this machine, and interleaved timing."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import environment
from jaxlin.typing import Array

# Does its work and waits for it.
Task = Callable[[], Any]


def interleaved(
    tasks: Mapping[str, Task], *, rounds: int, settle_s: float, calls: int = 5
) -> dict[str, list[float]]:
    """Seconds of each task, round by round, so that all meet the same machine.

    Args:
      tasks: by name; compiled before.
      rounds: number of turns of each task.
      settle_s: seconds of sleep before each turn, since threads spin after their work.
      calls: runs of a turn, whose mean is taken, after one more that is not timed: as a
        solver runs it.

    Returns:
      One number per round for each name.
    """
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            time.sleep(settle_s)
            task()
            start = time.perf_counter()
            for _ in range(calls):
                task()
            seconds[name].append((time.perf_counter() - start) / calls)
    return seconds


def matrix_rate(*, size: int, rounds: int, settle_s: float) -> dict[str, float]:
    """GFLOP/s of a square float32 product in each library at hand.

    The fastest counts as the machine's, lest a floor be the weakness of one library.
    """
    draw = np.random.default_rng(0)
    left, right = draw.normal(size=(2, size, size)).astype(np.float32)
    on_device = jnp.asarray(left), jnp.asarray(right)
    tasks: dict[str, Task] = {
        "NumPy": lambda: left @ right,
        "XLA": lambda: jax.block_until_ready(_product(*on_device)),
    }
    torch = torch_or_none()
    if torch is not None:
        tensors = torch.from_numpy(left), torch.from_numpy(right)
        tasks["PyTorch"] = lambda: tensors[0] @ tensors[1]
    found = interleaved(tasks, rounds=rounds, settle_s=settle_s, calls=1)
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
