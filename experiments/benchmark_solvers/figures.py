"""The pictures of a run: distance to the optimum over time, and growth."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.benchmark_solvers import growth, ours, summary
from experiments.benchmark_solvers.config import chosen_peers
from experiments.common.study import Figure, Run
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

# Distances below this are drawn there: the best known objective has distance 0.
_LEAST = 1e-6


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    if "compare" in run.config.what:
        for loss in run.config.losses:
            yield f"distances-{loss}", _distances(run, loss)
    if "growth" in run.config.what:
        yield "growth", _growths(run)


def _distances(run: Run, loss: str) -> Figure:
    """Relative distance above the best known objective over time, a panel an l2."""
    cells = [c for c in run.numbers("summary")["cells"] if c["loss"] == loss]
    figure, axes = plotting.new_figure(
        columns=len(cells), width=max(7.5, 3.2 * len(cells)), height=4.4
    )
    names = [peer.name for peer in chosen_peers(run.config, loss)]
    colors = plotting.method_colors([ours.NAME, *names])
    for ax, cell in zip(axes[0], cells, strict=True):
        _draw_ours(ax, run, cell, colors[ours.NAME])
        for name in names:
            part = summary.part(name, loss=loss, l2=cell["l2"])
            arrays = run.arrays(part)
            line = "o:" if run.numbers(part)["rerun"] else "-"
            how = {"color": colors[name], "linewidth": 1.4, "label": name}
            _draw(ax, arrays["seconds"], arrays["objectives"], cell["best"], line, how)
        ax.set_xscale("log")
        ax.set_yscale("log")
        # Within a decade all minor ticks have labels, which would overlap.
        ax.xaxis.get_minor_locator().set_params(subs=(3.0,))
        ax.set_ylim(_LEAST / 1.5, 3.0)
        ax.set_title(f"l2 = {cell['l2']:g}")
        label_axes(ax, "seconds", "")
    axes[0, 0].set_ylabel("relative distance above the best known")
    _legend(figure, axes[0], columns=3 if len(cells) < 3 else 4)
    return figure


def _draw_ours(ax: Any, run: Run, cell: dict[str, Any], color: str) -> None:
    """Our last fit: its objective and the gap that it had proven by then."""
    part = summary.part("ours", loss=cell["loss"], l2=cell["l2"])
    last = len(run.numbers(part)["fits"]) - 1
    if last < 0:
        return
    arrays = run.arrays(part)
    seconds = arrays[f"seconds-{last}"]
    how = {"color": color, "linewidth": 2.2, "label": ours.NAME}
    _draw(ax, seconds, arrays[f"objectives-{last}"], cell["best"], "-", how)
    gaps = np.maximum(arrays[f"relative_gaps-{last}"], _LEAST)
    label = f"{ours.NAME}: proven gap"
    ax.plot(seconds, gaps, "--", color=color, linewidth=1.2, label=label)


def _draw(
    ax: Any,
    seconds: np.ndarray,
    objectives: np.ndarray,
    best: float | None,
    line: str,
    how: dict[str, Any],
) -> None:
    """The lowest value so far, since a line search may go up on its way."""
    order = np.argsort(seconds, kind="stable")
    # Without a best known objective there are no points.
    lowest = np.fmin.accumulate(objectives[order]) / (best or 1.0) - 1
    shown = np.isfinite(lowest) & (seconds[order] > 0)
    distances = np.maximum(lowest[shown], _LEAST)
    ax.plot(seconds[order][shown], distances, line, markersize=3, **how)


def _legend(figure: Any, axes: Any, *, columns: int) -> None:
    """One legend of all panels, below them."""
    handles: dict[str, Any] = {}
    for ax in axes:
        found, labels = ax.get_legend_handles_labels()
        handles.update(zip(labels, found, strict=True))
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
    )


def _growths(run: Run) -> Figure:
    """Seconds against size, log-log, a panel a dimension, slopes in the legend."""
    figure, axes = plotting.new_figure(columns=2, rows=2, width=9.5, height=7.5)
    losses = run.config.growth_losses
    colors = plotting.method_colors(list(losses))
    for ax, dimension in zip(axes.ravel(), growth.DIMENSIONS, strict=True):
        sizes: list[int] = []
        for loss in losses:
            found = run.numbers(growth.part(loss, dimension))
            sizes = [one[dimension] for one in found["sizes"]]
            for name, key, kind, style in (
                ("whole fit", "seconds", "fit", "o-"),
                ("one evaluation", "evaluation_seconds", "evaluation", "s--"),
            ):
                seconds = [one[key] for one in found["sizes"]]
                slopes = found["slopes"]
                slope = f": slope {slopes[kind]:.2f}" if slopes else ""
                label = f"{loss}, {name}{slope}"
                ax.plot(
                    sizes, seconds, style, color=colors[loss], markersize=4, label=label
                )
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
