"""The picture of a run: test accuracies of fits and proven intervals of the optima."""

from collections.abc import Iterator

from experiments.common.study import Figure, Run
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The name and the picture."""
    losses = run.config.losses
    figure, axes = plotting.new_figure(columns=1, width=7.5, height=4.2)
    ax = axes[0, 0]
    for place, (loss, color) in enumerate(plotting.method_colors(losses).items()):
        fits = run.numbers(loss)
        # Side by side, so that intervals do not cover one another.
        l2s = [fit["l2"] * 1.08 ** (place - (len(losses) - 1) / 2) for fit in fits]
        how = {"color": color, "label": loss}
        ax.plot(l2s, [100 * fit["test_accuracy"] for fit in fits], "o-", **how)
        low, high = ([100 * fit[end] for fit in fits] for end in ("lower", "upper"))
        ax.vlines(l2s, low, high, color=color, linewidth=5, alpha=0.35)
    ax.set_xscale("log")
    label_axes(ax, "l2", "test accuracy, %")
    # Of the intervals some are of no use, from 0 to 100 %.
    accuracies = [
        100 * fit["test_accuracy"] for loss in losses for fit in run.numbers(loss)
    ]
    ax.set_ylim(min(accuracies) - 3, max(accuracies) + 3)
    figure.legend(frameon=False, loc="outside lower center", ncols=2)
    yield "accuracies", figure
