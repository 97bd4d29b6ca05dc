"""The pictures: the path, the distance of SGD, the compared models."""

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from experiments.common.study import Figure, Run
from experiments.svm_vs_softmax.protocol import TITLES
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes
from jaxlin.stats import metrics

COLORS = dict(zip(TITLES, plotting.PALETTE, strict=False))
# Light to dark: the learning rates of SGD, slowest first; more begin again.
_RATES = ("#9ecae1", "#4292c6", "#08519c", "#b2b2b2", "#636363")
_CERTIFIED = plotting.PALETTE[1]
# The accuracy of fewer examples says nothing.
_LEAST_IN_BIN = 10


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run; of images only if the examples are some."""
    test = run.arrays("test")
    yield "path", _path(run.numbers("paths"))
    yield "distance", _distance(run)
    yield "per_class", _per_class(run.numbers("test")["per_class"])
    yield "confusion", _confusion(test, _facts(run)["class_names"])
    yield "calibration", _calibration(test)
    if not run.numbers("test")["images"]:
        return
    for name in TITLES:
        yield f"templates-{name}", _templates(run, name)
        if len(test[f"{name}_alone"]):
            yield f"only-{name}", _only_one_right(run, test, name)


def _facts(run: Run) -> dict[str, Any]:
    assert run.data is not None
    return run.data


def _path(paths: dict[str, Any]) -> Figure:
    """Validation accuracy of each l2, the choice marked, and passes it took."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    accuracy_ax, cost_ax = axes.ravel()
    for name, title in TITLES.items():
        fits, choice = paths[name]["fits"], paths[name]["choice"]
        l2s = [fit["l2"] for fit in fits]
        accuracies = [100 * fit["validation_accuracy"] for fit in fits]
        style: dict[str, Any] = {"color": COLORS[name], "linewidth": 1.4}
        accuracy_ax.plot(l2s, accuracies, ".-", label=title, **style)
        accuracy_ax.plot(l2s[choice], accuracies[choice], "o", markersize=9, **style)
        cost_ax.plot(l2s, [fit["passes"] for fit in fits], ".-", label=title, **style)
    label_axes(accuracy_ax, "l2", "validation accuracy (%)")
    label_axes(cost_ax, "l2", "passes")
    cost_ax.set_yscale("log")
    for ax in axes.ravel():
        ax.set_xscale("log")
        ax.legend(frameon=False)
    return figure


def _distance(run: Run) -> Figure:
    """Distance of SGD by epoch, and of the certified fit by pass."""
    figure, axes = plotting.new_figure(columns=len(TITLES), width=11.0, height=4.4)
    for ax, (name, title) in zip(axes.ravel(), TITLES.items(), strict=True):
        highest = 1.0
        for i, one in enumerate(run.numbers("sgd")[name]):
            # What diverged is None and has no place on the axis.
            relative = np.array(one["relative_distance"], float)
            highest = np.nanmax([highest, *relative])
            plotting.learning_curves(
                ax,
                np.arange(1, len(relative) + 1),
                relative[None],
                label=f"SGD, learning rate {one['learning_rate']:.2g}",
                color=_RATES[i % len(_RATES)],
            )
        optimum = run.numbers("optima")[name]
        _certified(ax, optimum, run.arrays("optima"), name)
        ax.axhline(
            run.config.relative_gap, color="#767676", linewidth=0.9, linestyle="--"
        )
        ax.set(xscale="log", yscale="log")
        # The first proofs are far above what is to be seen.
        ax.set_ylim(top=30 * highest)
        ax.set_title(f"{title}, l2 = {optimum['l2']:g}")
    return figure


def _certified(
    ax: Any, optimum: dict[str, Any], arrays: dict[str, np.ndarray], name: str
) -> None:
    """Distance of the certified fit, and what it proves, by pass."""
    bounds, objectives = (arrays[f"{name}_{kind}"] for kind in ("bounds", "objectives"))
    passes = np.arange(1, len(bounds) + 1)
    distances = objectives - optimum["lower_bound"]
    # Below this a difference of float32 objectives is rounding.
    floor = np.where(
        passes <= len(bounds) - optimum["float64_passes"],
        4 * np.finfo(np.float32).eps * optimum["objective"],
        0,
    )
    shown = np.where(distances > floor, distances, np.nan)
    for values, label, style in (
        (shown, "certified fit, its distance", ":"),
        (bounds, "certified fit, what it proves", "-"),
    ):
        ax.plot(
            *(passes, values / optimum["objective"], style),
            label=label,
            color=_CERTIFIED,
        )
    label_axes(ax, "passes over the training examples", "above the optimum, relative")
    ax.legend(frameon=False)


def _templates(run: Run, name: str) -> Figure:
    """The rows of W as pictures."""
    weights, facts = run.fit("optima", name).params.weights, _facts(run)
    names = facts["class_names"]
    columns = min(len(names), 10)
    rows = -(-len(names) // columns)
    figure, axes = plotting.new_figure(
        rows=rows, columns=columns, width=11.0, height=1.45 * rows
    )
    plotting.templates(
        axes, weights, image_shape=facts["image_shape"], class_names=names
    )
    return figure


def _per_class(rows: list[dict[str, Any]]) -> Figure:
    """Accuracy of each class that occurs in the test set, with intervals."""
    present = [row for row in rows if row["count"]]
    figure, axes = plotting.new_figure(
        width=min(11.0, 3.0 + 0.8 * len(present)), height=3.8
    )
    plotting.bars_with_intervals(
        axes[0, 0],
        [[100 * row[name] for row in present] for name in TITLES],
        [
            [[100 * end for end in row[f"{name}_interval"]] for row in present]
            for name in TITLES
        ],
        group_names=[row["class"] for row in present],
        method_names=list(TITLES.values()),
        colors=list(COLORS.values()),
        y_label="accuracy (%)",
    )
    return figure


def _confusion(test: dict[str, np.ndarray], names: list[str]) -> Figure:
    """Confusion matrices side by side."""
    side = min(5.5, 1.5 + 0.42 * len(names))
    figure, axes = plotting.new_figure(columns=2, width=2 * side, height=side)
    for ax, (name, title) in zip(axes.ravel(), TITLES.items(), strict=True):
        counts = metrics.confusion(
            predictions=jnp.asarray(test[f"{name}_predictions"]),
            labels=jnp.asarray(test["labels"]),
            num_classes=len(names),
        )
        plotting.confusion_matrix(ax, counts, class_names=names)
        ax.set_title(title)
    return figure


def _calibration(test: dict[str, np.ndarray]) -> Figure:
    """Reliability of the softmax of the scores."""
    figure, axes = plotting.new_figure(width=5.2, height=4.6)
    for name, title in TITLES.items():
        count = test[f"{name}_bins_count"]
        filled = np.where(count >= _LEAST_IN_BIN, count, np.nan)
        plotting.reliability_diagram(
            axes[0, 0],
            test[f"{name}_bins_confidence_sum"] / filled,
            test[f"{name}_bins_correct"] / filled,
            count,
            label=title,
            color=COLORS[name],
        )
    return figure


def _only_one_right(run: Run, test: dict[str, np.ndarray], name: str) -> Figure:
    """Images that one classifier alone recognises."""
    (other,) = set(TITLES) - {name}
    shown, facts = test[f"{name}_alone"], _facts(run)
    names = facts["class_names"]
    rows = -(-len(shown) // 5)
    figure, axes = plotting.new_figure(
        rows=rows, columns=5, width=9.5, height=2.3 * rows
    )
    labels, said = test["labels"][shown], test[f"{other}_predictions"][shown]
    plotting.image_grid(
        axes,
        test[f"{name}_alone_features"].reshape(-1, *facts["image_shape"]),
        titles=[
            f"{names[label]}\nnot {names[wrong]}"
            for label, wrong in zip(labels, said, strict=True)
        ],
        limits=(0, facts["max_value"]),
    )
    return figure
