"""The pictures: the proof, the lines, what the added feature makes of the plane."""

import textwrap
from typing import Any

import numpy as np

from experiments.hard_cases import measure
from experiments.hard_cases.cases import CASES
from experiments.hard_cases.measure import Measured
from jaxlin import plotting
from jaxlin.geometry import hyperplanes
from jaxlin.geometry.separability import CommonPoint

Figure = Any

_COLORS = plotting.PALETTE
_STYLES = {"SVM": "-", "softmax": "--"}
_CELLS = 240


def _limits(measured: Measured) -> tuple[np.ndarray, np.ndarray]:
    """The square that the points fill, with a little room about them."""
    features = measured.points.features
    half = 0.54 * float(np.ptp(features, axis=0).max())
    middle = (features.min(axis=0) + features.max(axis=0)) / 2
    return middle - half, middle + half


def _prepare(ax: Any, measured: Measured, title: str, *, legend: bool = True) -> None:
    low, high = _limits(measured)
    plotting.labelled_points(
        ax, *measured.points, class_names=CASES[measured.name].class_names, size=9
    )
    ax.set(
        xlim=(low[0], high[0]),
        ylim=(low[1], high[1]),
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


def hard_case(measured: Measured) -> Figure:
    """The proof, the lines, and the regions with the feature added."""
    figure, axes = plotting.new_figure(columns=3, width=12, height=5.1)
    proof, lines, mended = axes[0]
    _prepare(proof, measured, "No line separates: the hulls meet")
    _draw_proof(proof, measured)
    _prepare(lines, measured, "The lines of both losses, and the best", legend=False)
    _draw_lines(lines, measured)
    _prepare(mended, measured, f"With {CASES[measured.name].added}", legend=False)
    _draw_mended(mended, measured)
    return figure


def easy_case(measured: Measured) -> Figure:
    """The regions of both losses."""
    figure, axes = plotting.new_figure(columns=2, width=8.4, height=5.4)
    for ax, (name, fitted) in zip(axes[0], measured.fits.items(), strict=True):
        _prepare(ax, measured, f"{name}: {100 * fitted.accuracy:.1f} %")
        low, high = _limits(measured)
        polygons = hyperplanes.regions(fitted.fit.params, low=low, high=high)
        plotting.decision_regions(ax, polygons)
    return figure


def _draw_proof(ax: Any, measured: Measured) -> None:
    """The few points of each class joined, and the point that both make."""
    proof = measured.proof
    if not isinstance(proof, CommonPoint):
        ax.set_title("A line separates", fontsize=11)
        return
    rows = np.array(proof.rows)
    for label in (0, 1):
        mine = rows[measured.points.labels[rows] == label]
        corners = measured.points.features[mine]
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
    point = [float(part) for part in proof.point]
    ax.plot(
        *point, "*", color="white", ms=15, mec="black", mew=1.2, zorder=5, ls="none"
    )


def _draw_lines(ax: Any, measured: Measured) -> None:
    low, high = _limits(measured)
    svm = measured.fits["SVM"].fit.params
    plotting.decision_regions(ax, hyperplanes.regions(svm, low=low, high=high))
    for name, fitted in measured.fits.items():
        weights, bias = (
            np.asarray(part, np.float64)
            for part in (fitted.fit.params.weights, fitted.fit.params.bias)
        )
        if np.any(weights[1] != weights[0]):
            plotting.line(
                ax,
                weights[1] - weights[0],
                float(bias[1] - bias[0]),
                color="#555555",
                line_style=_STYLES[name],
                label=f"{name}, {100 * fitted.accuracy:.1f} % right",
            )
    assert measured.best is not None
    share = measured.best.correct / len(measured.points.labels)
    plotting.line(
        ax,
        [float(part) for part in measured.best.line.normal],
        float(measured.best.line.offset),
        label=f"best of all, {100 * share:.1f} % right",
        line_style=":",
    )
    _legend_below(ax, skipped=len(CASES[measured.name].class_names))


def _draw_mended(ax: Any, measured: Measured) -> None:
    low, high = _limits(measured)
    across, up = (
        low[k] + (high[k] - low[k]) * (np.arange(_CELLS) + 0.5) / _CELLS for k in (0, 1)
    )
    grid = np.stack(np.meshgrid(across, up), axis=-1).reshape(-1, 2)
    rows = measure.lifted_rows(grid.astype(np.float32), CASES[measured.name])
    fitted = measured.lifted_fits["SVM"]
    labels = measure.predictions(fitted, rows).reshape(_CELLS, _CELLS)
    plotting.label_map(ax, labels, limits=(low[0], high[0], low[1], high[1]))
    ax.set(aspect="equal")
