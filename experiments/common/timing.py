"""Times of a run, compiling apart from computing, and the programs compiled."""

import collections
import contextlib
import time
from collections.abc import Iterator
from typing import Any

import jax

# Stages of a compilation, in their order, and how JAX reports them.
STAGES = ("trace", "lower", "compile")
_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}


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
        # Tracing is reported nested and would be counted twice.
        if _EVENTS.get(event, "trace") != "trace":
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


class Programs:
    """Seconds of each program by stage, and how often it was compiled.

    A span inside another, such as an inner trace, counts for the inner one alone: JAX
    reports it before the outer one.
    """

    def __init__(self) -> None:
        """Starts to listen to what JAX reports; JAX has no way to stop."""
        self._found: dict[str, collections.Counter[str]] = {}
        self._spans: list[tuple[float, float]] = []
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **about: str | int) -> None:
        if event not in _EVENTS:
            return
        start, inner = time.perf_counter() - duration_secs, 0.0
        while self._spans and self._spans[-1][0] >= start:
            inner += self._spans.pop()[1]
        self._spans.append((start, duration_secs))
        # Traces have the name of the function f, later stages the name jit(f).
        name = str(about.get("fun_name", "")).removeprefix("jit(").removesuffix(")")
        program = self._found.setdefault(name, collections.Counter())
        program[_EVENTS[event]] += duration_secs - inner  # type: ignore[assignment]
        program["compiled"] += _EVENTS[event] == "compile"

    def taken(self) -> list[dict[str, Any]]:
        """Returns the programs since the last call of this method, slowest first."""
        found, self._found, self._spans = self._found, {}, []
        rows: list[dict[str, Any]] = [
            {"program": name, **{key: program[key] for key in (*STAGES, "compiled")}}
            for name, program in found.items()
        ]
        return sorted(
            rows, key=lambda row: sum(row[stage] for stage in STAGES), reverse=True
        )
