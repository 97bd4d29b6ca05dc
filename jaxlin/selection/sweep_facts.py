"""Facts of a sweep by which a file of another sweep is refused.

Rows, targets, weights and the preconditioner are known by their SHA-256, in several
processes by that of the rows of all.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxlin.io.checkpoint import Path
from jaxlin.numerics import processes
from jaxlin.selection.grids import Grid
from jaxlin.selection.sweep_run import SweepInputs

# Facts that differ between kinds of machines and change only rounding, or the order of
# the fits: of no account once all models are finished.
_OF_THE_MACHINE = ("plan", "curvature")


def facts(inputs: SweepInputs, max_passes: int | None) -> dict[str, Any]:
    """Inputs that must be the same when the sweep resumes; arrays by their digest.

    Args:
      inputs: examples, models, plan and stopping criterion.
      max_passes: largest number of passes of a model, those in float64 included.
    """
    examples = inputs.examples
    return {
        # First, because another ``refine`` may also change the number of passes.
        "refine": inputs.float64_follows,
        "relative_gap": inputs.relative_gap,
        "max_passes": [np.asarray(inputs.max_passes).tolist(), max_passes],
        # The number of iterations changes no result, the compile cost only rounding;
        # both differ on another kind of machine.
        "plan": inputs.plan._replace(compile_cost=0, iterations=0)._asdict(),
        "features": _digest(examples.features),
        "targets": _digest(examples.targets),
        "target_sets": _digest(examples.target_sets),
        "normalization": _digest(*(examples.normalization or (None,))),
        "curvature": _digest(*jax.tree.leaves(examples.preconditioner)),
        "weights": _digest(inputs.by_row),
    }


def described(models: Grid) -> dict[str, Any]:
    """The grid as values that JSON can hold."""
    target_set = models.target_set
    return {
        "l2": models.l2.tolist(),
        "losses": [getattr(loss, "__name__", str(loss)) for loss in models.losses],
        "losses of each": models.loss.tolist(),
        "loss arguments": {
            name: values.tolist() for name, values in models.loss_arguments.items()
        },
        "weight_sets": models.weight_set.tolist(),
        "target_sets": None if target_set is None else target_set.tolist(),
        "bias": models.bias.value,
    }


def check_models(path: Path, found: Mapping[str, Any], models: Grid) -> None:
    """Raises a ValueError unless a file is of a sweep of these models."""
    for name, value in described(models).items():
        if found.get(name) != value:
            raise ValueError(
                f"{path} must be of a sweep of these models, got others: their {name} "
                "differ; give the grid that it was started with"
            )


def check_same(
    path: Path,
    kind: str,
    found: Mapping[str, Any],
    given: Mapping[str, Any] | None,
    *,
    is_over: bool = False,
) -> None:
    """Raises a ValueError if a value in the file differs from the given one.

    Args:
      path: the file, for the message.
      kind: word for the values, for the message.
      found: values in the file.
      given: values that are given; None is none.
      is_over: whether all models of the file are finished.
    """
    # After a round trip through JSON, as a file returns them.
    given = json.loads(json.dumps(dict(given or {})))
    for name in {**found, **given}:
        if is_over and name in _OF_THE_MACHINE:
            continue
        if found.get(name) != given.get(name):
            raise ValueError(
                f"{path} must be of a sweep of the same {kind}, but its {name} is "
                f"{_shown(found.get(name))}, got {_shown(given.get(name))}; resume "
                f"with the same {kind}, or take another file"
            )


def _shown(value: Any) -> str:
    """A value as shown in a message; arrays are known by their digest alone."""
    is_digest = (
        isinstance(value, str) and len(value) == hashlib.sha256().digest_size * 2
    )
    return f"one with digest {value[:8]}" if is_digest else f"{value!s:.300}"


def _digest(*arrays: Any) -> str | None:
    """SHA-256 of the values in C order, those of all processes; None for None."""
    if all(array is None for array in arrays):
        return None
    own = hashlib.sha256()
    for array in arrays:
        numbers = np.ascontiguousarray(processes.own_values(array))
        own.update(numbers.reshape(-1).view(np.uint8).data)
    if jax.process_count() == 1:
        return own.hexdigest()
    parts = processes.gather(np.frombuffer(own.digest(), np.uint8))
    return hashlib.sha256(parts.tobytes()).hexdigest()
