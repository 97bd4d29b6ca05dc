"""Decision regions, labelled points and lines in the plane."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxlin.plotting.axes import PALETTE, Axes, array_of_rank, require_same

_MARKERS = "os^Dv<>"
_TINT = 0.22


def decision_regions(
    ax: Axes, polygons: Sequence[ArrayLike], *, colors: Sequence[str] = PALETTE
) -> Axes:
    """Draws tinted decision regions (`jaxlin.geometry.hyperplanes.regions`).

    Args:
      ax: Axes to draw on.
      polygons: corners of the region of each class, shape ``(corners, 2)``; regions
        with fewer than three corners are left out.
      colors: at least one colour per class.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    _require_colors(colors, len(polygons))
    for polygon, color in zip(polygons, colors, strict=False):
        corners = array_of_rank("polygons", polygon, rank=2)
        require_same("polygons.shape[1]", corners.shape[1], "two coordinates", 2)
        if len(corners) > 2:
            closed = np.vstack([corners, corners[:1]])
            # Below points, in whatever order they are drawn.
            ax.fill(*corners.T, facecolor=color, alpha=_TINT, linewidth=0, zorder=0.5)
            ax.plot(*closed.T, color="white", linewidth=1.2, zorder=0.6)
    return ax


def label_map(
    ax: Axes,
    labels: ArrayLike,
    *,
    limits: tuple[float, float, float, float],
    colors: Sequence[str] = PALETTE,
) -> Axes:
    """Draws tinted cells by label, for regions that are not polygons.

    Args:
      ax: Axes to draw on.
      labels: label at the midpoint of each cell, shape ``(rows, columns)``; the first
        row is the lowest.
      limits: left, right, bottom and top end of the grid.
      colors: at least one colour per class.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    from matplotlib.colors import to_rgb

    grid = array_of_rank("labels", labels, rank=2).astype(int)
    _require_colors(colors, int(grid.max()) + 1)
    tints = 1 - _TINT * (1 - np.array([to_rgb(color) for color in colors]))
    ax.imshow(
        tints[grid],
        origin="lower",
        extent=limits,
        interpolation="nearest",
        aspect="auto",
    )
    return ax


def labelled_points(
    ax: Axes,
    features: ArrayLike,
    labels: ArrayLike,
    *,
    class_names: Sequence[str],
    colors: Sequence[str] = PALETTE,
    size: float = 10.0,
) -> Axes:
    """Draws points with the colour and marker of their class.

    Args:
      ax: Axes to draw on.
      features: coordinates of the points, shape ``(points, 2)``.
      labels: class indices of the points, shape ``(points,)``.
      class_names: one name per class, for the legend.
      colors: at least one colour per class.
      size: area of a marker in square typographic points.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    points = array_of_rank("features", features, rank=2)
    require_same("features.shape[1]", points.shape[1], "two coordinates", 2)
    classes = array_of_rank("labels", labels, rank=1)
    require_same("labels", len(classes), "the number of points", len(points))
    _require_colors(colors, len(class_names))
    for label, name in enumerate(class_names):
        ax.scatter(
            *points[classes == label].T,
            s=size,
            marker=_MARKERS[label % len(_MARKERS)],
            color=colors[label],
            linewidth=0,
            alpha=0.75,
            label=name,
        )
    return ax


def line(
    ax: Axes,
    normal: ArrayLike,
    offset: float,
    *,
    color: str = PALETTE[-1],
    line_style: str = "-",
    label: str | None = None,
) -> Axes:
    """Draws the line ``normal @ x + offset = 0`` within the limits of the Axes.

    Args:
      ax: Axes to draw on; its limits must be set before.
      normal: normal vector, shape ``(2,)``, not zero.
      offset: offset of the line.
      color: colour of the line.
      line_style: matplotlib line style.
      label: label in the legend; None for no entry.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the normal is zero or does not have two coordinates.
    """
    direction = array_of_rank("normal", normal, rank=1)
    require_same("normal", len(direction), "of two coordinates", 2)
    length = float(np.hypot(*direction))
    if length == 0:
        raise ValueError("normal must not be zero, got [0, 0]")
    unit = direction / length
    foot = -offset / length * unit
    along = np.array([-unit[1], unit[0]])
    limits = ax.get_xlim(), ax.get_ylim()
    ax.axline(
        foot, foot + along, color=color, linestyle=line_style, lw=1.6, label=label
    )
    ax.set(xlim=limits[0], ylim=limits[1])
    return ax


def _require_colors(colors: Sequence[str], classes: int) -> None:
    if len(colors) < classes:
        raise ValueError(
            f"colors must be at least as many as classes, got {len(colors)} for "
            f"{classes}"
        )
