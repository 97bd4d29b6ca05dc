"""The pictures: the slide's stacked bars, the terms, learning curves, filters."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from experiments.error_decomposition.config import Config
from experiments.error_decomposition.summary import (
    BOUNDED,
    KINDS,
    MEASURED,
    TERMS,
    TITLES,
)
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

# The terms of each class, in the order of the config.
Classes = Mapping[str, Any]

COLORS = dict(zip(TERMS, plotting.PALETTE, strict=False))
CLASS_COLORS = plotting.method_colors(list(TITLES))
_GREY, _INK = "#b8b8b8", "#333333"
# Both colours at once: which of the two it is, is not measured.
_EITHER = {"facecolor": COLORS["modelling"], "edgecolor": COLORS["estimation"]}
_LOSS = {"zero_one": "test error (%)", "surrogate": "test cross-entropy (nats)"}
_UNIT = {"zero_one": 100.0, "surrogate": 1.0}
_FILTERS_SHOWN = 100


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    config, found = run.config, run.numbers("summary")["classes"]
    classes = {name: found[name] for name in config.classes}
    yield "stacked", _stacked(classes, "zero_one", human=config.human_error)
    yield "stacked-surrogate", _stacked(classes, "surrogate")
    train = {name: run.numbers(name)["train"] for name in classes}
    yield "curves", _curves(classes, train, config)
    if "patches" in classes:
        filters = run.arrays("patches")["filters"]
        yield "filters", _filters(filters, config.patch_size)


def _stacked(classes: Classes, kind: str, *, human: float = 0.0) -> Figure:
    """The slide: what each class's error is made of, from the Bayes error up."""
    figure, axes = plotting.new_figure(width=7.5, height=4.8)
    ax, unit = axes[0, 0], _UNIT[kind]
    terms = [one[kind] for one in classes.values()]
    tops = [_bars(ax, place, found, unit) for place, found in enumerate(terms)]
    for place, top in enumerate(tops):
        ax.annotate(
            f"{top:.1f} %" if kind == "zero_one" else f"{top:.2f}",
            (place + 0.27, top),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
        )
    if human:
        ax.axhline(100 * human, color="black", linestyle="--", linewidth=1)
        # Beside the axes, where no bar is.
        where = ax.get_yaxis_transform()
        ax.text(1.01, 100 * human, "a human", va="center", fontsize=9, transform=where)
    label_axes(ax, "", _LOSS[kind])
    ax.set_xticks(range(len(classes)), [TITLES[name] for name in classes])
    ax.set_xlim(-0.5, len(classes) - 0.35)
    _keep_near(ax, max(tops))
    # In two rows: the layout gives a legend that is wider than the figure its way.
    labelled = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    how = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
    ax.legend(labelled.values(), labelled, frameon=False, ncols=3, **how)
    return figure


def _bars(ax: Any, place: int, found: Mapping[str, Any], unit: float) -> float:
    """The terms of one class on one another; returns where they end."""
    top = unit * (found["reference"]["low"] + found["reference"]["high"]) / 2
    if top:
        ax.bar(place, top, 0.5, color=_GREY, label="reference")
    is_split = found["split"] == MEASURED
    if not is_split:
        height = unit * sum(found[term]["value"] for term in TERMS[:2])
        how = {**_EITHER, "hatch": "////", "linewidth": 0}
        ax.bar(place, height, 0.5, top, label="modelling or estimation", **how)
        top += height
    for number, term in enumerate(TERMS):
        if not is_split and term in TERMS[:2]:
            continue
        height = unit * found[term]["value"]
        ax.bar(place, height, 0.5, top, color=COLORS[term], label=term)
        interval = found[term]["interval"]
        ends = [top + unit * interval[end] for end in ("low", "high")]
        top += height
        # Beside one another, since the bars share their ends.
        at = place - 0.12 + 0.12 * number
        ax.plot([at, at], ends, color=_INK, linewidth=1.3, marker="_", markersize=7)
    return top


def _curves(
    classes: Classes, train: Mapping[str, Mapping[str, float]], config: Config
) -> Figure:
    """Error against the size of the sample, and where it would end."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.8)
    number = config.train_examples or 0
    sizes = [number // 4, number // 2, number]
    for ax, kind in zip(axes[0], KINDS, strict=True):
        unit, highest = _UNIT[kind], 0.0
        for row, (name, one) in enumerate(classes.items()):
            color, found = CLASS_COLORS[name], one[kind]
            values = unit * np.array(found["curve"])
            highest = max(highest, values.max())
            ax.plot(sizes, values, "o-", color=color, markersize=4, label=TITLES[name])
            ax.plot(number, unit * train[name][kind], "v", color=color, mfc="none")
            # Beside one another, where an infinite sample would be.
            at, end = number * 2 ** (1 + 0.12 * row), found["best_of_class"]
            low, high = (unit * end["interval"][name] for name in ("low", "high"))
            # Of bounds only these; of what is unknown nothing.
            if found["split"] == MEASURED:
                value = unit * end["value"]
                ax.plot([number, at], [values[-1], value], ":", color=color)
                ax.plot([at, at], [low, high], color=color, linewidth=1.8)
                ax.plot(at, value, "o", color=color, markersize=5)
            elif found["split"] == BOUNDED:
                how = {"color": color, "linewidth": 1.3, "marker": "_"}
                ax.plot([at, at], [low, high], "--", **how)
        ax.set_xscale("log")
        middle = number * 2 ** (1 + 0.06 * (len(classes) - 1))
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


def _keep_near(ax: Any, size: float) -> None:
    """Cuts off what of intervals is far beyond the errors themselves."""
    low, high = ax.get_ylim()
    ax.set_ylim(max(low, -size), min(high, 2 * size))
