"""Heat maps and confusion matrices."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from jaxlin.plotting.axes import PALETTE, Axes, array_of_rank, require_same

_LIGHT_GREY = "#d9d9d9"

# Above this fraction of the colour map white text has more contrast than black.
_WHITE_TEXT_FROM = 0.7

# Numbers in the cells of larger confusion matrices would be too small to read.
_MOST_ANNOTATED_CLASSES = 20


def heat_map(
    ax: Axes,
    values: ArrayLike,
    *,
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    row_name: str = "",
    column_name: str = "",
    chosen: tuple[int, int] | None = None,
    number_format: str = "{:.3f}",
    limits: tuple[float, float] | None = None,
) -> Axes:
    """Draws an annotated heat map, darker for larger values; NaN reads "diverged".

    Args:
      ax: Axes to draw on.
      values: values of the cells, shape ``(rows, columns)``.
      row_labels: one tick label per row.
      column_labels: one tick label per column.
      row_name: label of the vertical axis.
      column_name: label of the horizontal axis.
      chosen: row and column of the cell to outline; None for no outline.
      number_format: format string of the numbers in the cells.
      limits: values of the lightest and the darkest shade; by default the smallest and
        the largest finite value.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit or ``chosen`` lies outside.
    """
    table = array_of_rank("values", values, rank=2)
    rows, columns = table.shape
    require_same("row_labels", len(row_labels), "the number of rows", rows)
    require_same("column_labels", len(column_labels), "the number of columns", columns)
    texts = [
        [
            number_format.format(cell) if np.isfinite(cell) else "diverged"
            for cell in row
        ]
        for row in table
    ]
    finite = table[np.isfinite(table)]
    if limits is None:
        limits = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    _cells(ax, table, texts, limits=limits)
    ax.set_xticks(range(columns), column_labels)
    ax.set_yticks(range(rows), row_labels)
    ax.set_xlabel(column_name)
    ax.set_ylabel(row_name)
    if chosen is not None:
        row, column = chosen
        if not (0 <= row < rows and 0 <= column < columns):
            raise ValueError(
                f"chosen must lie in a grid of {rows} x {columns} cells, got {chosen}"
            )
        _outline(ax, row, column)
    return ax


def confusion_matrix(
    ax: Axes,
    counts: ArrayLike,
    *,
    class_names: Sequence[str],
    normalize: bool = True,
) -> Axes:
    """Draws a confusion matrix.

    Args:
      ax: Axes to draw on.
      counts: number of examples with the label of the row and the prediction of the
        column, shape ``(classes, classes)``.
      class_names: one name per class.
      normalize: whether to show percentages of the row instead of counts, with a class
        without examples in grey. Numbers that round to zero are left blank. The shade
        grows with the square root of the number, so that rare confusions are visible.

    Returns:
      ``ax``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    table = array_of_rank("counts", counts, rank=2)
    classes = len(class_names)
    require_same("counts.shape[0]", table.shape[0], "the number of classes", classes)
    require_same("counts.shape[1]", table.shape[1], "the number of classes", classes)
    total = table.sum(axis=1, keepdims=True)
    greatest = max(table.max(initial=0.0), 1.0)
    if normalize:
        table = np.divide(
            100 * table, total, out=np.full_like(table, np.nan), where=total > 0
        )
        greatest = 100.0
    few = classes <= _MOST_ANNOTATED_CLASSES
    texts = [
        [f"{cell:.0f}" if few and cell >= 0.5 else "" for cell in row] for row in table
    ]
    _cells(ax, table, texts, limits=(0.0, greatest), power=0.5)
    ax.set_xticks(range(classes), class_names, rotation=45, ha="right")
    ax.set_yticks(range(classes), class_names)
    ax.set_xlabel("predicted class")
    ax.set_ylabel("true class (% of each row)" if normalize else "true class")
    return ax


def _cells(
    ax: Axes,
    table: np.ndarray,
    texts: Sequence[Sequence[str]],
    *,
    limits: tuple[float, float],
    power: float = 1.0,
) -> None:
    """Draws a shaded grid with text of sufficient contrast in each cell."""
    import matplotlib
    from matplotlib.colors import PowerNorm

    shades = matplotlib.colormaps["Blues"].with_extremes(bad=_LIGHT_GREY)
    shade = PowerNorm(power, *limits)
    ax.imshow(table, cmap=shades, norm=shade, aspect="auto")
    size = 10 if table.shape[1] <= 12 else 7
    for (row, column), value in np.ndenumerate(table):
        dark = np.isfinite(value) and shade(value) > _WHITE_TEXT_FROM
        ax.text(
            column,
            row,
            texts[row][column],
            ha="center",
            va="center",
            fontsize=size,
            color="white" if dark else "black",
        )
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_xticks(np.arange(1, table.shape[1]) - 0.5, minor=True)
    ax.set_yticks(np.arange(1, table.shape[0]) - 0.5, minor=True)
    ax.grid(which="minor", color="white", linewidth=1)
    ax.tick_params(which="minor", length=0)


def _outline(ax: Axes, row: int, column: int) -> None:
    """Draws a frame around a cell."""
    from matplotlib.patches import Rectangle

    corner = (column - 0.5, row - 0.5)
    frame = Rectangle(corner, 1, 1, fill=False, edgecolor=PALETTE[1], linewidth=3)
    frame.set(clip_on=False, zorder=4)  # Above the white lines between the cells.
    ax.add_patch(frame)
