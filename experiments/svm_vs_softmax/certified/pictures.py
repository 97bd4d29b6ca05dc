"""The pictures that certified fits add: the path over l2, SGD's distance."""

from typing import Any

import numpy as np

from experiments.svm_vs_softmax import pictures
from experiments.svm_vs_softmax.certified.distance import lower_bound
from experiments.svm_vs_softmax.certified.verdict import Outcome
from experiments.svm_vs_softmax.protocol import Method
from jaxlin import plotting

Figure = Any

# Light to dark: the learning rates of SGD, slowest first; more begin again.
_RATES = ("#9ecae1", "#4292c6", "#08519c", "#b2b2b2", "#636363")
_CERTIFIED = plotting.PALETTE[1]


def path(methods: list[Method], outcomes: list[Outcome]) -> Figure:
    """Validation accuracy of each l2, the choice marked, and evaluations it took."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    accuracy_ax, cost_ax = axes.ravel()
    for method, outcome in zip(methods, outcomes, strict=True):
        color = pictures.colors(methods)[method.title]
        tried = outcome.path.tried
        l2s = [one.l2 for one in tried]
        accuracies = [100 * one.validation_accuracy for one in tried]
        plotting.learning_curves(
            accuracy_ax,
            l2s,
            [accuracies],
            label=method.title,
            color=color,
            x_label="l2",
            y_label="validation accuracy (%)",
        )
        chosen = outcome.path.choice
        accuracy_ax.plot(l2s, accuracies, ".", color=color)
        accuracy_ax.plot(
            l2s[chosen], accuracies[chosen], "o", color=color, markersize=9, zorder=3
        )
        plotting.learning_curves(
            cost_ax,
            l2s,
            [[one.evaluations for one in tried]],
            label=method.title,
            color=color,
            x_label="l2",
            y_label="evaluations",
        )
        cost_ax.plot(l2s, [one.evaluations for one in tried], ".", color=color)
    for ax in axes.ravel():
        ax.set_xscale("log")
    cost_ax.set_yscale("log")
    return figure


def distance(
    methods: list[Method], outcomes: list[Outcome], *, relative_gap: float
) -> Figure:
    """Distance of SGD by epoch, and what the certified fit had proven by evaluation."""
    figure, axes = plotting.new_figure(columns=len(methods), width=11.0, height=4.4)
    for ax, method, outcome in zip(axes.ravel(), methods, outcomes, strict=True):
        found, highest = outcome.distance, []
        for i, rate in enumerate(found.learning_rates):
            # What diverged has no place on the axis.
            relative = np.where(
                np.isfinite(found.relative[:, i]), found.relative[:, i], np.nan
            )
            highest.append(np.nanmax([*relative, 0.0]))
            plotting.learning_curves(
                ax,
                found.epochs,
                relative[None],
                label=f"SGD, learning rate {rate:.2g}",
                color=_RATES[i % len(_RATES)],
            )
        optimum = outcome.optimum
        evaluations = np.arange(1, optimum.evaluations + 1)
        objectives = optimum.objectives - lower_bound(optimum)
        # Below this a difference of float32 objectives is rounding.
        floor = np.where(
            evaluations <= optimum.evaluations - optimum.float64_evaluations,
            4 * np.finfo(np.float32).eps * optimum.objectives,
            0,
        )
        plotting.learning_curves(
            ax,
            evaluations,
            np.where(objectives > floor, objectives, np.nan)[None] / optimum.objective,
            label="certified fit, its distance",
            color=_CERTIFIED,
            line_style=":",
        )
        plotting.learning_curves(
            ax,
            evaluations,
            optimum.bounds[None] / optimum.objective,
            label="certified fit, what it proves",
            color=_CERTIFIED,
            x_label="passes over the training examples",
            y_label="above the optimum, relative",
        )
        ax.axhline(relative_gap, color="#767676", linewidth=0.9, linestyle="--")
        ax.set(xscale="log", yscale="log")
        # The first proofs are far above what is to be seen.
        ax.set_ylim(top=30 * np.nanmax([*highest, 1.0]))
        ax.set_title(f"{method.title}, l2 = {optimum.l2:g}")
    return figure
