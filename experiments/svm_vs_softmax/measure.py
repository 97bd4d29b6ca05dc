"""The fits of both losses, each to a proven gap, and how far SGD stays from them."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common.progress import progress
from experiments.common.study import Measured, Part, Run
from experiments.svm_vs_softmax import protocol, tested
from experiments.svm_vs_softmax.config import Config
from jaxlin import Fit, data, linear, objective
from jaxlin.linear import Params
from jaxlin.solvers import interface, minibatch
from jaxlin.solvers.interface import Examples, Settings
from jaxlin.typing import Array, Loss


def parts(config: Config) -> Mapping[str, Part]:
    """The parts of a run; the last one alone reads the test set."""
    return {"paths": _paths, "optima": _optima, "sgd": _sgd, "test": tested.test}


def _paths(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Fits every l2 on the training split, and chooses by validation."""
    split = protocol.split(config, dataset.train.labels)
    searched = protocol.problem(dataset, split.train)
    features, labels = (part[split.held_out] for part in dataset.train)
    names = np.array(dataset.class_names)[labels]
    numbers = {}
    for name, loss in protocol.LOSSES.items():
        fits = []
        with progress(name, total=len(config.path_l2), unit="fits") as advance:
            for fit in _path(config, searched, loss):
                right = jaxlin.predict(fit, features) == names
                fits.append({**_record(fit), "validation_accuracy": right.mean()})
                advance(1, str(fit))
        choice = choose(fits)
        numbers[name] = {
            "fits": fits,
            "choice": choice,
            "at_edge": len(fits) > 1 and choice in (0, len(fits) - 1),
            "num_held_out": len(labels),
        }
    return Measured(numbers)


def _path(config: Config, problem: jaxlin.Problem, loss: Loss) -> Iterator[Fit]:
    """Yields a fit for each l2, from the largest, each from the one before it."""
    stop = jaxlin.Stop(config.relative_gap, config.max_passes)
    fit = None
    for l2 in sorted(config.path_l2, reverse=True):
        fit = jaxlin.fit(problem, loss=loss, l2=l2, stop=stop, start=fit)
        yield fit


def choose(fits: list[dict[str, Any]]) -> int:
    """Index of the most accurate fit; of equal ones the most penalised."""
    return max(
        range(len(fits)), key=lambda i: (fits[i]["validation_accuracy"], fits[i]["l2"])
    )


def _optima(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Fits the chosen l2 of each loss to all training examples, from weights 0."""
    problem = protocol.problem(dataset)
    numbers: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    fits: dict[str, Fit] = {}
    for name, loss in protocol.LOSSES.items():
        chosen = run.numbers("paths")[name]
        proofs: list[Any] = []
        with progress(name, total=config.max_passes, unit="passes") as advance:

            def callback(passes: int, info: Any, proofs=proofs, advance=advance):
                proofs.append(jax.tree.map(float, info.certificate))
                advance(1, f"relative gap {info.relative_gap:.1e}")

            fit = jaxlin.fit(
                problem,
                loss=loss,
                l2=chosen["fits"][chosen["choice"]]["l2"],
                stop=jaxlin.Stop(config.polished_gap, config.max_passes),
                refine=True,
                callback=callback,
            )
        bounds, objectives = _best_so_far(proofs)
        proof = fit.certificate
        numbers[name] = {
            **_record(fit),
            "rounding": proof.rounding / proof.primal,
            "lower_bound": proof.primal - proof.gap - proof.rounding,
            "float64_passes": fit.float64_passes,
            "radius": fit.radius,
            "passes_to_gap": _passes_to(config.relative_gap, bounds / proof.primal),
        }
        arrays |= {f"{name}_bounds": bounds, f"{name}_objectives": objectives}
        fits[name] = fit
    return Measured(numbers, arrays, fits)


def _record(fit: Fit) -> dict[str, Any]:
    return {
        "l2": fit.l2,
        "objective": fit.certificate.primal,
        "relative_gap": fit.relative_gap,
        "converged": fit.converged,
        "passes": fit.passes,
    }


def _best_so_far(proofs: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Bound and objective of the best parameters after each pass."""
    bounds = np.array([proof.gap + proof.rounding for proof in proofs])
    # A float64 refinement begins with a proof that is weaker than the last.
    is_best = bounds <= np.minimum.accumulate(bounds)
    best = np.maximum.accumulate(np.where(is_best, np.arange(len(bounds)), 0))
    return bounds[best], np.array([proofs[i].primal for i in best])


def _passes_to(relative: float, proven: np.ndarray) -> int | None:
    """Passes until so much was proven."""
    reached = np.flatnonzero(proven <= relative)
    return int(reached[0]) + 1 if len(reached) else None


def _sgd(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Distance of SGD from the optimum after each epoch, by the certificate.

    The dual value of the certified fit of the same rows is a lower bound of the
    minimum: the objective of any parameters less that bound is the largest distance
    that they can have.
    """
    problem = protocol.problem(dataset)
    unit, bounds = protocol.learning_rate_unit(problem), run.arrays("optima")
    numbers: dict[str, Any] = {"learning_rate_unit": unit}
    for name, loss in protocol.LOSSES.items():
        optimum = run.numbers("optima")[name]
        rates = [unit * rate for rate in learning_rates(config, name)]
        objectives = _sgd_objectives(
            config, problem, loss, np.array(rates), optimum["l2"]
        )
        relative = (objectives - optimum["lower_bound"]) / optimum["objective"]
        proven = bounds[f"{name}_bounds"] / optimum["objective"]
        numbers[name] = [
            {
                "learning_rate": rate,
                "relative_distance": distances,
                "certified_as_close_after": _passes_to(distances[-1], proven),
            }
            for rate, distances in zip(rates, relative.T, strict=True)
        ]
    return Measured(numbers)


def learning_rates(config: Any, name: str) -> list[float]:
    """Learning rates of SGD for a loss, ascending, in units."""
    return sorted(
        {
            protocol.HINGE: config.hinge_learning_rates,
            protocol.SOFTMAX: config.softmax_learning_rates,
        }[name]
    )


def _sgd_objectives(
    config: Config, problem: jaxlin.Problem, loss: Loss, rates: np.ndarray, l2: float
) -> np.ndarray:
    """Objectives after each epoch, shape ``(epochs, learning rates)``, in float64."""
    examples, key = problem.examples, protocol.key(config, protocol.SGD)
    updates = minibatch.updates_per_epoch(
        problem.num_examples, batch_size=config.batch_size
    )
    solver = interface.map_settings(
        minibatch.solver(
            loss=loss,
            make_optimizer=protocol.momentum_with_cosine_decay(config.epochs * updates),
            batch_size=config.batch_size,
        )
    )
    start = linear.init(
        jax.random.fold_in(key, 0),
        num_classes=problem.num_classes,
        num_features=problem.num_features,
    )
    settings = Settings(rates, np.full(len(rates), l2))
    chunks = interface.run(
        solver,
        jax.random.fold_in(key, 1),
        solver.init(start, examples, settings),
        examples,
        settings,
        num_steps=config.epochs,
    )
    objectives = []
    for _, state, _ in chunks:
        # A distance of 1e-6 is a difference that float32 does not have.
        with jax.enable_x64(True):
            wide = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), state.params)
            found = _objectives(wide, examples, np.float64(l2), loss=loss)
        objectives.append(np.asarray(found))
    return np.stack(objectives)


@functools.partial(jax.jit, static_argnames="loss")
def _objectives(params: Params, examples: Examples, l2: Array, *, loss: Loss) -> Array:
    """Objectives of models on a leading axis."""

    def one(params: Params) -> Array:
        scores = objective.blocked_scores(
            params, examples.features, normalization=examples.normalization
        )
        losses = objective.example_losses(scores, examples.targets, loss=loss)
        return jnp.mean(losses) + objective.penalty(params, l2=l2)

    return jax.vmap(one)(params)
