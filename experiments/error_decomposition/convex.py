"""A linear class on some features: its optimum, its refits, and what SGD makes of it.

l2 is chosen once, on a held-out fifth, and then belongs to the class: every refit, on
whatever examples, minimises the same penalised objective. All refits are one sweep.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxlin
from experiments.common.study import Measured
from experiments.error_decomposition import config as settings
from experiments.error_decomposition import losses_of
from experiments.error_decomposition.config import Config
from experiments.error_decomposition.losses_of import LOSS
from experiments.error_decomposition.sample import (
    BOOTSTRAP,
    CHOICE,
    SGD,
    SPLITS,
    Sample,
    key,
)
from jaxlin import linear
from jaxlin.certificates import duality
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.selection import (
    grids,
    held_out_metrics,
    plans,
    resampling,
    rules,
    splits,
    sweep,
)
from jaxlin.selection.grids import Grid
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import interface, minibatch
from jaxlin.solvers.interface import Examples
from jaxlin.typing import MakeOptimizer

# An objective that hardly moved, at a tiny rate, did not diverge.
_ROUNDING = 1.001


class Rows(NamedTuple):
    """Features of the training and the test examples.

    Attributes:
      train: shape ``(n, features)``.
      test: shape ``(test examples, features)``.
      normalization: of both, made from the training rows.
    """

    train: Any
    test: Any
    normalization: Normalization


def measured(config: Config, sample: Sample, rows: Rows) -> Measured:
    """Losses of test examples under what was trained and all refits."""
    how: dict[str, Any] = {
        "classes": range(sample.num_classes),
        "normalization": rows.normalization,
    }
    problem = jaxlin.problem(rows.train, sample.train_labels, **how)
    judge = jaxlin.problem(rows.test, sample.test_labels, **how).examples
    weight_sets = all_weightings(config, sample)
    chosen = _chosen_l2(config, problem, weight_sets)
    models = grids.product(
        losses=(LOSS,), l2s=(chosen["l2"],), num_weight_sets=len(weight_sets)
    )
    # The part that chose l2 is of no more use.
    models = grids.subset(models, range(1, models.size))
    # First, so that nothing is fitted for nothing if it diverges.
    trained, certificate = _by_sgd(config, sample, problem.examples, chosen["l2"])
    fits = _fitted(config, problem, models, weight_sets)
    on_test = losses_of.of_models(fits.params, judge)
    of_trained = losses_of.of_model(trained, judge)
    arrays = {
        f"{name}-{kind}": values
        for kind in losses_of.KINDS
        for name, values in _named(
            config, getattr(of_trained, kind), getattr(on_test, kind)
        ).items()
    }
    best = jax.tree.map(lambda leaf: leaf[0], fits.params)
    on_train = losses_of.of_model(best, problem.examples)
    primal, dual = (
        float(part[0]) for part in (fits.certificate.primal, fits.certificate.dual)
    )
    above = float(certificate.primal)
    numbers = {
        **chosen,
        "features": problem.num_features,
        "fits": len(fits.converged),
        "certified": int(fits.converged.sum()),
        "largest_relative_gap": float(fits.relative_gap.max()),
        "evaluations": int(fits.slot_passes),
        "objective": primal,
        "objective_trained": above,
        # What was trained is at least so far from what was found, and at most so far
        # from what there can be.
        "optimisation_on_objective": [max(0.0, above - primal), above - dual],
        "train_surrogate": float(on_train.surrogate.mean(dtype=np.float64)),
        "train_zero_one": float(on_train.zero_one.mean()),
    }
    return Measured(numbers, arrays)


def all_weightings(config: Config, sample: Sample) -> np.ndarray:
    """Example weights, one row each.

    Of the fits that choose l2; of all examples; of halves, quarters, resamples.
    """
    labels, number = sample.train_labels, len(sample.train_labels)
    split = splits.stratified_split(
        key(config, CHOICE), labels, fraction=settings.HELD_OUT
    )
    kept = np.zeros((1, number), np.float32)
    kept[0, split.train] = 1
    parts = resampling.quarters(key(config, SPLITS), number, num_splits=config.splits)
    drawn = resampling.bootstrap(
        key(config, BOOTSTRAP), number, num_resamples=config.resamples
    )
    return np.concatenate(
        [
            kept,
            np.ones((1, number), np.float32),
            resampling.halves(parts).reshape(-1, number),
            parts[: config.quarter_splits].reshape(-1, number),
            drawn,
        ]
    )


def _chosen_l2(
    config: Config, problem: jaxlin.Problem, weight_sets: np.ndarray
) -> dict[str, Any]:
    """The l2 with the best accuracy on a held-out fifth; of equals the strongest."""
    models = grids.product(losses=(LOSS,), l2s=config.l2)
    fits = _fitted(config, problem, models, weight_sets)
    accuracy, _ = held_out_metrics.accuracy_and_loss(
        problem, fits, held_out=1 - weight_sets[:1]
    )
    place = rules.best(accuracy[:, None], strength=models.l2)
    return {
        "l2": float(models.l2[place]),
        "l2_at_edge": place in (0, models.size - 1) and models.size > 1,
        "held_out_accuracy": float(accuracy[place]),
    }


def _fitted(
    config: Config, problem: jaxlin.Problem, models: Grid, weight_sets: np.ndarray
) -> SweepResult:
    """Plan of as many fits at once as there are l2: both sweeps are one program.

    Compiling another would take longer than the few models that choose l2, each of
    which so begins at 0.
    """
    return sweep.fit_models(
        problem,
        models,
        plan=plans.plan(
            models,
            problem.examples,
            num_classes=problem.num_classes,
            slots=len(config.l2),
        ),
        weight_sets=weight_sets,
        stop=jaxlin.Stop(config.relative_gap, config.max_evaluations),
    )


def _named(
    config: Config, trained: np.ndarray, fitted: np.ndarray
) -> dict[str, np.ndarray]:
    """Losses by what they are of, as `jaxlin.stats.decomposition.Measured` has them."""
    ends = np.cumsum([1, 2 * config.splits, 4 * config.quarter_splits])
    optimum, halves, quarters, drawn = np.split(fitted, ends)
    return {
        "trained": trained[None],
        "optimum": optimum,
        "halves": halves.reshape(config.splits, 2, -1),
        "quarters": quarters,
        "bootstrap": drawn,
    }


def _by_sgd(
    config: Config, sample: Sample, problem: Examples, l2: float
) -> tuple[Params, duality.Certificate]:
    """Minibatch SGD at the learning rate that ends with the least objective.

    Raises:
      ValueError: if with every rate it ends above where it began.
    """
    rates = jnp.array(config.sgd_learning_rates)
    solver = interface.map_settings(
        minibatch.solver(
            loss=LOSS,
            make_optimizer=momentum(settings.updates(config, len(sample.train_labels))),
            batch_size=config.batch_size,
        )
    )
    start = linear.init(
        key(config, SGD),
        num_classes=sample.num_classes,
        num_features=problem.features.shape[1],
    )
    grid = interface.Settings(learning_rate=rates, l2=jnp.full(len(rates), l2))
    # Its preconditioner is of no use here, and another shape would be another program.
    plain = problem._replace(preconditioner=None)
    state = solver.init(start, plain, grid)
    for _, after, _ in interface.run(
        solver, key(config, SGD), state, plain, grid, num_steps=config.sgd_epochs
    ):
        state = after
    found = []
    for place in range(len(rates)):
        params = jax.tree.map(lambda leaf, i=place: leaf[i], state.params)
        certificate = _certificate(params, problem, l2)
        if bool(jnp.isfinite(certificate.primal)):
            found.append((params, certificate))
    best = min(found, key=lambda one: float(one[1].primal), default=None)
    began = float(_certificate(start, problem, l2).primal)
    if best is None or not float(best[1].primal) <= _ROUNDING * began:
        ended = f"at {float(best[1].primal):.3g} at best" if best else "at no number"
        raise ValueError(
            "sgd_learning_rates must have one with which SGD does not diverge, got "
            f"{config.sgd_learning_rates}: the objective began at {began:.3g} and "
            f"ended {ended}; give smaller ones"
        )
    return best


def _certificate(params: Params, problem: Examples, l2: float) -> duality.Certificate:
    return duality.certificate(
        params,
        problem.features,
        problem.targets,
        loss=LOSS,
        l2=l2,
        normalization=problem.normalization,
    )


@functools.cache
def momentum(num_updates: int) -> MakeOptimizer:
    """SGD with momentum whose learning rate falls to zero along a half cosine."""
    decay = optax.cosine_decay_schedule(1.0, num_updates)

    def make_optimizer(learning_rate):
        return optax.sgd(lambda count: learning_rate * decay(count), momentum=0.9)

    return make_optimizer
