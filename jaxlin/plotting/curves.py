"""Lines, bars and points with their uncertainty."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxlin.plotting.axes import PALETTE, Axes, array_of_rank, label_axes, require_same

_GREY = "#767676"


def learning_curves(
    ax: Axes,
    steps: ArrayLike,
    values: ArrayLike,
    *,
    label: str,
    color: str = PALETTE[0],
    band: Literal["range", "standard_error"] = "range",
    line_style: str = "-",
    x_label: str = "epoch",
    y_label: str = "loss",
) -> Axes:
    """Draws the mean over seeds as a line in a band.

    Args:
      ax: the Axes to draw on; call again for the next curve.
      steps: where the values were measured, shape ``(steps,)``.
      values: shape ``(seeds, steps)``. With one seed there is no band.
      label: name of the curve in the legend.
      color: of the line and, lighter, of the band.
      band: "range", from the least to the greatest seed, or "standard_error", one
        standard error of the mean to each side.
      line_style: as matplotlib names it, such as ``"--"`` for validation values.
      x_label: name of ``steps``.
      y_label: name of ``values``.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    position = array_of_rank("steps", steps, rank=1)
    curves = array_of_rank("values", values, rank=2)
    require_same(
        "values.shape[1]", curves.shape[1], "the number of steps", len(position)
    )
    mean = curves.mean(axis=0)
    ax.plot(position, mean, line_style, color=color, label=label, linewidth=1.8)
    if len(curves) > 1:
        low, high = curves.min(axis=0), curves.max(axis=0)
        if band == "standard_error":
            error = curves.std(axis=0, ddof=1) / np.sqrt(len(curves))
            low, high = mean - error, mean + error
        ax.fill_between(position, low, high, color=color, alpha=0.2, linewidth=0)
    label_axes(ax, x_label, y_label)
    ax.legend(frameon=False)
    return ax


def bars_with_intervals(
    ax: Axes,
    values: ArrayLike,
    intervals: ArrayLike,
    *,
    group_names: Sequence[str],
    method_names: Sequence[str],
    colors: Sequence[str] = PALETTE,
    y_label: str = "accuracy",
) -> Axes:
    """Draws groups of bars, one bar per method, each with its interval.

    Args:
      ax: the Axes to draw on.
      values: shape ``(methods, groups)``.
      intervals: lower and upper end of each, shape ``(methods, groups, 2)``.
      group_names: one per group, such as the classes.
      method_names: one per method, for the legend.
      colors: at least one per method.
      y_label: name of the values.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit or a value lies outside its interval.
    """
    heights = array_of_rank("values", values, rank=2)
    ends = array_of_rank("intervals", intervals, rank=3)
    methods, groups = heights.shape
    require_same(
        "intervals.shape", ends.shape, "(methods, groups, 2)", (methods, groups, 2)
    )
    require_same("group_names", len(group_names), "the number of groups", groups)
    require_same("method_names", len(method_names), "the number of methods", methods)
    lengths = np.stack([heights - ends[..., 0], ends[..., 1] - heights], axis=1)
    # An interval may touch its value; rounding then gives a length of minus one ulp.
    if (lengths < -1e-6 * np.abs(heights).max()).any():
        raise ValueError("values must lie in their intervals, got one outside")
    lengths = np.maximum(lengths, 0.0)
    width = 0.8 / methods
    for i, name in enumerate(method_names):
        ax.bar(
            np.arange(groups) + (i - (methods - 1) / 2) * width,
            heights[i],
            width * 0.92,
            yerr=lengths[i],
            color=colors[i],
            label=name,
            error_kw={"ecolor": "#333333", "elinewidth": 1.2, "capsize": 2.5},
        )
    label_axes(ax, "", y_label)
    ax.set_xticks(range(groups), group_names, rotation=30, ha="right")
    ax.tick_params(axis="x", length=0)
    ax.set_ylim(bottom=0)
    ax.legend(frameon=False, ncols=methods, loc="lower left", bbox_to_anchor=(0, 1))
    return ax


def reliability_diagram(
    ax: Axes,
    confidence: ArrayLike,
    accuracy: ArrayLike,
    counts: ArrayLike,
    *,
    label: str,
    color: str = PALETTE[0],
) -> Axes:
    """Draws accuracy against confidence by bin, beside the diagonal of the calibrated.

    Args:
      ax: the Axes to draw on; call again for the next classifier.
      confidence: mean confidence of each bin, shape ``(bins,)``.
      accuracy: share of right answers in each bin, shape ``(bins,)``.
      counts: examples in each bin, shape ``(bins,)``; the area of a marker grows with
        them, and empty bins are left out.
      label: name in the legend.
      color: of the line.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    number = array_of_rank("counts", counts, rank=1)
    filled = number > 0
    points = []
    for name, value in (("confidence", confidence), ("accuracy", accuracy)):
        array = array_of_rank(name, value, rank=1)
        require_same(name, len(array), "the number of bins", len(number))
        points.append(array[filled])
    diagonal = "calibrated"
    if diagonal not in ax.get_legend_handles_labels()[1]:
        ax.plot([0, 1], [0, 1], "--", color=_GREY, linewidth=1, label=diagonal)
    ax.plot(*points, color=color, label=label, linewidth=1.5, marker="o", markersize=3)
    largest = max(number.max(), 1)
    ax.scatter(*points, s=220 * number[filled] / largest, color=color, alpha=0.35)
    label_axes(ax, "confidence", "accuracy")
    ax.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
    ax.legend(frameon=False)
    return ax
