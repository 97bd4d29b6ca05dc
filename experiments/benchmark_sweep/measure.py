"""Measurements: the price of a pass, of folds, of values of C."""

import functools
import time
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_sweep import gradient, peer
from experiments.benchmark_sweep.config import Config
from experiments.common import machine, timing
from experiments.common.study import Measured, Part, Run
from jaxlin import data, losses, normalization
from jaxlin.objective import penalties
from jaxlin.selection import folds, grids, plans, sweep, sweep_result, sweep_run
from jaxlin.solvers import batch_pass, model_batch
from jaxlin.typing import Loss

LOSSES: tuple[Any, ...] = (losses.softmax_cross_entropy, losses.weston_watkins_hinge)


def parts(config: Config) -> Mapping[str, Part]:
    """The parts that a config names, in their order."""
    found: dict[str, Part] = {
        # First: its first sweep is that of a new process, which compiles.
        "cs": _values_of_c,
        "folds": _cross_validation,
        "rate": _rate,
        "gradient": gradient.measure,
    }
    return {name: part for name, part in found.items() if name in config.what}


def prepared(dataset: data.Dataset, used: tuple[Loss, ...]) -> jaxlin.Problem:
    """The training rows with their preconditioner."""
    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    problem = jaxlin.problem(
        *dataset.train, classes=range(dataset.num_classes), normalization=fitted
    )
    jax.block_until_ready(problem.prepared(loss=used[0] if len(used) == 1 else None))
    return problem


def _rate(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Seconds of one pass against the number of models, each loss."""
    rates = machine.matrix_rate(
        size=config.matrix_size, rounds=5, settle_s=config.settle_s
    )
    fastest = max(rates.values())
    rows = []
    for loss in LOSSES:
        problem = prepared(dataset, (loss,)).prepared(loss=loss)
        for models in config.rate_models:
            batch = model_batch.empty(
                models, problem, num_classes=dataset.num_classes, loss=loss
            )
            candidate = 1e-3 * jax.random.normal(
                jax.random.key(0), batch.state.candidate.shape
            )
            batch = batch._replace(state=batch.state._replace(candidate=candidate))
            evaluate = functools.partial(
                batch_pass.evaluate, (batch,), problem, None, losses=(loss,)
            )
            timing.timed(evaluate)
            seconds = timing.interleaved(
                {"": evaluate}, rounds=config.rate_rounds, settle_s=config.settle_s
            )
            median = float(np.median(seconds[""]))
            num_rows, num_features = problem.features.shape
            work = 4e-9 * num_rows * num_features * dataset.num_classes * models
            rows.append(
                {
                    "loss": loss.__name__,
                    "models": models,
                    "seconds": median,
                    "seconds_per_model": median / models,
                    "share_of_rate": work / median / fastest,
                }
            )
            print("rate", rows[-1], flush=True)
    return Measured({"matrix_rate": rates, "rows": rows})


def _cross_validation(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """A sweep over folds, losses and l2; and one fold's models alone."""
    labels = dataset.train.labels
    key = jax.random.key(config.seed)
    fold_ids = folds.stratified_k_fold(key, labels, num_folds=config.folds)
    weights = folds.train_weights(fold_ids, num_folds=config.folds)
    problem, preparation = timing.timed(prepared, dataset, LOSSES)
    models = grids.product(
        losses=LOSSES, l2s=config.fold_l2s, num_weight_sets=config.folds
    )
    plan = plans.plan(models, problem.examples, num_classes=dataset.num_classes)
    print(plan, flush=True)
    fits, fitting = timing.timed(
        lambda: sweep.fit_models(
            problem,
            models,
            plan=plan,
            weight_sets=weights,
            stop=jaxlin.Stop(config.relative_gap),
        )
    )
    seconds = preparation + fitting
    print(f"folds: {seconds:.0f} s, {fits.converged.mean():.1%} certified", flush=True)
    alone = _alone(config, dataset, problem, models, weights)
    return Measured(
        {
            "models": models.size,
            "plan": plan._asdict(),
            "seconds": seconds,
            "preparation_seconds": preparation,
            "certified": int(fits.converged.sum()),
            "largest_gap": float(fits.relative_gap.max()),
            "paid": fits.slot_passes,
            "passes": int(fits.passes.sum()),
            "alone_of_one_fold": alone,
            "paid_over_alone": fits.slot_passes / (config.folds * sum(alone)),
        }
    )


def _alone(config, dataset, problem, models, weights) -> list[int]:
    """Passes of each model of the first fold, fitted by itself from zero."""
    only = jaxlin.problem(
        *dataset.train,
        weights=weights[0],
        classes=problem.classes,
        normalization=problem.normalization,
    )
    fits = [
        jaxlin.fit(
            only,
            loss=models.losses[models.loss[model]],
            l2=float(models.l2[model]),
            stop=jaxlin.Stop(config.relative_gap),
        )
        for model in np.flatnonzero(models.weight_set == 0)
    ]
    return [fit.passes for fit in fits]


def _values_of_c(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """A sweep over values of C, compiled and not, and scikit-learn over some."""
    runs = []
    for _ in range(1 + config.c_rounds):
        time.sleep(config.settle_s)
        fits, seconds = timing.timed(_sweep_of_c, config, dataset)
        runs.append(seconds)
        print(f"cs: {runs[-1]:.1f} s", flush=True)
    models = fits.models
    by_c = np.argsort(-models.l2)
    rows = [
        {
            "c": c,
            "l2": float(models.l2[model]),
            "objective": float(fits.certificate.primal[model]),
            "relative_gap": float(fits.relative_gap[model]),
            "passes": int(fits.passes[model]),
        }
        for c, model in zip(sorted(config.cs), by_c, strict=True)
    ]
    peers = _peers(config, dataset, rows)
    share, median = len(rows) / len(peers), float(np.median(runs[1:]))
    totals = {
        kind: share * sum(one[kind]["seconds"] for one in peers)
        for kind in ("default", "equal")
    }
    return Measured(
        {
            "seconds_with_compiling": runs[0],
            "seconds": median,
            "all_seconds": runs[1:],
            "paid": fits.slot_passes,
            "passes": int(fits.passes.sum()),
            "rows": rows,
            "peers": peers,
            "peer_seconds": totals,
            "times_faster": {kind: total / median for kind, total in totals.items()},
            "as_low_as_default": sum(
                one["ours"]["objective"]
                <= one["default"]["objective"] * (1 + config.relative_gap)
                for one in peers
            ),
            "equal_is_lower_bound": not all(one["equal"]["reached"] for one in peers),
        }
    )


def _sweep_of_c(config: Config, dataset: data.Dataset) -> sweep_result.SweepResult:
    """A whole sweep over the values of C, preparation included."""
    problem = prepared(dataset, LOSSES[:1])
    l2s = penalties.l2_of_c(
        config.cs,
        total_weight=len(dataset.train.labels),
        num_classes=dataset.num_classes,
    )
    models = grids.product(losses=LOSSES[:1], l2s=l2s)
    budgets = np.where(
        models.l2 >= config.certified_from, config.budget, config.budget_below
    )
    how: Any = {"num_classes": dataset.num_classes}
    examples = problem.prepared(loss=LOSSES[0])
    inputs = sweep_run.SweepInputs(
        examples,
        models,
        plan=plans.plan(models, examples, **how),
        relative_gap=config.relative_gap,
        max_passes=budgets.tolist(),
        **how,
    )
    *_, last = sweep_run.run(inputs)
    stop = jaxlin.Stop(config.relative_gap)
    return sweep_result.collect(last, models, problem, stop=stop)


def _peers(
    config: Config, dataset: data.Dataset, rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Scikit-learn at some values of C: at its defaults, and to our objective."""
    train, _ = all_rows.of(dataset)
    inputs = train.extended()
    chosen = np.linspace(0, len(rows) - 1, config.peer_fits).round().astype(int)
    peers = []
    for i in chosen:
        row = rows[i]
        default = peer.fit(train, inputs, row["c"])
        equal = default | {"reached": True}
        target = row["objective"] * (1 + config.relative_gap)
        if default["objective"] > target:
            how: Any = {"target": target, "deadline_s": config.peer_deadline_s}
            equal = peer.reaching(train, inputs, row["c"], **how)
        peers.append({"c": row["c"], "ours": row, "default": default, "equal": equal})
        print("scikit-learn", peers[-1], flush=True)
    return peers
