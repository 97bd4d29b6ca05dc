"""A linear class on some features: its optimum, its refits, and what SGD makes of it.

l2 is chosen once, on a held-out fifth, and then belongs to the class: every refit, on
whatever examples, minimises the same penalised objective. All refits are one sweep.
"""

from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common.draws import key_of
from experiments.common.losses import CERTIFIED
from experiments.common.study import Measured
from experiments.error_decomposition.config import (
    BOOTSTRAP,
    CHOICE,
    SGD,
    SPLITS,
    Config,
)
from experiments.svm_vs_softmax.protocol import momentum_with_cosine_decay
from jaxlin import objective
from jaxlin.linear import Params
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
from jaxlin.solvers import minibatch
from jaxlin.solvers.interface import Examples
from jaxlin.stats import metrics
from jaxlin.typing import Array

LOSS = CERTIFIED["softmax_cross_entropy"]
# Part of the training examples on which the l2 of a linear class is chosen.
_HELD_OUT = 0.2
# An objective that hardly moved, at a tiny rate, did not diverge.
_ROUNDING = 1.001


def measured(
    config: Config, problem: jaxlin.Problem, judge: jaxlin.Problem
) -> Measured:
    """Losses of the judge's examples under what was trained and all refits."""
    kept, refits = weightings(config, np.asarray(problem.examples.targets))
    flat = [kept, *(sets.reshape(-1, len(kept[0])) for sets in refits.values())]
    weight_sets = np.concatenate(flat)
    chosen = _chosen_l2(config, problem, weight_sets)
    models = grids.product(
        losses=(LOSS,), l2s=(chosen["l2"],), num_weight_sets=len(weight_sets)
    )
    # The part that chose l2 is of no more use.
    models = grids.subset(models, range(1, models.size))
    # First, so that nothing is fitted for nothing if it diverges.
    trained = by_sgd(config, problem, chosen["l2"])
    fits = _fitted(config, problem, models, weight_sets)
    ends = np.cumsum([len(some) for some in flat[1:-1]])
    of_trained = jax.device_get(losses_of(trained.params, judge.examples))
    of_refits = jax.device_get(_losses_of_models(fits.params, judge.examples))
    arrays = {f"trained-{kind}": some[None] for kind, some in of_trained.items()}
    for kind, losses in of_refits.items():
        parts = zip(refits.items(), np.split(losses, ends), strict=True)
        for (name, sets), some in parts:
            arrays[f"{name}-{kind}"] = some.reshape(*sets.shape[:-1], -1)
    best = jax.tree.map(lambda leaf: leaf[0], fits.params)
    on_train = jax.device_get(losses_of(best, problem.examples))
    primal, dual = (float(bound[0]) for bound in fits.certificate[:2])
    above = float(trained.certificate.primal)
    numbers = {
        **chosen,
        "features": problem.num_features,
        "fits": len(fits.converged),
        "certified": int(fits.converged.sum()),
        "largest_relative_gap": float(fits.relative_gap.max()),
        "objective": primal,
        "objective_trained": above,
        # What was trained is at least so far from what was found, and at most so far
        # from what there can be.
        "optimisation_on_objective": [max(0.0, above - primal), above - dual],
        "train": {
            kind: losses.mean(dtype=np.float64) for kind, losses in on_train.items()
        },
    }
    return Measured(numbers, arrays)


def weightings(
    config: Config, labels: np.ndarray
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Example weights of the fits that choose l2, and of all refits.

    Those of the refits have the names that `jaxlin.stats.decomposition` has.
    """
    number = len(labels)
    split = splits.stratified_split(key_of(config, CHOICE), labels, fraction=_HELD_OUT)
    kept = np.zeros((1, number), np.float32)
    kept[0, split.train] = 1
    parts = resampling.quarters(
        key_of(config, SPLITS), number, num_splits=config.splits
    )
    return kept, {
        "optimum": np.ones((1, number), np.float32),
        "halves": resampling.halves(parts),
        "quarters": parts[: config.quarter_splits].reshape(-1, number),
        "bootstrap": resampling.bootstrap(
            key_of(config, BOOTSTRAP), number, num_resamples=config.resamples
        ),
    }


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
    at_edge = place in (0, models.size - 1) and models.size > 1
    return {"l2": float(models.l2[place]), "l2_at_edge": at_edge}


def _fitted(
    config: Config, problem: jaxlin.Problem, models: Grid, weight_sets: np.ndarray
) -> SweepResult:
    """A sweep of as many fits at once as there are l2, so that two are one program."""
    classes, slots = problem.num_classes, len(config.l2)
    return sweep.fit_models(
        problem,
        models,
        plan=plans.plan(models, problem.examples, num_classes=classes, slots=slots),
        weight_sets=weight_sets,
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
    )


def by_sgd(config: Config, problem: jaxlin.Problem, l2: float) -> jaxlin.Fit:
    """Minibatch SGD at the learning rate that ends with the least objective.

    Raises:
      ValueError: if with every rate it ends above where it began, at about 0.
    """
    updates = minibatch.updates_per_epoch(
        problem.num_examples, batch_size=config.batch_size
    )
    trained = jaxlin.train(
        key_of(config, SGD),
        problem,
        loss=LOSS,
        make_optimizer=momentum_with_cosine_decay(config.sgd_epochs * updates),
        batch_size=config.batch_size,
        num_epochs=config.sgd_epochs,
        learning_rates=config.sgd_learning_rates,
        l2s=(l2,),
    )
    fits = [
        jaxlin.certify(
            problem,
            Params(*(leaf[0, 0, 0, rate] for leaf in trained.params)),
            loss=LOSS,
            l2=l2,
        )
        for rate in np.flatnonzero(~trained.diverged[0, 0, 0])
    ]
    ends = [float(fit.certificate.primal) for fit in fits]
    began, least = float(np.log(problem.num_classes)), np.nanmin([*ends, np.inf])
    if not least <= _ROUNDING * began:
        raise ValueError(
            "sgd_learning_rates must have one with which SGD does not diverge, got "
            f"{config.sgd_learning_rates}: the objective began at {began:.3g} and "
            f"ended at {least:.3g} at best; give smaller ones"
        )
    return fits[ends.index(least)]


@jax.jit
def losses_of(params: Params, examples: Examples) -> dict[str, Array]:
    """Losses of one model on each example.

    Returns:
      ``surrogate``: softmax cross-entropy, in nats; ``zero_one``: whether the label is
      wrong.
    """
    scores = objective.blocked_scores(
        params, examples.features, normalization=examples.normalization
    )
    surrogate = objective.example_losses(scores, examples.targets, loss=LOSS)
    is_right = metrics.correct(scores, examples.targets)
    return {"surrogate": surrogate, "zero_one": ~is_right}


_losses_of_models = jax.jit(jax.vmap(losses_of, in_axes=(0, None)))
