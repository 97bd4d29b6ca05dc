"""The picture: the share of the machine's rate against the number of models."""

from collections.abc import Iterator
from typing import Any

from experiments.common.study import Figure, Run
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    if "rate" in run.config.what:
        yield "rate", _rate(run.numbers("rate")["rows"])


def _rate(measured: list[dict[str, Any]]) -> Figure:
    figure, axes = plotting.new_figure(width=6.5, height=4)
    ax = axes[0, 0]
    names = list(dict.fromkeys(row["loss"] for row in measured))
    for name, color in plotting.method_colors(names).items():
        rows = [row for row in measured if row["loss"] == name]
        ax.plot(
            [row["models"] for row in rows],
            [100 * row["share_of_rate"] for row in rows],
            "o-",
            color=color,
            label=name,
        )
    ax.set_xscale("log", base=2)
    ax.set_ylim(0, 100)
    label_axes(ax, "models evaluated at once", "% of the machine's matrix rate")
    ax.legend(frameon=False)
    return figure
