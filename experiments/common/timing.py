"""Seconds of a part of a run, compiling apart from computing."""

import contextlib
import time
from collections.abc import Iterator

import jax

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
