"""One sample: what is drawn, what is fitted on it, and what became of that."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxlin
from experiments.common import measurements, study, tasks
from experiments.common.losses import CERTIFIED
from experiments.common.run_folder import RunFolder
from experiments.common.study import Measured, Run
from experiments.common.tasks import TaskPart
from experiments.cross_validation import ideas, summary
from experiments.cross_validation.config import TEST, VALIDATION, Config, check_samples
from jaxlin import data, normalization
from jaxlin.selection import folds, grids, held_out_metrics, plans, splits, sweep
from jaxlin.selection.grids import Grid
from jaxlin.selection.plans import Plan
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array

# Holds the samples as they are measured.
_SAMPLES = "samples.json"

# Parts of a sample that are trained on; those of the folds come after them.
ALL, FOUR_FIFTHS, THREE_FIFTHS = range(3)
_FIRST_FOLD = 3

# What a sample draws from: keys folded with these never meet.
_EXAMPLES, _SPLIT, _FOLDS = range(3)

# So that all samples are fitted by one program. With a slot for each part few are ever
# idle, as all parts end at about the same time.
_NEVER_NARROWER = 2**62


class Pool(NamedTuple):
    """The population.

    Attributes:
      features: raw rows of both splits.
      labels: of each.
      problem: the same, for tests of models.
      num_classes: C.
      scale: of raw features.
    """

    features: np.ndarray
    labels: np.ndarray
    problem: jaxlin.Problem
    num_classes: int
    scale: float


class Weights(NamedTuple):
    """Example weights of a sample, each of shape ``(3 + folds, examples)``.

    Attributes:
      train: what each part is trained on.
      judge: what accuracy is measured on: all of it again, the test set, the validation
        set, each fold.
    """

    train: np.ndarray
    judge: np.ndarray


def parts(config: Config) -> Mapping[str, study.Part]:
    """The parts of a run: its samples, and what all of them say."""
    return {"samples": _samples, "summary": _summary}


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config with the plan of the sweep, if the data have enough examples.

    The plan is kept, so that a run with ``--config`` takes the same steps whatever the
    rule is then.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check_samples(config, dataset)
    plan = planned(config, pool(dataset))
    return dataclasses.replace(
        config, slots=sum(plan.slots), block_size=plan.block_size
    )


def task(config: Config, dataset: data.Dataset, run: Run, part: TaskPart) -> None:
    """Measures every N-th sample."""
    _keep_samples(config, dataset, run.folder, range(config.samples)[part.every])


def _samples(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Measures the samples, or takes them from the parts of tasks."""
    if config.parts == 1:
        _keep_samples(config, dataset, run.folder, range(config.samples))
    else:
        rows: list[Any] = [None] * config.samples
        for part in tasks.all_parts(config.parts):
            folder = RunFolder(run.folder.path / part.folder)
            rows[part.every] = records(folder)
        run.folder.write_json(_SAMPLES, {"rows": rows})
    plan = planned(config, pool(dataset))
    return Measured({"sweep": str(plan), "classes": dataset.num_classes})


def _keep_samples(
    config: Config, dataset: data.Dataset, folder: RunFolder, numbers: Sequence[int]
) -> None:
    """Measures the samples of these numbers, each kept as it is measured."""
    population = pool(dataset)
    measurements.kept_rows(
        folder,
        _SAMPLES,
        numbers,
        functools.partial(measured, config, population, planned(config, population)),
        unit="samples",
    )


def _summary(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    return Measured(summary.results(config, records(run.folder)))


def records(folder: RunFolder) -> list[ideas.Record]:
    """The records of all samples of a run."""
    return folder.read_json(_SAMPLES)["rows"]


def pool(dataset: data.Dataset) -> Pool:
    """Training and test examples together."""
    features = np.concatenate([dataset.train.features, dataset.test.features])
    labels = np.concatenate([dataset.train.labels, dataset.test.labels])
    problem = jaxlin.problem(features, labels, classes=range(dataset.num_classes))
    return Pool(features, labels, problem, dataset.num_classes, dataset.max_value)


def models_of(config: Config) -> Grid:
    """Every l2 on every part of a sample."""
    return grids.product(
        losses=(CERTIFIED[config.loss],),
        l2s=config.l2,
        num_weight_sets=_FIRST_FOLD + config.folds,
    )


def planned(config: Config, population: Pool) -> Plan:
    """Plan of the sweep of any sample: they have one shape."""
    rows: Any = (
        population.features[: config.examples],
        population.labels[: config.examples],
    )
    models, problem = models_of(config), Examples(*rows)
    plan = plans.plan(
        models,
        problem,
        num_classes=population.num_classes,
        slots=config.slots,
        block_size=config.block_size,
    )
    return plan._replace(compile_cost=_NEVER_NARROWER)


def _key(config: Config, number: int, purpose: int) -> Array:
    key = jax.random.fold_in(jax.random.key(config.seed), number)
    return jax.random.fold_in(key, purpose)


def drawn(config: Config, labels: np.ndarray, number: int) -> np.ndarray:
    """Indices of the examples of a sample, ascending."""
    key = _key(config, number, _EXAMPLES)
    fraction = config.examples / len(labels)
    return splits.stratified_split(key, labels, fraction=fraction).held_out


def weights(config: Config, labels: np.ndarray, number: int) -> Weights:
    """Training and judging parts of a sample with these labels."""
    split = splits.three_way_split(
        _key(config, number, _SPLIT),
        labels,
        validation_fraction=VALIDATION,
        test_fraction=TEST,
    )
    is_test, is_validation = np.zeros((2, len(labels)), bool)
    is_test[split.test], is_validation[split.validation] = True, True
    outside = np.flatnonzero(~is_test)
    fold_ids = np.full(len(labels), -1)
    fold_ids[outside] = folds.stratified_k_fold(
        _key(config, number, _FOLDS), labels[outside], num_folds=config.folds
    )
    everything = np.ones(len(labels), bool)
    train = [everything, ~is_test, ~is_test & ~is_validation]
    judge = [everything, is_test, is_validation]
    for fold in range(config.folds):
        train.append((fold_ids >= 0) & (fold_ids != fold))
        judge.append(fold_ids == fold)
    return Weights(*(np.stack(some).astype(np.float32) for some in (train, judge)))


def measured(
    config: Config, population: Pool, plan: Plan, number: int
) -> dict[str, Any]:
    """The record of a sample (see `experiments.cross_validation.ideas`)."""
    indices = drawn(config, population.labels, number)
    rows, labels = population.features[indices], population.labels[indices]
    fitted = normalization.fit_centered(rows, scale=population.scale)
    problem = jaxlin.problem(
        rows, labels, classes=range(population.num_classes), normalization=fitted
    )
    models, (train, judge) = models_of(config), weights(config, labels, number)
    fits = sweep.fit_models(
        problem,
        models,
        plan=plan,
        weight_sets=train,
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
    )
    within, _ = held_out_metrics.accuracy_and_loss(problem, fits, held_out=judge)
    by_part = [within[models.weight_set == part].tolist() for part in range(len(train))]
    record: dict[str, Any] = {
        "sample": number,
        "l2": models.l2[models.weight_set == ALL].tolist(),
        "accuracy": {
            "training": by_part[ALL],
            "test": by_part[FOUR_FIFTHS],
            "validation": by_part[THREE_FIFTHS],
            "folds": by_part[_FIRST_FOLD:],
        },
        "proofs": {
            "fits": models.size,
            "certified": int(fits.converged.sum()),
            "largest_gap": float(fits.relative_gap.max()),
            "passes": fits.slot_passes,
        },
    }
    outside = np.ones(len(population.labels), bool)
    outside[indices] = False
    judged = population.problem.with_normalization(fitted)
    return {**record, "truth": _truth(record, judged, fits, outside)}


def _truth(
    record: ideas.Record, judged: jaxlin.Problem, fits: SweepResult, outside: np.ndarray
) -> dict[str, Any]:
    """Accuracy on what was not drawn, of every fit that an idea may end with."""
    models = fits.models
    by_validation, by_folds = (
        record["l2"][ideas.chosen(record, ideas.IDEAS[name])]
        for name in ("train_validation_test", "cross_validation")
    )
    is_wanted = (
        (models.weight_set <= FOUR_FIFTHS)
        | ((models.weight_set == THREE_FIFTHS) & (models.l2 == by_validation))
        | ((models.weight_set >= _FIRST_FOLD) & (models.l2 == by_folds))
    )
    some = fits.take(np.flatnonzero(is_wanted))
    num_parts = int(models.weight_set.max()) + 1
    accuracy, _ = held_out_metrics.accuracy_and_loss(
        judged, some, held_out=np.broadcast_to(outside, (num_parts, len(outside)))
    )
    part = some.models.weight_set
    return {
        "all": accuracy[part == ALL].tolist(),
        "four_fifths": accuracy[part == FOUR_FIFTHS].tolist(),
        "three_fifths": accuracy[part == THREE_FIFTHS].tolist(),
        "folds": accuracy[part >= _FIRST_FOLD].tolist(),
    }
