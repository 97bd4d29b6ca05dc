"""Certified fits of a run: a path over l2, the choice, the polished refit on all rows.

Each fit is saved when it is done, with what the next one starts from, so that a resumed
run fits nothing twice and goes on as if it had not been stopped.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.common import interrupts
from experiments.common.progress import progress
from experiments.common.run_folder import RunFolder
from experiments.svm_vs_softmax import protocol
from experiments.svm_vs_softmax.certified import saved
from experiments.svm_vs_softmax.certified.saved import Optimum, Tried
from experiments.svm_vs_softmax.config import Config
from experiments.svm_vs_softmax.protocol import Method
from jaxlin import Fit, Problem
from jaxlin.certificates.duality import Certificate
from jaxlin.solvers.interface import Examples


class Path(NamedTuple):
    """The path of one method, from the largest l2 to the smallest, and the choice.

    Attributes:
      tried: a fit for each l2.
      choice: index in it of the best on validation.
      at_edge: whether a wider grid might do better.
    """

    tried: list[Tried]
    choice: int
    at_edge: bool

    @property
    def chosen(self) -> Tried:
        """The fit of the chosen l2."""
        return self.tried[self.choice]


def are_finished(folder: RunFolder, config: Config, methods: list[Method]) -> bool:
    """Whether nothing is left to fit."""
    return all(
        saved.file(folder, _refit_stage(method)).exists()
        and len(saved.load_path(saved.file(folder, _path_stage(method))))
        == len(config.path_l2)
        for method in methods
    )


def fit_path(
    folder: RunFolder,
    config: Config,
    method: Method,
    problem: Problem | None,
    held_out: Examples,
) -> Path:
    """Fits every l2 on the training split, or those that are not saved yet.

    Args:
      folder: of the run.
      config: of the run.
      method: whose loss is fitted.
      problem: the training split; None if all is saved.
      held_out: the examples that the choice is made on.
    """
    stage = _path_stage(method)
    file = saved.file(folder, stage)
    l2s = sorted(config.path_l2, reverse=True)
    tried = saved.load_path(file)
    done = len(tried)
    # A kill between the metrics and the saving of a fit leaves a line too many.
    folder.truncate_metrics(
        lambda record: record["stage"] != stage or record["fit"] <= done
    )
    if done < len(l2s):
        assert problem is not None, "what is not saved has a problem to be fitted on"
        last = saved.load_last(file, tried[-1], problem, method.loss) if tried else None
        stop = jaxlin.Stop(config.relative_gap, config.max_evaluations)
        with (
            interrupts.held_back() as stop_if_asked,
            progress(stage, total=len(l2s), unit="fits", done=done) as advance,
        ):
            for l2 in l2s[done:]:
                last = jaxlin.fit(
                    problem, loss=method.loss, l2=l2, stop=stop, start=last
                )
                tried.append(_tried(last, held_out))
                record = {"stage": stage, "fit": len(tried), **saved.record(tried[-1])}
                folder.append_metrics(record)
                saved.save_path(file, tried, last)
                advance(1, _note(tried[-1]))
                stop_if_asked()
    choice = choose([one.validation_accuracy for one in tried], l2s)
    return Path(tried, choice, len(l2s) > 1 and choice in (0, len(l2s) - 1))


def choose(accuracies: list[float], l2s: list[float]) -> int:
    """The most accurate; of equal ones the most penalised."""
    return max(range(len(l2s)), key=lambda i: (accuracies[i], l2s[i]))


def fit_chosen(
    folder: RunFolder,
    config: Config,
    method: Method,
    l2: float,
    problem: Problem,
) -> Optimum:
    """Fits all training examples from weights 0 to ``polished_gap``, if not saved."""
    stage = _refit_stage(method)
    file = saved.file(folder, stage)
    if file.exists():
        return saved.load_optimum(
            file, num_classes=problem.num_classes, num_features=problem.num_features
        )
    folder.truncate_metrics(lambda record: record["stage"] != stage)
    proofs: list[Certificate] = []
    with (
        interrupts.held_back() as stop_if_asked,
        progress(stage, total=config.max_evaluations, unit="evaluations") as advance,
    ):

        def callback(passes: int, info: Any) -> None:
            del passes
            proofs.append(jax.tree.map(float, info.certificate))
            advance(1, f"proven relative gap {info.relative_gap:.1e}")

        fitted = jaxlin.fit(
            problem,
            loss=method.loss,
            l2=l2,
            stop=jaxlin.Stop(config.polished_gap, config.max_evaluations),
            refine=True,
            callback=callback,
        )
        bounds = np.array([proof.gap + proof.rounding for proof in proofs])
        # The polish begins with a proof of its own, at first weaker than the last.
        is_best = bounds <= np.minimum.accumulate(bounds)
        best = np.maximum.accumulate(np.where(is_best, np.arange(len(proofs)), 0))
        optimum = Optimum(
            params=jax.tree.map(np.asarray, fitted.params),
            bounds=bounds[best],
            objectives=np.array([proofs[i].primal for i in best]),
            l2=fitted.l2,
            certificate=fitted.certificate,
            relative_gap=fitted.relative_gap,
            converged=fitted.converged,
            evaluations=fitted.passes,
            float64_evaluations=fitted.float64_passes,
        )
        folder.append_metrics(
            *(
                {
                    "stage": stage,
                    "evaluation": i + 1,
                    "objective": optimum.objectives[i],
                    "proven_bound": optimum.bounds[i],
                }
                for i in range(len(proofs))
            )
        )
        saved.save_optimum(file, optimum)
        stop_if_asked()
    return optimum


def _path_stage(method: Method) -> str:
    return f"{method.name}-path"


def _refit_stage(method: Method) -> str:
    return f"{method.name}-optimum"


def _tried(fitted: Fit, held_out: Examples) -> Tried:
    # One seed and one setting, to the function that judges grids.
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None, None], fitted.params)
    accuracy = protocol.validation_accuracies(params, held_out)
    return Tried(
        fitted.l2,
        fitted.certificate,
        fitted.relative_gap,
        fitted.converged,
        fitted.passes,
        accuracy.item(),
    )


def _note(tried: Tried) -> str:
    return (
        f"l2 {tried.l2:g}: proven relative gap {tried.relative_gap:.1e} in "
        f"{tried.evaluations} evaluations, validation "
        f"{100 * tried.validation_accuracy:.1f} %"
    )
