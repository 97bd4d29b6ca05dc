"""The pictures: the proof, the lines, what the added feature makes of the plane."""

import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

import jaxlin
from experiments.common.study import Figure, Run
from experiments.hard_cases import measure
from experiments.hard_cases.cases import CASES, Case
from jaxlin import plotting
from jaxlin.geometry import hyperplanes

_COLORS = plotting.PALETTE
_STYLES = {"SVM": "-", "softmax": "--"}
_CELLS = 240


class Shown(NamedTuple):
    """A measured case, as its pictures show it.

    Attributes:
      case: titles and names.
      numbers: of the part.
      features: of the points, shape ``(points, 2)``.
      labels: of the points.
      fits: on the coordinates, by loss.
      low: corner of the square that the points fill, with a little room about them.
      high: the opposite corner.
    """

    case: Case
    numbers: dict[str, Any]
    features: np.ndarray
    labels: np.ndarray
    fits: dict[str, jaxlin.Fit]
    low: np.ndarray
    high: np.ndarray


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    for name in run.config.cases:
        arrays = run.arrays(name)
        features = arrays["features"]
        half = 0.54 * float(np.ptp(features, axis=0).max())
        middle = (features.min(axis=0) + features.max(axis=0)) / 2
        shown = Shown(
            CASES[name],
            run.numbers(name),
            features,
            arrays["labels"],
            {loss: run.fit(name, loss) for loss in measure.LOSSES},
            middle - half,
            middle + half,
        )
        if shown.case.lift is None:
            yield name, _easy_case(shown)
        else:
            yield name, _hard_case(shown, run.fit(name, "SVM_lifted"))


def _prepare(ax: Any, shown: Shown, title: str, *, legend: bool = True) -> None:
    plotting.labelled_points(
        ax,
        shown.features,
        shown.labels,
        class_names=shown.case.class_names,
        size=9,
    )
    ax.set(
        xlim=(shown.low[0], shown.high[0]),
        ylim=(shown.low[1], shown.high[1]),
        aspect="equal",
        xlabel="x1",
        ylabel="x2",
    )
    ax.set_title(textwrap.fill(title, 38), fontsize=11)
    if legend:
        _legend_below(ax)


def _legend_below(ax: Any, *, skipped: int = 0) -> None:
    """Names under the Axes, where they cover no point; the first ones left out."""
    handles, names = ax.get_legend_handles_labels()
    ax.legend(
        handles[skipped:],
        names[skipped:],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.14),
        fontsize=9,
        frameon=False,
        markerscale=2.5,
    )


def _hard_case(shown: Shown, lifted: jaxlin.Fit) -> Figure:
    """The proof, the lines, and the regions with the feature added."""
    figure, axes = plotting.new_figure(columns=3, width=12, height=5.1)
    proof, lines, mended = axes[0]
    _prepare(proof, shown, "No line separates: the hulls meet")
    _draw_proof(proof, shown)
    _prepare(lines, shown, "The lines of both losses, and the best", legend=False)
    _draw_lines(lines, shown)
    _prepare(mended, shown, f"With {shown.case.added}", legend=False)
    _draw_mended(mended, shown, lifted)
    return figure


def _easy_case(shown: Shown) -> Figure:
    """The regions of both losses."""
    figure, axes = plotting.new_figure(columns=2, width=8.4, height=5.4)
    for ax, (name, fit) in zip(axes[0], shown.fits.items(), strict=True):
        share = shown.numbers["fits"][name]["accuracy"]
        _prepare(ax, shown, f"{name}: {100 * share:.1f} %")
        polygons = hyperplanes.regions(fit.params, low=shown.low, high=shown.high)
        plotting.decision_regions(ax, polygons)
    return figure


def _draw_proof(ax: Any, shown: Shown) -> None:
    """The few points of each class joined, and the point that both make."""
    proof = shown.numbers["proof"]
    if proof["separable"]:
        ax.set_title("A line separates", fontsize=11)
        return
    rows = np.array([one["row"] for one in proof["points"]])
    for label in (0, 1):
        corners = shown.features[rows[shown.labels[rows] == label]]
        ax.fill(
            *corners.T,
            facecolor=_COLORS[label],
            edgecolor=_COLORS[label],
            alpha=0.45 if len(corners) > 2 else 0.9,
            linewidth=2,
            fill=len(corners) > 2,
            zorder=3,
        )
        ax.plot(
            *corners.T, "o", color=_COLORS[label], ms=8, mec="black", mew=1.2, zorder=4
        )
    star = {"color": "white", "ms": 15, "mec": "black", "mew": 1.2, "zorder": 5}
    ax.plot(*proof["point_rounded"], "*", ls="none", **star)


def _draw_lines(ax: Any, shown: Shown) -> None:
    svm = shown.fits["SVM"].params
    polygons = hyperplanes.regions(svm, low=shown.low, high=shown.high)
    plotting.decision_regions(ax, polygons)
    for name, fit in shown.fits.items():
        weights, bias = (np.asarray(part, np.float64) for part in fit.params)
        share = shown.numbers["fits"][name]["accuracy"]
        if np.any(weights[1] != weights[0]):
            plotting.line(
                ax,
                weights[1] - weights[0],
                float(bias[1] - bias[0]),
                color="#555555",
                line_style=_STYLES[name],
                label=f"{name}, {100 * share:.1f} % right",
            )
    best = shown.numbers["best_line"]
    plotting.line(
        ax,
        best["normal"],
        best["offset"],
        label=f"best of all, {100 * best['accuracy']:.1f} % right",
        line_style=":",
    )
    _legend_below(ax, skipped=len(shown.case.class_names))


def _draw_mended(ax: Any, shown: Shown, lifted: jaxlin.Fit) -> None:
    low, high = shown.low, shown.high
    across, up = (
        low[k] + (high[k] - low[k]) * (np.arange(_CELLS) + 0.5) / _CELLS for k in (0, 1)
    )
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    rows = measure.lifted_rows(grid.astype(np.float32), shown.case)
    labels = jaxlin.predict(lifted, rows).reshape(_CELLS, _CELLS)
    plotting.label_map(ax, labels, limits=(low[0], high[0], low[1], high[1]))
    ax.set(aspect="equal")
