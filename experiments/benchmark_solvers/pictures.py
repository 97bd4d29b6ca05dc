"""The pictures of a run: distance to the optimum over time, and growth."""

from typing import Any

import numpy as np

from experiments.benchmark_solvers import growth, ours
from experiments.benchmark_solvers.conclusions import Conclusion
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

Figure = Any

# Distances below this are drawn there: the best known objective has distance 0.
_LEAST = 1e-6


def distances(cells: list[tuple[Conclusion, dict[str, Any]]]) -> Figure:
    """Relative distance above the best known objective over time, a panel an l2."""
    figure, axes = plotting.new_figure(
        columns=len(cells), width=max(7.5, 3.2 * len(cells)), height=4.4
    )
    names = dict.fromkeys(name for _, cell in cells for name in cell["peers"])
    colors = plotting.method_colors([ours.NAME, *names])
    for ax, (found, cell) in zip(axes.ravel(), cells, strict=True):
        fits = cell.get("ours", {}).get("fits", [])
        if fits:
            fit = fits[-1]
            color = colors[ours.NAME]
            _draw(ax, fit["seconds"], fit["objectives"], found.best, color, ours.NAME)
            ax.plot(
                fit["seconds"],
                np.maximum(np.array(fit["relative_gaps"], float), _LEAST),
                "--",
                color=color,
                linewidth=1.2,
                label=f"{ours.NAME}: proven gap",
            )
        for name, peer in cell["peers"].items():
            _draw(
                ax,
                peer["seconds"],
                peer["objectives"],
                found.best,
                colors[name],
                name,
                line="o:" if peer["rerun"] else "-",
            )
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_ylim(_LEAST / 1.5, 3.0)
        ax.set_title(f"l2 = {found.l2:g}")
        label_axes(ax, "seconds", "")
    axes[0, 0].set_ylabel("relative distance above the best known")
    handles = {}
    for ax in axes.ravel():
        handles.update(
            dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
        )
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=3 if len(cells) < 3 else 4,
        frameon=False,
    )
    return figure


def growths(measured: list[dict[str, Any]]) -> Figure:
    """Seconds against size, log-log, a panel a dimension, slopes in the legend."""
    figure, axes = plotting.new_figure(columns=2, rows=2, width=9.5, height=7.5)
    losses = dict.fromkeys(one["loss"] for one in measured)
    colors = plotting.method_colors(list(losses))
    for ax, dimension in zip(axes.ravel(), growth.DIMENSIONS, strict=True):
        for loss in losses:
            found = [
                one
                for one in measured
                if one["loss"] == loss and one["dimension"] == dimension
            ]
            for name, seconds, style in (
                ("whole fit", [one["seconds"] for one in found], "o-"),
                (
                    "one evaluation",
                    [one["fit_seconds"] / one["evaluations"] for one in found],
                    "s--",
                ),
            ):
                sizes = [one[dimension] for one in found]
                if len(sizes) < 2:
                    continue
                exponent = growth.slope(sizes, seconds)
                ax.plot(
                    sizes,
                    seconds,
                    style,
                    color=colors[loss],
                    markersize=4,
                    linewidth=1.4,
                    label=f"{loss}, {name}: slope {exponent:.2f}",
                )
        ax.set_xscale("log")
        ax.set_yscale("log")
        sizes = sorted(
            {one[dimension] for one in measured if one["dimension"] == dimension}
        )
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
        ax.set_xticks([], minor=True)
        label_axes(ax, dimension, "seconds")
        if ax.get_legend_handles_labels()[1]:
            # Above: inside it would cover lines wherever it stood.
            ax.legend(
                frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0)
            )
    return figure


def _draw(
    ax: Any,
    seconds: list[float],
    objectives: list[float | None],
    best: float,
    color: str,
    name: str,
    *,
    line: str = "-",
) -> None:
    """The lowest value so far, since a line search may go up on its way."""
    values = np.array(objectives, float)
    order = np.argsort(seconds, kind="stable")
    lowest = np.fmin.accumulate(values[order]) / best - 1
    shown = np.isfinite(lowest) & (np.array(seconds)[order] > 0)
    ax.plot(
        np.array(seconds)[order][shown],
        np.maximum(lowest[shown], _LEAST),
        line,
        color=color,
        linewidth=2.2 if name == ours.NAME else 1.4,
        markersize=3,
        label=name,
    )
