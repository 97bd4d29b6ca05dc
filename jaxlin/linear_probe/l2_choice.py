"""Comparison of l2 on held-out examples, each part with a normalization of its own."""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlin.io.checkpoint import Path
from jaxlin.linear import BiasName
from jaxlin.linear_probe import examples
from jaxlin.linear_probe.examples import ProbeExamples
from jaxlin.problems import Problem
from jaxlin.problems.target_sets import TargetSets
from jaxlin.selection import cross_validation, grids, sweep
from jaxlin.selection import parts as selection_parts
from jaxlin.selection.cross_validation import CrossValidation
from jaxlin.selection.grids import Grid
from jaxlin.selection.parts import Parts
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import SweepCallback
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss


class SweepOptions(NamedTuple):
    """Keywords of `jaxlin.sweep` that a probe hands on."""

    stop: Stop
    checkpoint: Path | Parts | None
    callback: SweepCallback | None
    slots: int | None
    block_size: int | None
    memory_bytes: int | None


class Choice(NamedTuple):
    """Chosen l2.

    Attributes:
      l2: chosen strength of the penalty, of the compared fits.
      setting: index of the chosen setting in the table; 0 without a table.
      fits: fits at the chosen l2, one per part.
      table: scores of every l2 on the parts; None without parts.
    """

    l2: float
    setting: int
    fits: tuple[Fit, ...]
    table: CrossValidation | None

    @property
    def at_edge(self) -> bool:
        """True if the chosen l2 is the smallest or the largest of several."""
        if self.table is None or len(self.table.l2) == 1:
            return False
        return self.l2 in (self.table.l2.min(), self.table.l2.max())


def choose_l2(
    given: ProbeExamples,
    l2s: Sequence[float],
    *,
    loss: Loss,
    bias: BiasName,
    choose: Choose,
    mean_per_class: bool,
    options: SweepOptions,
) -> Choice:
    """Fits every l2 without each part, scores it on the part and chooses one.

    One sweep fits the models of all parts; one sweep per part where each part has a
    normalization of its own.

    Args:
      given: training examples.
      l2s: distinct strengths of the penalty, above 0.
      loss: loss with a conjugate.
      bias: treatment of the bias.
      choose: selection rule.
      mean_per_class: whether accuracy and loss are means over classes.
      options: keywords of the sweeps.
    """
    parts = given.parts
    if not len(parts):
        return Choice(l2s[0], 0, (), None)
    factors = examples.held_out_factors(given, mean_per_class=mean_per_class)
    tables = []
    for problem, group, own in sweeps(given, options):
        models = grids.product(
            losses=(loss,), l2s=l2s, num_weight_sets=len(group), bias=bias
        )
        fits = sweep_of(problem, models, weight_sets=1 - parts[group], options=own)
        tables.append(cross_validation.tabulate(problem, fits, held_out=factors[group]))
    table = tables[0] if len(tables) == 1 else _joined(tables)
    table = table._replace(num_repeats=given.num_repeats)
    setting = table.chosen(loss, choose=choose)
    chosen = tuple(
        table.fits[setting * len(parts) + part] for part in range(len(parts))
    )
    return Choice(float(table.l2[setting]), setting, chosen, table)


def sweeps(
    given: ProbeExamples, options: SweepOptions
) -> Iterator[tuple[Problem, np.ndarray, SweepOptions]]:
    """Problem, indices of the parts and options of each sweep of a comparison.

    Args:
      given: training examples; all parts share a sweep unless each has a normalization
        of its own.
      options: keywords of the sweeps; the checkpoint of each is made from them.
    """
    indices = np.arange(len(given.parts))
    groups = [indices] if len(given.part_problems) == 1 else indices[:, None]
    for problem, group in zip(given.part_problems, groups, strict=True):
        own = options
        if options.checkpoint is not None and len(groups) > 1:
            file = _checkpoint_of_sweep(options.checkpoint, group[0], len(groups))
            if file is None:
                continue
            own = options._replace(checkpoint=file)
        yield problem, group, own


def sweep_of(
    problem: Problem,
    models: Grid,
    *,
    weight_sets: np.ndarray,
    target_sets: TargetSets | None = None,
    refine: bool | None = None,
    options: SweepOptions,
) -> SweepResult:
    """`jaxlin.selection.sweep.fit_models` with the options of a probe."""
    return sweep.fit_models(
        problem,
        models,
        weight_sets=weight_sets,
        target_sets=target_sets,
        refine=refine,
        stop=options.stop,
        checkpoint=options.checkpoint,
        callback=options.callback,
        plan=sweep.make_plan(
            models,
            problem,
            slots=options.slots,
            block_size=options.block_size,
            memory_bytes=options.memory_bytes,
        ),
    )


def _checkpoint_of_sweep(
    checkpoint: Path | Parts, number: int, num_sweeps: int
) -> Path | Parts | None:
    """Checkpoint of one of several sweeps; None if only a part of another is wanted."""
    if isinstance(checkpoint, Parts):
        return selection_parts.of_sweep(checkpoint, number, num_sweeps=num_sweeps)
    path = pathlib.Path(checkpoint)
    return path.with_name(f"{path.stem}-{number}{path.suffix}")


def _joined(tables: Sequence[CrossValidation]) -> CrossValidation:
    """One table of the tables of single parts."""

    def by_part(name: str) -> np.ndarray:
        return np.concatenate([getattr(one, name) for one in tables], axis=1)

    # Parts vary fastest.
    num_settings = len(tables[0].l2)
    order = np.arange(len(tables) * num_settings).reshape(-1, num_settings).T.ravel()
    return tables[0]._replace(
        accuracy=by_part("accuracy"),
        loss=by_part("loss"),
        relative_gap=by_part("relative_gap"),
        fits=_joined_fits([one.fits for one in tables]).take(order),
    )


def _joined_fits(results: Sequence[SweepResult]) -> SweepResult:
    """One result of sweeps of one grid with one weight set each, in their order."""
    count, first = len(results), results[0].models
    sets = np.repeat(np.arange(count), first.size)
    arguments = {
        name: np.tile(value, count) for name, value in first.loss_arguments.items()
    }
    models = first._replace(
        loss=np.tile(first.loss, count),
        l2=np.tile(first.l2, count),
        loss_arguments=arguments,
        weight_set=sets.astype(np.int32),
        l2_path=np.tile(first.l2_path, count) + sets.astype(np.int32),
    )

    def all_of(name: str) -> Any:
        values = [getattr(result, name) for result in results]
        return jax.tree.map(lambda *leaves: np.concatenate(leaves), *values)

    names = ("params", "certificate", "relative_gap", "converged", "stalled", "passes")
    return dataclasses.replace(
        results[0],
        models=models,
        **{name: all_of(name) for name in (*names, "float64_passes", "bias_radius")},
        slot_passes=sum(result.slot_passes for result in results),
        normalization=tuple(result[0].normalization for result in results),
    )
