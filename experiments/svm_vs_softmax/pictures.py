"""The pictures of a run, each a matplotlib figure made of what was measured."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.svm_vs_softmax import verdict
from experiments.svm_vs_softmax.protocol import Chosen, Method
from experiments.svm_vs_softmax.verdict import Tested
from jaxlin import data, plotting
from jaxlin.stats import metrics

Figure = Any


def can_be_shown(dataset: data.Dataset) -> bool:
    """Whether examples and templates are grey or RGB pictures."""
    shape = dataset.image_shape
    return shape is not None and (len(shape) == 2 or shape[2:] in ((1,), (3,)))


def colors(methods: list[Method]) -> dict[str, str]:
    """One colour a method, the same in every picture."""
    return plotting.method_colors([method.title for method in methods])


def tuning(methods: list[Method], chosen: list[Chosen]) -> Figure:
    """Validation accuracy over each grid, the choice outlined."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    for ax, method, one in zip(axes.ravel(), methods, chosen, strict=True):
        rows, columns = method.grid_shape
        row, column = np.unravel_index(one.choice, method.grid_shape)
        plotting.heat_map(
            ax,
            100 * one.validation,
            row_labels=[f"{method.settings[i * columns][0]:g}" for i in range(rows)],
            column_labels=[f"{method.settings[j][1]:.2g}" for j in range(columns)],
            row_name="l2",
            column_name="learning rate",
            chosen=(int(row), int(column)),
            number_format="{:.1f}",
        )
        ax.set_title(method.title)
    return figure


def learning_curves(methods: list[Method], chosen: list[Chosen]) -> Figure:
    """Training loss of the chosen setting of each method, and validation accuracy."""
    figure, axes = plotting.new_figure(columns=3, width=11.5, height=3.4)
    *loss_axes, accuracy_ax = axes.ravel()
    for ax, method, one in zip(loss_axes, methods, chosen, strict=True):
        losses = one.grid.losses[:, :, one.choice]
        color = colors(methods)[method.title]
        plotting.learning_curves(
            ax,
            np.arange(1, len(losses) + 1),
            losses.T,
            label=method.title,
            color=color,
            y_label="mean training loss",
        )
        plotting.learning_curves(
            accuracy_ax,
            one.grid.validation_epochs,
            100 * one.grid.validation[:, :, one.choice].T,
            label=method.title,
            color=color,
            y_label="validation accuracy (%)",
        )
    return figure


def templates(weights: np.ndarray, dataset: data.Dataset) -> Figure:
    """The rows of W as pictures."""
    columns = min(dataset.num_classes, 10)
    rows = -(-dataset.num_classes // columns)
    figure, axes = plotting.new_figure(
        rows=rows, columns=columns, width=11.0, height=1.45 * rows
    )
    assert dataset.image_shape is not None
    plotting.templates(
        axes,
        weights,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
    )
    return figure


def per_class(methods: list[Method], rows: list[dict[str, Any]]) -> Figure:
    """Accuracy of each class that occurs in the test set, with intervals."""
    present = [row for row in rows if row["count"]]
    figure, axes = plotting.new_figure(
        width=min(11.0, 3.0 + 0.8 * len(present)), height=3.8
    )
    plotting.bars_with_intervals(
        axes.ravel()[0],
        [[100 * row[method.name] for row in present] for method in methods],
        [
            [[100 * end for end in row[f"{method.name}_interval"]] for row in present]
            for method in methods
        ],
        group_names=[row["class"] for row in present],
        method_names=[method.title for method in methods],
        colors=list(colors(methods).values()),
        y_label="accuracy (%)",
    )
    return figure


def confusion(
    methods: list[Method], tested: list[Tested], dataset: data.Dataset
) -> Figure:
    """Confusion matrices of the first model of each, side by side."""
    side = min(5.5, 1.5 + 0.42 * dataset.num_classes)
    figure, axes = plotting.new_figure(columns=2, width=2 * side, height=side)
    for ax, method, test in zip(axes.ravel(), methods, tested, strict=True):
        counts = metrics.confusion(
            predictions=jnp.asarray(test.predictions[0]),
            labels=jnp.asarray(dataset.test.labels),
            num_classes=dataset.num_classes,
        )
        plotting.confusion_matrix(ax, counts, class_names=dataset.class_names)
        ax.set_title(method.title)
    return figure


def calibration(
    methods: list[Method], tested: list[Tested], dataset: data.Dataset
) -> Figure:
    """Reliability of the softmax of the scores, first model of each."""
    figure, axes = plotting.new_figure(width=5.2, height=4.6)
    for method, test in zip(methods, tested, strict=True):
        bins = verdict.calibration_bins(test.scores[0], dataset.test.labels)
        count = np.asarray(bins.count)
        # The accuracy of a handful of examples says nothing.
        filled = np.where(count >= 10, count, np.nan)
        plotting.reliability_diagram(
            axes.ravel()[0],
            np.asarray(bins.confidence_sum) / filled,
            np.asarray(bins.correct) / filled,
            count,
            label=method.title,
            color=colors(methods)[method.title],
        )
    return figure


def only_one_right(
    right: Tested, wrong: Tested, dataset: data.Dataset, *, at_most: int = 10
) -> tuple[Figure, int, int] | None:
    """Images that one method alone recognises, the most telling first.

    Returns:
      The figure, how many images it shows and how many there are; None if none.
    """
    labels = dataset.test.labels
    only = np.flatnonzero(right.correct[0] & ~wrong.correct[0])
    if len(only) == 0:
        return None
    # Telling: the one is sure of the class, the other sure that it is something else.
    telling = _lead(right, labels)[only] - _lead(wrong, labels)[only]
    shown = only[np.argsort(-telling, kind="stable")[:at_most]]
    names = dataset.class_names
    rows = -(-len(shown) // 5)
    figure, axes = plotting.new_figure(
        rows=rows, columns=5, width=9.5, height=2.3 * rows
    )
    assert dataset.image_shape is not None
    plotting.image_grid(
        axes,
        np.stack(
            [dataset.test.features[i].reshape(dataset.image_shape) for i in shown]
        ),
        titles=[
            f"{names[labels[i]]}\nnot {names[wrong.predictions[0, i]]}" for i in shown
        ],
        limits=(0, dataset.max_value),
    )
    return figure, len(shown), len(only)


def _lead(tested: Tested, labels: np.ndarray) -> np.ndarray:
    """Lead of the true class over the best other, in spreads of that model's scores."""
    scores = tested.scores[0].copy()
    spread = scores.std()
    rows = np.arange(len(labels))
    of_label = scores[rows, labels]
    scores[rows, labels] = -np.inf
    return (of_label - scores.max(axis=1)) / spread
