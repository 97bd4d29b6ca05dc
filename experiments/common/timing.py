"""Seconds of a part of a run, of a call, and of tasks in turns."""

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import jax

Result = TypeVar("Result")

# How JAX reports the stages of a compilation. Tracing is not counted: it is reported
# nested and would count twice.
_COMPILING = (
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


@contextlib.contextmanager
def seconds() -> Iterator[dict[str, float]]:
    """Times what is inside, ``{"compile": 0.9, "run": 12.3}`` once that is left."""
    spent = {"compile": 0.0, "run": 0.0}

    def listen(event: str, duration_secs: float, **_: str | int) -> None:
        if event in _COMPILING:
            spent["compile"] += duration_secs

    jax.monitoring.register_event_duration_secs_listener(listen)
    start = time.perf_counter()
    try:
        yield spent
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
        total = time.perf_counter() - start
        spent["run"] = max(0.0, total - spent["compile"])


def timed(call: Callable[..., Result], *inputs: Any) -> tuple[Result, float]:
    """Returns what a call computes, once it is computed, and the seconds it took."""
    start = time.perf_counter()
    result = jax.block_until_ready(call(*inputs))
    return result, time.perf_counter() - start


def interleaved(
    tasks: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    settle_s: float,
    warm_ups: int = 0,
    calls: int = 1,
) -> dict[str, list[float]]:
    """Seconds of each task, round by round, so that all meet the same machine.

    Args:
      tasks: by name; compiled before.
      rounds: number of turns of each task.
      settle_s: seconds of sleep before each turn, since threads spin after their work.
      warm_ups: runs of a turn that are not timed, before the others.
      calls: runs of a turn whose mean is taken.

    Returns:
      One number per round for each name.
    """
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            time.sleep(settle_s)
            for _ in range(warm_ups):
                jax.block_until_ready(task())
            found[name].append(sum(timed(task)[1] for _ in range(calls)) / calls)
    return found
