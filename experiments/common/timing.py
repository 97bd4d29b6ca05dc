"""How long a run compiled, apart from how long it computed."""

import contextlib
import time
from collections.abc import Iterator

import jax

# Lowering and compiling; tracing is reported nested and would be counted twice.
_COMPILING = (
    "/jax/core/compile/jaxpr_to_mlir_module_duration",
    "/jax/core/compile/backend_compile_duration",
)


class Clock:
    """Seconds of named parts of a run, split into compiling and the rest.

    with clock.part("grid"):
        ...
    clock.seconds  # {"grid": {"compile": 0.9, "run": 12.3}}
    """

    def __init__(self) -> None:
        """Starts to listen to what JAX reports about its compiler."""
        self.seconds: dict[str, dict[str, float]] = {}
        self._compiling = 0.0
        # JAX has no way to stop listening: make one clock a process.
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event in _COMPILING:
            self._compiling += duration_secs

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Adds the time spent inside to the part ``name``."""
        start, compiling = time.perf_counter(), self._compiling
        try:
            yield
        finally:
            compiled = self._compiling - compiling
            total = time.perf_counter() - start
            part = self.seconds.setdefault(name, {"compile": 0.0, "run": 0.0})
            part["compile"] += compiled
            part["run"] += max(0.0, total - compiled)

    def total(self) -> dict[str, float]:
        """Sums over the parts."""
        return {
            kind: sum(part[kind] for part in self.seconds.values())
            for kind in ("compile", "run")
        }
