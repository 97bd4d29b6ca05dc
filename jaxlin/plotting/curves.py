"""Learning curves, bars with intervals and reliability diagrams."""

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
    """Draws the mean over seeds as a line, with a band around it.

    Args:
      ax: Axes to draw on; repeated calls add curves.
      steps: steps at which the values were measured, shape ``(steps,)``.
      values: measured values, shape ``(seeds, steps)``. With one seed there is no band.
      label: label of the curve in the legend.
      color: colour of the line and, lighter, of the band.
      band: "range", from the smallest to the largest value over seeds, or
        "standard_error", one standard error of the mean to each side.
      line_style: matplotlib line style, such as ``"--"`` for validation values.
      x_label: label of the axis of ``steps``.
      y_label: label of the axis of ``values``.

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
      ax: Axes to draw on.
      values: heights of the bars, shape ``(methods, groups)``.
      intervals: lower and upper end of each interval, shape ``(methods, groups, 2)``.
      group_names: one name per group, such as the classes.
      method_names: one name per method, for the legend.
      colors: at least one colour per method.
      y_label: label of the axis of the values.

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
    # If an interval touches its value, rounding can give a length of minus one ulp.
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
    """Draws accuracy against confidence per bin, with the diagonal of calibration.

    Args:
      ax: Axes to draw on; repeated calls add classifiers.
      confidence: mean confidence of each bin, shape ``(bins,)``.
      accuracy: accuracy in each bin, shape ``(bins,)``.
      counts: number of examples in each bin, shape ``(bins,)``; the area of a marker is
        proportional to it, and empty bins are left out.
      label: label of the curve in the legend.
      color: colour of the line and the markers.

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
