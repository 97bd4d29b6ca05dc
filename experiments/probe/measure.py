"""The probe: one choice of C, one fit, one look at the test examples."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common import tasks
from experiments.common.study import Measured, Part, Run
from experiments.common.tasks import TaskPart
from experiments.common.text_table import text_table
from experiments.probe import compared, few_shots, fit
from experiments.probe.config import Config, with_protocol
from experiments.probe.protocols import PROTOCOLS
from jaxlin import check, data
from jaxlin.certificates.label_certificates import AccuracyInterval
from jaxlin.check.diagnosis import counted
from jaxlin.selection import calibration, grids
from jaxlin.selection import parts as selection_parts
from jaxlin.selection.parts import Parts
from jaxlin.stats import intervals, metrics

# File of a sweep, in the folder of a run or of a part.
_SWEEP = "sweep.npz"


def parts(config: Config) -> Mapping[str, Part]:
    """The probe, which the file of its sweep continues, and what is asked beside it."""
    asked: dict[str, Part] = {"probe": _probe, **few_shots.parts(config)}
    if config.compare is not None:
        asked["compare"] = compared.part
    return asked


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config with its protocol's settings and the plan of its sweeps.

    The plan is kept, so that a run with ``--config`` takes the same steps whatever the
    rule is then.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    config = with_protocol(config)
    few_shots.check(config, dataset)
    other = compared.checked(config, dataset)
    fit.check(config, dataset)
    check.integer("parts", config.parts, at_most=fit.models(config).size)
    plan = fit.plan(config, dataset)
    config = dataclasses.replace(
        config, slots=sum(plan.slots), block_size=plan.block_size
    )
    if other is not None:
        # With the slots of the first, more features may need too much memory.
        fit.plan(config, other)
    return config


def task(config: Config, dataset: data.Dataset, run: Run, part: TaskPart) -> None:
    """Fits the models of one part."""
    files = _checkpoint(config, run.folder.path.parent)
    assert isinstance(files, Parts), "a config with several parts"
    rows = fit.scaled(config, dataset)
    models = grids.parts(fit.models(config), config.parts)[part.number - 1]

    def call(checkpoint: Parts) -> Any:
        return fit.fitted(config, rows, checkpoint, num_models=len(models))

    selection_parts.fit_part(call, files, part.number - 1)


def _checkpoint(config: Config, folder: Path) -> Path | Parts:
    """File of the sweep of a run, or those of its parts."""
    if config.parts == 1:
        return folder / _SWEEP
    parts = tasks.all_parts(config.parts)
    return Parts(tuple(folder / part.folder / _SWEEP for part in parts))


def _probe(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    plan = str(fit.plan(config, dataset))
    print(f"{dataset.name}: {counted(len(config.cs), 'value')} of C, {plan}")
    published = _published(config)
    if published:
        print(f"protocol: {published['source']}\ncite: {published['citation']}")
    notes = [f"not to the letter: {one}" for one in published.get("differences", ())]
    notes += [
        f"class {name!r} has no training example"
        for name in data.absent_classes(dataset)
    ]
    dataset = fit.scaled(config, dataset)
    found = fit.fitted(
        config,
        dataset,
        _checkpoint(config, run.folder.path),
        num_models=fit.models(config).size,
    )
    for note in (*notes, *found.notes):
        print(f"note: {note}")
    model = found.fit._replace(classes=np.array(dataset.class_names))
    assert run.data is not None
    numbers = {
        **_numbers(found, config, dataset, run.data["answers"]),
        "protocol": published,
        "sweep": plan,
        "source": dataset.source,
    }
    print(_printed(numbers))
    arrays = _arrays(model, dataset) | {"log_loss": found.test.example_log_losses}
    return Measured(numbers, arrays, {"model": model})


def _printed(numbers: Mapping[str, Any]) -> str:
    """The metrics as a table of text, and what is proven of the exact optimum."""
    rows = [
        (
            name.replace("_", " "),
            *(f"{one[end]:.4f}" for end in ("value", "low", "high")),
        )
        for name, one in numbers["metrics"].items()
    ]
    table = text_table(("test metric", "value", "95 % from", "to"), rows)
    optimum = numbers["optimum_in_words"]
    return f"{table}\naccuracy of the exact optimum: {optimum}"


def _published(config: Config) -> dict[str, Any]:
    """Facts of the protocol of a config; none without one."""
    if config.protocol is None:
        return {}
    protocol = PROTOCOLS[config.protocol]
    names = ("source", "citation", "differences")
    return {name: getattr(protocol, name) for name in names}


def _arrays(model: jaxlin.Fit, dataset: data.Dataset) -> dict[str, Any]:
    """Labels and probabilities of the test examples, and sums of calibration bins."""
    scores = jaxlin.scores(model, dataset.test.features)
    labels = jnp.asarray(dataset.test.labels)
    arrays = {"label": labels, "prediction": scores.argmax(axis=1)}
    for kind, temperature in (("before", 1.0), ("after", model.temperature)):
        probabilities = calibration.probabilities(scores, temperature=temperature)
        bins = metrics.calibration_bins(probabilities, labels)
        arrays |= {f"{kind}_{k}": v for k, v in bins._asdict().items()}
        arrays["probability"] = probabilities
    return arrays


def _numbers(
    found: jaxlin.ProbeResult, config: Config, dataset: data.Dataset, coverage: Any
) -> dict[str, Any]:
    """The result; accuracies count answers outside the vocabulary as wrong."""
    test = found.test
    converged = () if found.table is None else found.table.fits.converged
    num_test = coverage["test_examples"] if coverage else test.num_examples
    share = test.num_examples / num_test
    low, high, certified = test.optimum
    optimum = AccuracyInterval(share * low, share * high, certified)
    values = _values(found, config)
    chosen = [row["c"] for row in values if row["chosen"]] or config.cs
    metrics_of_test = _metrics(test, num_test)
    return {
        "test_accuracy": metrics_of_test["accuracy"]["value"],
        "metrics": metrics_of_test,
        "optimum_accuracy": [optimum.low, optimum.high],
        "optimum_in_words": str(optimum),
        "labels_certified": certified,
        "num_train": len(dataset.train.labels),
        "num_held_out": found.num_held_out,
        "has_validation": dataset.validation is not None,
        "has_weights": dataset.train_weights is not None,
        "has_groups": dataset.train_groups is not None,
        "num_test": num_test,
        "num_features": dataset.num_features,
        "num_classes": dataset.num_classes,
        "c": chosen[0],
        "l2": found.l2,
        "at_edge": found.at_edge,
        "relative_gap": found.fit.relative_gap,
        "converged": found.fit.converged,
        "fits_compared": len(converged),
        "fits_certified": int(sum(converged)),
        "passes": found.passes,
        "temperature": float(found.temperature.value),
        "temperature_at_bound": bool(found.temperature.at_bound),
        "notes": list(found.notes),
        "values": values,
    }


def _metrics(test: jaxlin.Evaluation, num_test: int) -> dict[str, dict[str, float]]:
    """Value and 95 % interval of each metric.

    Args:
      test: metrics on the test examples whose answer is in the vocabulary.
      num_test: number of all test examples; shares count the others as wrong.
    """
    names = (
        "accuracy",
        "top_5_accuracy",
        "mean_per_class_accuracy",
        "log_loss",
        "log_loss_before",
        "calibration_error",
        "calibration_error_before",
    )
    rows = {}
    for name in names:
        estimate = getattr(test, name)
        if estimate is None:
            continue
        value, interval = estimate
        if name in ("accuracy", "top_5_accuracy"):
            correct = round(value * test.num_examples)
            value = correct / num_test
            interval = intervals.proportion_interval(correct, num_test)
        rows[name] = {"value": value, "low": interval.low, "high": interval.high}
    return rows


def _values(found: jaxlin.ProbeResult, config: Config) -> list[dict[str, Any]]:
    """One row a value of C, the smallest first; none if nothing was held out."""
    if found.table is None:
        return []
    passes = found.table.fits.passes.reshape(len(config.cs), -1).sum(axis=1)
    values = [
        {**row, "passes": int(passes[i]), "chosen": i == found.setting}
        for i, row in enumerate(found.table.rows())
    ]
    # The l2 of a fit falls as its C grows.
    values.sort(key=lambda row: -row["l2"])
    return [{"c": c, **row} for c, row in zip(sorted(config.cs), values, strict=True)]
