"""The probe: one choice of C, one fit, one look at the test examples."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common import interrupts, tasks
from experiments.common.losses import CERTIFIED
from experiments.common.progress import progress
from experiments.common.study import Measured, Part, Run
from experiments.common.tasks import TaskPart
from experiments.probe import source
from experiments.probe.config import CHOICES, Config
from jaxlin import check, data
from jaxlin.objective import penalties
from jaxlin.selection import calibration, grids, plans
from jaxlin.selection import parts as selection_parts
from jaxlin.selection.grids import Grid
from jaxlin.selection.parts import Parts
from jaxlin.selection.plans import Plan
from jaxlin.solvers.interface import Examples
from jaxlin.stats import intervals, metrics

# File of a sweep, in the folder of a run or of a part.
_SWEEP = "sweep.npz"


def parts(config: Config) -> Mapping[str, Part]:
    """The single part of a run, which the file of its sweep continues."""
    return {"probe": _probe}


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config with the plan of the sweep, if C can be chosen as asked.

    The plan is kept, so that a run with ``--config`` takes the same steps whatever the
    rule is then.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    source.check_parts(config, dataset)
    check.integer("parts", config.parts, at_most=_models(config).size)
    plan = _plan(config, dataset)
    return dataclasses.replace(
        config, slots=sum(plan.slots), block_size=plan.block_size
    )


def _models(config: Config) -> Grid:
    """Models of the comparison; in place of each l2 its value of C."""
    return grids.product(
        losses=(CERTIFIED[config.loss],),
        l2s=config.cs,
        num_weight_sets=config.folds or 1,
    )


def task(config: Config, dataset: data.Dataset, run: Run, part: TaskPart) -> None:
    """Fits the models of one part."""
    files = _checkpoint(config, run.folder.path.parent)
    assert isinstance(files, Parts), "a config with several parts"
    models = grids.parts(_models(config), config.parts)[part.number - 1]

    def call(checkpoint: Parts) -> Any:
        return _fit(config, dataset, checkpoint, num_models=len(models))

    selection_parts.fit_part(call, files, part.number - 1)


def _checkpoint(config: Config, folder: Path) -> Path | Parts:
    """File of the sweep of a run, or those of its parts."""
    if config.parts == 1:
        return folder / _SWEEP
    parts = tasks.all_parts(config.parts)
    return Parts(tuple(folder / part.folder / _SWEEP for part in parts))


def _plan(config: Config, dataset: data.Dataset) -> Plan:
    """Number of models that run at once; by shapes, before anything is computed."""
    rows: tuple[Any, Any] = dataset.train
    return plans.plan(
        _models(config),
        Examples(*rows),
        num_classes=dataset.num_classes,
        slots=config.slots,
        block_size=config.block_size,
    )


def _probe(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    plan = str(_plan(config, dataset))
    print(f"{dataset.name}: {len(config.cs)} values of C, {plan}")
    for name in data.absent_classes(dataset):
        print(f"note: class {name!r} has no training example")
    found = _fit(
        config,
        dataset,
        _checkpoint(config, run.folder.path),
        num_models=_models(config).size,
    )
    for note in found.notes:
        print(f"note: {note}")
    model = found.fit._replace(classes=np.array(dataset.class_names))
    scores = jaxlin.scores(model, dataset.test.features)
    labels = jnp.asarray(dataset.test.labels)
    bins, arrays = {}, {"label": labels, "prediction": scores.argmax(axis=1)}
    for kind, temperature in (("before", 1.0), ("after", model.temperature)):
        probabilities = calibration.probabilities(scores, temperature=temperature)
        bins[kind] = metrics.calibration_bins(probabilities, labels)
        arrays |= {f"{kind}_{k}": v for k, v in bins[kind]._asdict().items()}
        arrays["probability"] = probabilities
    assert run.data is not None
    numbers = {
        **_numbers(found, dataset, run.data["answers"]),
        "calibration_error": {
            kind: float(metrics.expected_calibration_error(one))
            for kind, one in bins.items()
        },
        "sweep": plan,
        "source": dataset.source,
    }
    return Measured(numbers, arrays, {"model": model})


def _fit(
    config: Config,
    dataset: data.Dataset,
    checkpoint: Path | Parts,
    *,
    num_models: int,
) -> jaxlin.ProbeResult:
    """The result, continued from the last save of an earlier start."""
    with (
        interrupts.held_back() as stop_if_asked,
        progress("fits", total=num_models, unit="models") as advance,
    ):
        done = 0

        def callback(state):
            nonlocal done
            advance(len(state.finished) - done)
            # The next part counts from 0 again.
            done = 0 if state.is_over else len(state.finished)
            stop_if_asked()

        return jaxlin.probe(
            jax.random.key(config.seed),
            *dataset.train,
            *dataset.test,
            loss=CERTIFIED[config.loss],
            l2s=penalties.l2_of_c(
                config.cs,
                total_weight=len(dataset.train.labels),
                num_classes=dataset.num_classes,
            ),
            classes=range(dataset.num_classes),
            normalization=source.normalized(dataset, config),
            validation=config.folds or config.validation_fraction,
            choose=CHOICES[config.choose],
            stop=jaxlin.Stop(config.relative_gap, config.max_evaluations),
            slots=config.slots,
            block_size=config.block_size,
            checkpoint=checkpoint,
            callback=callback,
        )


def _numbers(
    found: jaxlin.ProbeResult, dataset: data.Dataset, coverage: Any
) -> dict[str, Any]:
    """The result; accuracies count answers outside the vocabulary as wrong."""
    num_train, num_inside = len(dataset.train.labels), len(dataset.test.labels)
    num_test = coverage["test_examples"] if coverage else num_inside
    correct = round(found.test.accuracy.value * num_inside)
    optimum = found.test.optimum
    converged = () if found.table is None else found.table.fits.converged
    share = num_inside / num_test
    (c,) = _cs([found.l2], dataset)
    return {
        "test_accuracy": correct / num_test,
        "test_accuracy_interval": list(
            intervals.proportion_interval(correct, num_test)
        ),
        "optimum_accuracy": [
            share * optimum.low,
            share * optimum.high,
        ],
        "labels_certified": optimum.certified,
        "num_train": num_train,
        "num_test": num_test,
        "num_features": dataset.num_features,
        "num_classes": dataset.num_classes,
        "c": c,
        "l2": found.l2,
        "at_edge": found.at_edge,
        "relative_gap": found.fit.relative_gap,
        "converged": found.fit.converged,
        "fits_compared": len(converged),
        "fits_certified": int(sum(converged)),
        "evaluations": found.passes,
        "temperature": float(found.temperature.value),
        "temperature_at_bound": bool(found.temperature.at_bound),
        "num_held_out": found.num_held_out,
        "notes": list(found.notes),
        "values": _values(found, dataset),
    }


def _values(found: jaxlin.ProbeResult, dataset: data.Dataset) -> list[dict[str, Any]]:
    """One row a value of C, the smallest first; none if nothing was held out."""
    if found.table is None:
        return []
    rows = found.table.rows()
    cs = _cs([row["l2"] for row in rows], dataset)
    values = [
        {"c": c, **row, "chosen": row["l2"] == found.l2}
        for c, row in zip(cs, rows, strict=True)
    ]
    return sorted(values, key=lambda row: row["c"])


def _cs(l2s: list[float], dataset: data.Dataset) -> tuple[float, ...]:
    """Scikit-learn's C of each l2: the formula is its own inverse."""
    return penalties.l2_of_c(
        l2s, total_weight=len(dataset.train.labels), num_classes=dataset.num_classes
    )
