"""The pictures: validation accuracy over each grid, and learning curves."""

from collections.abc import Iterator

import numpy as np

from experiments.common.study import Figure, Run
from experiments.svm_vs_softmax.figures import COLORS
from experiments.svm_vs_softmax.protocol import TITLES
from jaxlin import plotting


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    yield "tuning", _tuning(run)
    yield "learning_curves", _learning_curves(run)


def _tuning(run: Run) -> Figure:
    """Mean validation accuracy over each grid, the choice outlined."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    for ax, (name, title) in zip(axes.ravel(), TITLES.items(), strict=True):
        tuned = run.numbers(name)
        rows, columns = tuned["grid_shape"]
        settings = tuned["settings"]
        # A model that diverged has None for its accuracy.
        accuracies = np.array([one["validation_accuracy"] for one in settings], float)
        row, column = divmod(tuned["choice"], columns)
        plotting.heat_map(
            ax,
            100 * accuracies.mean(axis=1).reshape(rows, columns),
            row_labels=[f"{one['l2']:g}" for one in settings[::columns]],
            column_labels=[f"{one['learning_rate']:.2g}" for one in settings[:columns]],
            row_name="l2",
            column_name="learning rate",
            chosen=(row, column),
            number_format="{:.1f}",
        )
        ax.set_title(title)
    return figure


def _learning_curves(run: Run) -> Figure:
    """Training loss of the chosen setting, in the grid and on all examples."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    for ax, (name, title) in zip(axes.ravel(), TITLES.items(), strict=True):
        losses, choice = run.arrays(name), run.numbers(name)["choice"]
        for label, values, color in (
            ("training split", losses["grid_losses"][:, :, choice], COLORS[name]),
            ("all examples", losses["refit_losses"], "#767676"),
        ):
            plotting.learning_curves(
                ax,
                np.arange(1, len(values) + 1),
                values.T,
                label=label,
                color=color,
                y_label="mean training loss",
            )
        ax.set_title(title)
    return figure
