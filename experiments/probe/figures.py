"""The pictures: accuracy against C, and calibration."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    numbers = run.numbers("probe")
    if numbers["values"]:
        yield "choice", _choice(numbers, run.config.relative_gap)
    yield "calibration", _calibration(run.arrays("probe"))


def _choice(numbers: dict[str, Any], relative_gap: float) -> Figure:
    figure, axes = plotting.new_figure(width=7.5, height=3.8)
    ax = axes[0, 0]
    color = plotting.PALETTE[0]
    # A number that is not finite is None.
    cs, accuracy, errors, gaps = (
        np.array([row[name] for row in numbers["values"]], float)
        for name in ("c", "accuracy", "accuracy_standard_error", "largest_relative_gap")
    )
    accuracy, errors = 100 * accuracy, 100 * errors
    proven = gaps <= relative_gap
    ax.plot(cs, accuracy, "-", color=color, linewidth=1.4)
    if np.isfinite(errors).all():
        ax.fill_between(
            cs, accuracy - errors, accuracy + errors, color=color, alpha=0.2
        )
    ax.plot(cs[proven], accuracy[proven], "o", color=color, label="gap proven")
    if not proven.all():
        ax.plot(
            *(cs[~proven], accuracy[~proven]),
            "o",
            markerfacecolor="white",
            color=color,
            label="gap not proven",
        )
    ax.axvline(numbers["c"], color=plotting.PALETTE[1], label="chosen")
    ax.set_xscale("log")
    label_axes(ax, "scikit-learn's C", "accuracy held out (%)")
    ax.legend(frameon=False)
    return figure


def _calibration(found: dict[str, Any]) -> Figure:
    figure, axes = plotting.new_figure(width=4.6, height=4.4)
    names = {"before": "softmax of the scores", "after": "with temperature"}
    for (kind, label), color in zip(names.items(), plotting.PALETTE, strict=False):
        count = found[f"{kind}_count"]
        counts = np.maximum(count, 1)
        plotting.reliability_diagram(
            axes[0, 0],
            found[f"{kind}_confidence_sum"] / counts,
            found[f"{kind}_correct"] / counts,
            count,
            label=label,
            color=color,
        )
    return figure
