"""The pictures: the slide's stacked bars, the terms, learning curves, filters."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from experiments.error_decomposition import summary
from experiments.error_decomposition.summary import BOUNDED, MEASURED, TERMS, TITLES
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

Results = Mapping[str, Any]

COLORS = dict(zip(TERMS, plotting.PALETTE, strict=False))
CLASS_COLORS = plotting.method_colors(list(TITLES))
_GREY, _INK = "#b8b8b8", "#333333"
# Both colours at once: which of the two it is, is not measured.
_EITHER = {
    "facecolor": COLORS["modelling"],
    "edgecolor": COLORS["estimation"],
    "hatch": "////",
    "linewidth": 0,
}
# The losses, as a page calls them.
KINDS = {"zero_one": "zero-one error", "surrogate": "cross-entropy"}
_LOSS = {"zero_one": "test error (%)", "surrogate": "test cross-entropy (nats)"}
_FILTERS_SHOWN = 100


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    results, facts = summary.of_run(run), run.data
    assert facts is not None
    examples = run.config.train_examples or facts["train"]["num_examples"]
    yield "stacked", _stacked(results, "zero_one")
    yield "stacked-surrogate", _stacked(results, "surrogate")
    yield "terms", _terms(results)
    yield "curves", _curves(results, examples)
    if "patches" in run.config.classes:
        yield (
            "filters",
            _filters(run.arrays("patches")["filters"], run.config.patch_size),
        )
    if "network" in run.config.classes:
        yield "training", _training(run.numbers("network")["training_loss"])


def _stacked(results: Results, kind: str) -> Figure:
    """The slide: what each class's error is made of, from the Bayes error up."""
    figure, axes = plotting.new_figure(width=7.5, height=4.8)
    ax, unit = axes[0, 0], _unit(kind)
    classes = results["classes"]
    labelled: set[str] = set()
    tops = []

    def bar(place: int, height: float, foot: float, label: str, **how: Any) -> None:
        shown = None if label in labelled else label
        labelled.add(label)
        ax.bar(place, height, 0.5, foot, label=shown, **how)

    for place, one in enumerate(classes.values()):
        found = one[kind]
        top = unit * found["irreducible"]
        if top:
            bar(place, top, 0, "reference", color=_GREY)
        is_split = found["split"] == MEASURED
        if not is_split:
            height = unit * sum(found[term]["value"] for term in TERMS[:2])
            bar(place, height, top, "modelling or estimation", **_EITHER)
            top += height
        for number, term in enumerate(TERMS):
            if not is_split and term in TERMS[:2]:
                continue
            height = unit * found[term]["value"]
            bar(place, height, top, term, color=COLORS[term])
            ends = top + unit * np.array(found[term]["interval"])
            top += height
            # Beside one another, since the bars share their ends.
            at = place - 0.12 + 0.12 * number
            ax.plot([at, at], ends, color=_INK, linewidth=1.3, marker="_", markersize=7)
        tops.append(top)
        ax.annotate(
            f"{top:.1f} %" if kind == "zero_one" else f"{top:.2f}",
            *((place + 0.27, top), (3, 0)),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    human = results["human_error"]
    if kind == "zero_one" and human:
        ax.axhline(100 * human, color="black", linestyle="--", linewidth=1)
        # Beside the axes, where no bar is.
        where = ax.get_yaxis_transform()
        ax.text(1.01, 100 * human, "a human", va="center", fontsize=9, transform=where)
    label_axes(ax, "", _LOSS[kind])
    ax.set_xticks(range(len(classes)), [TITLES[name] for name in classes])
    ax.set_xlim(-0.5, len(classes) - 0.35)
    _keep_near(ax, max(tops))
    # In two rows: the layout gives a legend that is wider than the figure its way.
    ax.legend(frameon=False, ncols=3, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def _terms(results: Results) -> Figure:
    """Every term with its interval, one beside the other loss."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    classes = results["classes"]
    for ax, kind in zip(axes[0], KINDS, strict=True):
        unit = _unit(kind)
        for row, (name, one) in enumerate(classes.items()):
            color = CLASS_COLORS[name]
            ax.plot([], [], "o-", color=color, markersize=5, label=TITLES[name])
            for place, term in enumerate(TERMS):
                split = MEASURED if term == "optimisation" else one[kind]["split"]
                _interval(
                    ax,
                    place + 0.22 * (row - (len(classes) - 1) / 2),
                    unit * np.array(one[kind][term]["interval"]),
                    unit * one[kind][term]["value"],
                    split=split,
                    color=color,
                )
        ax.axhline(0, color="black", linewidth=0.8)
        label_axes(ax, "", _LOSS[kind].removeprefix("test "))
        ax.set_xticks(range(len(TERMS)), TERMS)
        _keep_near(
            ax, unit * max(one[kind]["error"]["value"] for one in classes.values())
        )
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _curves(results: Results, examples: int) -> Figure:
    """Error against the size of the sample, and where it would end."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.8)
    sizes = [examples // 4, examples // 2, examples]
    for ax, kind in zip(axes[0], KINDS, strict=True):
        unit, highest = _unit(kind), 0.0
        for row, (name, one) in enumerate(results["classes"].items()):
            color, found = CLASS_COLORS[name], one[kind]
            values = unit * np.array(found["curve"])
            highest = max(highest, values.max())
            ax.plot(sizes, values, "o-", color=color, markersize=4, label=TITLES[name])
            ax.plot(examples, unit * found["train"], "v", color=color, mfc="none")
            # Beside one another, where an infinite sample would be.
            at = examples * 2 ** (1 + 0.12 * row)
            end = unit * found["best_of_class"]["value"]
            if found["split"] == MEASURED:
                ax.plot([examples, at], [values[-1], end], ":", color=color)
            _interval(
                ax,
                at,
                unit * np.array(found["best_of_class"]["interval"]),
                end,
                split=found["split"],
                color=color,
            )
        ax.set_xscale("log")
        middle = examples * 2 ** (1 + 0.06 * (len(results["classes"]) - 1))
        ax.set_xticks([*sizes, middle], [*(f"{size:,}" for size in sizes), "\u221e"])
        ax.minorticks_off()
        label_axes(ax, "training examples", _LOSS[kind])
        ax.set_ylim(0, 1.1 * highest)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def _filters(found: np.ndarray, patch_size: int) -> Figure:
    """Some of the filters, each on its own scale."""
    shown = found[:_FILTERS_SHOWN]
    columns = 20
    rows = -(-len(shown) // columns)
    figure, axes = plotting.new_figure(
        rows=rows, columns=columns, width=7.5, height=0.4 * rows + 0.1
    )
    channels = shown.shape[1] // patch_size**2
    shape = (patch_size, patch_size) + ((channels,) if channels > 1 else ())
    plotting.templates(
        axes, shown, image_shape=shape, class_names=[""] * len(shown), scale="per_class"
    )
    return figure


def _training(histories: list[list[float]]) -> Figure:
    """Training loss of the networks on all examples."""
    figure, axes = plotting.new_figure(width=6, height=3.2)
    values = np.array(histories)
    plotting.learning_curves(
        axes[0, 0],
        np.arange(1, values.shape[1] + 1),
        values,
        label="altered training images, features dropped out",
        color=CLASS_COLORS["network"],
        y_label="cross-entropy (nats)",
    )
    return figure


def _unit(kind: str) -> float:
    return 100.0 if kind == "zero_one" else 1.0


def _interval(
    ax: Any, at: float, ends: Any, value: float, *, split: str, color: str
) -> None:
    """A value in its interval; of bounds only these; of what is unknown nothing."""
    if split == MEASURED:
        ax.plot([at, at], ends, color=color, linewidth=1.8)
        ax.plot(at, value, "o", color=color, markersize=5)
    elif split == BOUNDED:
        ax.plot([at, at], ends, "--", color=color, linewidth=1.3, marker="_")


def _keep_near(ax: Any, size: float) -> None:
    """Cuts off what of intervals is far beyond the errors themselves."""
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -size), min(high, 2 * size))
