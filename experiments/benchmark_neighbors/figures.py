"""The pictures: a bar for each searcher."""

from collections.abc import Iterator
from typing import Any

from experiments.common.study import Figure, Run
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

NAMES = {
    "jaxlin": "jaxlin",
    "faiss": "FAISS",
    "faiss_uint8": "FAISS, 8 bits",
    "sklearn": "scikit-learn",
}


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    for distance in ("l2", "l1"):
        if distance in run.config.what:
            yield distance, _times(run.numbers(distance)["searches"])


def _times(searches: list[dict[str, Any]]) -> Figure:
    figure, axes = plotting.new_figure(width=6, height=0.7 + 0.5 * len(searches))
    ax = axes[0, 0]
    labels = [NAMES[one["who"]] for one in searches]
    colors = plotting.method_colors(labels)
    ax.barh(
        labels,
        [one["seconds"] for one in searches],
        color=[colors[label] for label in labels],
        xerr=[
            [one["seconds"] - one["fastest_s"] for one in searches],
            [one["slowest_s"] - one["seconds"] for one in searches],
        ],
    )
    ax.invert_yaxis()
    label_axes(ax, "seconds", "")
    return figure
