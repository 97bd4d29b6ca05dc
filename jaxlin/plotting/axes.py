"""Colours, figures without pyplot, and shape checks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

# Types of matplotlib, which is imported only inside functions.
Axes = Any
Figure = Any

#: Colours of M. Okabe and K. Ito (Color Universal Design, 2008), without yellow, which
#: is too light for lines on white.
PALETTE = (
    "#0072B2",  # blue
    "#D55E00",  # vermilion
    "#009E73",  # bluish green
    "#CC79A7",  # reddish purple
    "#E69F00",  # orange
    "#56B4E9",  # sky blue
    "#000000",  # black
)


def new_figure(
    *, rows: int = 1, columns: int = 1, width: float = 7.5, height: float = 4.5
) -> tuple[Figure, np.ndarray]:
    """Returns a figure and its array of axes, shape ``(rows, columns)``.

    Args:
      rows: number of rows of axes.
      columns: number of columns of axes.
      width: width of the figure in inches; 7.5 fills a page at a readable font size.
      height: height of the figure in inches.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def method_colors(names: Sequence[str]) -> dict[str, str]:
    """Returns a colour for each name, by its position.

    Raises:
      ValueError: if there are more names than colours in `PALETTE`.
    """
    if len(names) > len(PALETTE):
        raise ValueError(f"names must be at most {len(PALETTE)}, got {len(names)}")
    return dict(zip(names, PALETTE, strict=False))


def label_axes(ax: Axes, x_label: str, y_label: str) -> None:
    """Labels the axes, removes the top and right spines and adds a light grid."""
    ax.set_xlabel(x_label)
    ax.set_ylabel(y_label)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="#e6e6e6", linewidth=0.8)
    ax.set_axisbelow(True)


def array_of_rank(name: str, value: ArrayLike, *, rank: int) -> np.ndarray:
    """Returns a float64 array of the given rank."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim != rank:
        raise ValueError(f"{name} must have rank {rank}, got shape {array.shape}")
    return array


def require_same(name: str, found: Any, what: str, expected: Any) -> None:
    """Raises ValueError unless two sizes agree."""
    if found != expected:
        raise ValueError(f"{name} must be {what}, {expected}, got {found}")
