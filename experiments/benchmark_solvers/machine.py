"""Read bandwidth and matrix rate of this machine, and interleaved timing.

Each rate is measured by all libraries at hand: the fastest counts as the machine's,
since a floor must not be the weakness of one library.
"""

import concurrent.futures
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark_solvers.isolation import cores
from jaxlin.typing import Array

# Runs of a task in a row, after one that is not timed: as a solver runs it.
_CALLS = 5

# Does its work and waits for it.
Task = Callable[[], Any]


def interleaved(
    tasks: dict[str, Task], *, rounds: int, settle_s: float, calls: int = _CALLS
) -> dict[str, list[float]]:
    """Seconds of each task, round by round, so that all meet the same machine.

    Args:
      tasks: by name; compiled before.
      rounds: how often each has its turn.
      settle_s: seconds of sleep before each turn, since threads spin after their work.
      calls: runs of a turn, whose mean is taken, after one more that is not timed.

    Returns:
      One number a round for each name.
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


def read_bandwidth(*, megabytes: int, rounds: int, settle_s: float) -> dict[str, float]:
    """GB/s of reading an array once, by the fastest reduction of each library."""
    numbers = np.ones(megabytes * 2**18, np.float32)
    parts = np.array_split(numbers, cores())
    device = jnp.asarray(numbers)
    with concurrent.futures.ThreadPoolExecutor(cores()) as pool:
        tasks: dict[str, Task] = {
            "NumPy": lambda: list(pool.map(np.max, parts)),
            "XLA": lambda: jax.block_until_ready(_largest(device)),
        }
        torch = torch_or_none()
        if torch is not None:
            tensor = torch.from_numpy(numbers)
            tasks["PyTorch"] = lambda: tensor.sum().item()
        found = interleaved(tasks, rounds=rounds, settle_s=settle_s, calls=2)
    size = 1e-9 * numbers.nbytes
    return {name: size / statistics.median(each) for name, each in found.items()}


def matrix_rate(*, size: int, rounds: int, settle_s: float) -> dict[str, float]:
    """GFLOP/s of a square float32 product in each library."""
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
    torch.set_num_threads(cores())
    return torch


@jax.jit
def _largest(numbers: Array) -> Array:
    return jnp.max(numbers)


@jax.jit
def _product(left: Array, right: Array) -> Array:
    return jnp.matmul(left, right, precision="highest")
