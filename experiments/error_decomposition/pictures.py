"""The pictures: the slide's stacked bars, the terms, learning curves, filters."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.error_decomposition.verdict import TERMS
from jaxlin import plotting
from jaxlin.plotting.base import label_axes

Figure = Any
Results = Mapping[str, Any]

TITLES = {
    "pixels": "linear on pixels",
    "patches": "linear on patches",
    "network": "network",
}
COLORS = dict(zip(TERMS, plotting.PALETTE, strict=False))
CLASS_COLORS = plotting.method_colors(list(TITLES))
_GREY, _INK = "#b8b8b8", "#333333"
_LOSS = {"zero_one": "test error (%)", "surrogate": "test cross-entropy (nats)"}
_FILTERS_SHOWN = 100


def stacked(results: Results, kind: str) -> Figure:
    """The slide: what each class's error is made of, from the Bayes error up."""
    figure, axes = plotting.new_figure(width=7.5, height=4.8)
    ax, unit = axes[0, 0], _unit(kind)
    classes = results["classes"]
    for place, one in enumerate(classes.values()):
        terms = one[kind]
        top = unit * terms["irreducible"]
        if top:
            label = "irreducible" if place == 0 else None
            ax.bar(place, top, 0.5, color=_GREY, label=label)
        for number, term in enumerate(TERMS):
            height = unit * terms[term]["value"]
            label = term if place == 0 else None
            ax.bar(place, height, 0.5, top, color=COLORS[term], label=label)
            ends = top + unit * np.array(terms[term]["interval"])
            top += height
            # Beside one another, since the bars share their ends.
            at = place - 0.12 + 0.12 * number
            ax.plot([at, at], ends, color=_INK, linewidth=1.3, marker="_", markersize=7)
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
        ax.text(-0.45, 100 * human, "a human", va="bottom", fontsize=9)
    label_axes(ax, "", _LOSS[kind])
    ax.set_xticks(range(len(classes)), [TITLES[name] for name in classes])
    ax.set_xlim(-0.5, len(classes) - 0.35)
    ax.legend(frameon=False, ncols=4, loc="lower left", bbox_to_anchor=(0, 1))
    return figure


def terms(results: Results) -> Figure:
    """Every term with its interval, one beside the other loss."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.6)
    classes = results["classes"]
    for ax, kind in zip(axes[0], ("zero_one", "surrogate"), strict=True):
        unit = _unit(kind)
        for row, (name, one) in enumerate(classes.items()):
            for place, term in enumerate(TERMS):
                at = place + 0.22 * (row - (len(classes) - 1) / 2)
                value = unit * one[kind][term]["value"]
                ends = unit * np.array(one[kind][term]["interval"])
                color = CLASS_COLORS[name]
                label = TITLES[name] if place == 0 else None
                ax.plot([at, at], ends, color=color, linewidth=1.8)
                ax.plot(at, value, "o", color=color, markersize=5, label=label)
        ax.axhline(0, color="black", linewidth=0.8)
        label_axes(ax, "", _LOSS[kind].removeprefix("test "))
        ax.set_xticks(range(len(TERMS)), TERMS)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def curves(results: Results, examples: int) -> Figure:
    """Error against the size of the sample, and where it would end."""
    figure, axes = plotting.new_figure(columns=2, width=9.5, height=3.8)
    sizes = [examples // 4, examples // 2, examples]
    for ax, kind in zip(axes[0], ("zero_one", "surrogate"), strict=True):
        unit = _unit(kind)
        for name, one in results["classes"].items():
            color, end = CLASS_COLORS[name], unit * one[kind]["best_of_class"]["value"]
            ax.plot(
                *(sizes, unit * np.array(one[kind]["curve"])),
                "o-",
                color=color,
                markersize=4,
                label=TITLES[name],
            )
            ax.plot(examples, unit * one[kind]["train"], "v", color=color, mfc="none")
            low, high = unit * np.array(one[kind]["best_of_class"]["interval"])
            ax.axhspan(low, high, color=color, alpha=0.12, linewidth=0)
            ax.axhline(end, color=color, linestyle=":", linewidth=1.3)
        ax.set_xscale("log")
        ax.set_xticks(sizes, [f"{size:,}" for size in sizes])
        ax.minorticks_off()
        label_axes(ax, "training examples", _LOSS[kind])
        ax.set_ylim(bottom=0)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure


def filters(found: np.ndarray, patch_size: int) -> Figure:
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


def training(histories: list[list[float]]) -> Figure:
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
