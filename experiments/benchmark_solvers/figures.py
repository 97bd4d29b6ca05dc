"""The pictures of a run: distance to the optimum over time, and growth."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmark_solvers import growth, measure, ours, peers
from experiments.common.study import Figure, Run
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

# Distances below this are drawn there: those of the reference's own objective are 0.
_LEAST = 1e-6


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    if "compare" in run.config.what:
        for loss in run.config.losses:
            yield f"distances-{loss}", _distances(run, loss)
    if "growth" in run.config.what:
        yield "growth", _growths(run)


def _distances(run: Run, loss: str) -> Figure:
    """Relative distance above the reference over time, a panel per l2."""
    l2s = run.config.l2s
    figure, axes = plotting.new_figure(
        columns=len(l2s), width=max(7.5, 3.2 * len(l2s)), height=4.4
    )
    names = [peer.name for peer in peers.of(loss, run.config.peers)]
    # All seven colours are the peers'; this one is none of them.
    colors = {ours.NAME: "#5e3c99", **plotting.method_colors(names)}
    for ax, l2 in zip(axes[0], l2s, strict=True):
        for name in ("ours", *names):
            _draw(ax, run, measure.part(name, loss=loss, l2=l2), colors)
        ax.set_xscale("log")
        ax.set_yscale("log")
        # Within a decade all minor ticks have labels, which would overlap.
        ax.xaxis.get_minor_locator().set_params(subs=(3.0,))
        ax.set_ylim(_LEAST / 1.5, 3.0)
        ax.set_title(f"l2 = {l2:g}")
        label_axes(ax, "seconds", "")
    axes[0, 0].set_ylabel("relative distance above the reference")
    handles: dict[str, Any] = {}
    for ax in axes[0]:
        found, labels = ax.get_legend_handles_labels()
        handles.update(zip(labels, found, strict=True))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=3 if len(l2s) < 3 else 4,
        frameon=False,
    )
    return figure


def _draw(ax: Any, run: Run, part: str, colors: dict[str, str]) -> None:
    """The lowest value so far, since a line search may go up; of ours its gap too."""
    numbers, arrays = run.numbers(part), run.arrays(part)
    name, is_ours = numbers["solver"], numbers["solver"] == ours.NAME
    how: Any = {"color": colors[name], "linewidth": 2.2 if is_ours else 1.4}
    seconds, objectives = arrays["seconds"], arrays["objectives"]
    order = np.argsort(seconds, kind="stable")
    reference = run.numbers(
        measure.part("reference", loss=numbers["loss"], l2=numbers["l2"])
    )
    # Without a reference there is nothing to compare with.
    best = reference["objective"] or np.nan
    lowest = np.fmin.accumulate(objectives[order]) / best - 1
    shown = np.isfinite(lowest) & (seconds[order] > 0)
    distances = np.maximum(lowest[shown], _LEAST)
    line = "o:" if numbers["rerun"] else "-"
    ax.plot(seconds[order][shown], distances, line, markersize=3, label=name, **how)
    if "relative_gaps" in arrays:
        gaps = np.maximum(arrays["relative_gaps"], _LEAST)
        ax.plot(seconds, gaps, "--", color=colors[name], label=f"{name}: proven gap")


def _growths(run: Run) -> Figure:
    """Seconds against size, log-log, a panel per dimension, slopes in the legend."""
    figure, axes = plotting.new_figure(columns=3, width=12, height=4)
    losses = run.config.growth_losses
    colors = plotting.method_colors(list(losses))
    for ax, dimension in zip(axes[0], growth.DIMENSIONS, strict=True):
        sizes: list[int] = []
        for loss in losses:
            found = run.numbers(growth.part(loss, dimension))
            sizes = [one[dimension] for one in found["sizes"]]
            for name, key, kind, style in (
                ("whole fit", "seconds", "fit", "o-"),
                ("one pass", "pass_seconds", "pass", "s--"),
            ):
                slopes = found["slopes"]
                slope = f": slope {slopes[kind]:.2f}" if slopes else ""
                how: Any = {"color": colors[loss], "label": f"{loss}, {name}{slope}"}
                seconds = [one[key] for one in found["sizes"]]
                ax.plot(sizes, seconds, style, markersize=4, **how)
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes], minor=False)
        ax.set_xticks([], minor=True)
        label_axes(ax, dimension, "seconds")
        # Above: inside it would cover lines wherever it stood.
        ax.legend(
            frameon=False, fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0)
        )
    return figure
