"""How long does the first answer take, and which programs does it wait for?

Question. In a new process: how long do imports take, the first call of `jaxlin.fit`,
`jaxlin.sweep`, `jaxlin.cross_validate`, `jaxlin.probe`, `jaxlin.train` and
`jaxlin.neighbors.nearest`, a call with another number of rows, and a call with the rows
of the first again? And which share is tracing, lowering and compiling of which program?

Method. Digits, one process per task. Each call starts from NumPy arrays, so that it
includes checks and normalization. Programs are those that `jax.monitoring` reports;
seconds of a program that is traced inside another count for the inner one alone. With a
persistent cache every task runs twice and the second process is measured; programs of
all sizes are kept, while JAX alone keeps those that take a second to compile.

Command. ``python -m experiments.compile_times``; ``--tasks fit`` for one. A machine
that is busy with anything else makes every figure larger.
"""

import collections
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import jax
import numpy as np
import optax

import jaxlin
from experiments.common.config import Bounds
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import data, losses, normalization
from jaxlin.neighbors import distances
from jaxlin.selection import folds

_HINGE = losses.weston_watkins_hinge
_SOFTMAX = losses.softmax_cross_entropy
_L2S = (1e-1, 1e-2, 1e-3)
# Left out of the calls with another number of rows.
_ROWS_LEFT_OUT = 100
_CALLS = ("first", "new_rows", "repeated")

# Stages of a compilation, in their order, and how JAX reports them.
STAGES = ("trace", "lower", "compile")
_EVENTS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}

# The door is imported before anything of the experiment, which loads more.
_CHILD = """
import time
began = time.perf_counter()
import jaxlin, jaxlin.losses, jaxlin.normalization
jaxlin.{door}
imports = time.perf_counter() - began
from experiments import compile_times
compile_times.print_calls({task!r}, imports)
"""


def fit(features: np.ndarray, labels: np.ndarray) -> Any:
    """One certified Weston-Watkins SVM."""
    return jaxlin.fit(
        features, labels, loss=_HINGE, l2=1e-2, normalization=normalization.fit_standard
    )


def sweep(features: np.ndarray, labels: np.ndarray) -> Any:
    """Two losses and three values of l2."""
    return jaxlin.sweep(_problem(features, labels), losses=(_HINGE, _SOFTMAX), l2s=_L2S)


def cross_validate(features: np.ndarray, labels: np.ndarray) -> Any:
    """The same on five folds."""
    fold_ids = folds.stratified_k_fold(jax.random.key(0), labels, num_folds=5)
    return jaxlin.cross_validate(
        _problem(features, labels), losses=(_HINGE, _SOFTMAX), l2s=_L2S, folds=fold_ids
    )


def probe(features: np.ndarray, labels: np.ndarray) -> Any:
    """A linear probe with its default grid; the last rows are the test set."""
    test = slice(-300, None)
    return jaxlin.probe(
        jax.random.key(0), features[:-300], labels[:-300], features[test], labels[test]
    )


def train(features: np.ndarray, labels: np.ndarray) -> Any:
    """Five epochs of minibatches, three values of l2."""
    return jaxlin.train(
        jax.random.key(0),
        _problem(features, labels),
        loss=_SOFTMAX,
        make_optimizer=optax.sgd,
        batch_size=128,
        num_epochs=5,
        learning_rates=(0.1,),
        l2s=_L2S,
    )


def nearest(features: np.ndarray, labels: np.ndarray) -> Any:
    """The five nearest training rows of 300 queries."""
    return jaxlin.neighbors.nearest(
        features[:-300], features[-300:], metric=distances.euclidean, k=5
    )


def _problem(features: np.ndarray, labels: np.ndarray) -> jaxlin.Problem:
    return jaxlin.problem(features, labels, normalization=normalization.fit_standard)


Task = Literal["fit", "sweep", "cross_validate", "probe", "train", "nearest"]
TASKS: dict[str, Callable[[np.ndarray, np.ndarray], Any]] = {
    task.__name__: task for task in (fit, sweep, cross_validate, probe, train, nearest)
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the measurement.

    Attributes:
      tasks: names of calls to measure.
      persistent_cache: whether each task is measured with a warm persistent cache too.
      programs: number of programs to print for each first call, slowest first.
    """

    tasks: tuple[Task, ...] = get_args(Task)
    persistent_cache: bool = True
    programs: Annotated[int, Bounds(at_least=0)] = 8


SMOKE = Config(tasks=("nearest",), persistent_cache=False)


class Programs:
    """Seconds of each program by stage, and how often it was compiled.

    A span inside another, such as an inner trace, counts for the inner one alone: JAX
    reports it before the outer one.
    """

    def __init__(self) -> None:
        """Listens to what JAX reports from now on."""
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


def print_calls(task: str, imports: float) -> None:
    """Makes the calls of a task in this process and prints what they took, as JSON."""
    rows = data.load("digits").train
    features, labels = rows.features, rows.labels
    fewer = features[:-_ROWS_LEFT_OUT], labels[:-_ROWS_LEFT_OUT]
    programs = Programs()
    found: dict[str, Any] = {"imports": imports}
    for call in _CALLS:
        given = fewer if call == "new_rows" else (features, labels)
        began = time.perf_counter()
        jax.block_until_ready(TASKS[task](*given))
        found[call] = {
            "seconds": time.perf_counter() - began,
            "programs": programs.taken(),
        }
    print(json.dumps(found))


def items(config: Config) -> list[tuple[Task, bool]]:
    """Tasks, each without and perhaps with a persistent cache."""
    kinds = (False, True) if config.persistent_cache else (False,)
    return [(task, is_cached) for task in config.tasks for is_cached in kinds]


def measured(config: Config, dataset: None, item: tuple[Task, bool]) -> dict[str, Any]:
    """Seconds of a task; those of a second process where programs are cached."""
    task, is_cached = item
    if not is_cached:
        return {"task": task, **calls(task, None)}
    with tempfile.TemporaryDirectory() as cache:
        calls(task, cache)
        return {"task": f"{task}, cached", **calls(task, cache)}


def calls(task: Task, cache: str | None) -> dict[str, Any]:
    """Makes the calls of a task in a new process, with or without a cache folder."""
    settings = (
        "JAX_COMPILATION_CACHE_DIR",
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS",
    )
    environment = {k: v for k, v in os.environ.items() if k not in settings}
    if cache is not None:
        environment |= dict(zip(settings, (cache, "0"), strict=True))
    door = "neighbors.nearest" if task == "nearest" else task
    done = subprocess.run(
        [sys.executable, "-c", _CHILD.format(door=door, task=task)],
        cwd=Path(__file__).resolve().parents[1],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def report(config: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A table of calls, and one of programs for each first call."""
    columns = ("task", "imports", *(f"{call} s" for call in _CALLS), "programs")
    rows = []
    for found in results:
        seconds = [found["imports"], *(found[call]["seconds"] for call in _CALLS)]
        compiled = sum(row["compiled"] for row in found["first"]["programs"])
        rows.append((found["task"], *(f"{one:.2f}" for one in seconds), compiled))
    tables = [text_table(columns, rows)]
    for found in results:
        first = found["first"]["programs"]
        keys = (*STAGES, "compiled")
        total = {key: sum(row[key] for row in first) for key in keys}
        rows = [
            (row["program"], *(f"{row[stage]:.2f}" for stage in STAGES))
            + (row["compiled"],)
            for row in [*first[: config.programs], {"program": "all", **total}]
        ]
        tables.append(text_table((f"first {found['task']}", *keys), rows))
    return "\n\n".join(tables)


MEASUREMENTS = Measurements(
    name="compile_times",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
