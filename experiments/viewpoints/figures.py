"""The pictures: templates, the plane, pixels that count, perturbations, accuracy."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from experiments.viewpoints.radii import NORMS
from jaxlin import plotting
from jaxlin.geometry import hyperplanes
from jaxlin.linear import Params
from jaxlin.plotting.axes import label_axes

# Ten classes have a colour of their own; those of Okabe and Ito are seven.
_CLASS_COLORS = (
    *plotting.PALETTE[:6],
    "#8c6d31",
    "#7b4173",
    "#637939",
    "#333333",
)


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    facts = run.data
    assert facts is not None
    yield "templates", _templates(run.fit("fit", "model").params.weights, facts)
    yield "plane", _plane(run.arrays("plane"), facts["class_names"])
    yield (
        "contributions",
        _contributions(run.numbers("pixels"), run.arrays("pixels"), facts["max_value"]),
    )
    found = {name: run.arrays(f"radii_{name}") for name in NORMS}
    shown = {name: run.numbers(f"radii_{name}")["shown"] for name in NORMS}
    yield "changes", _changes(found, shown)
    yield "accuracy", _accuracy(found)


def _templates(weights: Any, facts: dict[str, Any]) -> Figure:
    """The rows of W as pictures, each on its own scale and all on one."""
    columns = min(len(weights), 10)
    rows = -(-len(weights) // columns)
    figure, axes = plotting.new_figure(
        rows=2 * rows, columns=columns, width=11, height=2.9 * rows
    )
    for part, scale in ((axes[:rows], "per_class"), (axes[rows:], "shared")):
        plotting.templates(
            part,
            np.asarray(weights),
            image_shape=tuple(facts["image_shape"]),
            class_names=facts["class_names"],
            scale=scale,  # type: ignore[arg-type]
        )
    return figure


def _plane(found: dict[str, Any], names: list[str]) -> Figure:
    """Regions of the plane and the training images projected on it."""
    figure, axes = plotting.new_figure(width=8.6, height=5.4)
    ax = axes[0, 0]
    low, high = found["low"], found["high"]
    colors = [_CLASS_COLORS[i % len(_CLASS_COLORS)] for i in range(len(names))]
    flat = Params(found["weights"], found["bias"])
    polygons = hyperplanes.regions(flat, low=low, high=high)
    plotting.decision_regions(ax, polygons, colors=colors)
    plotting.labelled_points(
        ax,
        found["coordinates"],
        found["labels"],
        class_names=names,
        colors=colors,
        size=7,
    )
    for polygon, name, color in zip(polygons, names, colors, strict=True):
        if len(polygon) > 2:
            ax.text(
                *polygon.mean(axis=0),
                name,
                color=color,
                fontsize=11,
                weight="bold",
                ha="center",
                va="center",
                bbox={"facecolor": "white", "alpha": 0.75, "lw": 0, "pad": 1.5},
            )
    label_axes(ax, "first principal axis", "second principal axis")
    ax.grid(visible=False)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.legend(
        fontsize=8,
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        markerscale=2.5,
    )
    return figure


def _contributions(
    rows: list[dict[str, Any]], found: dict[str, np.ndarray], max_value: float
) -> Figure:
    """Images over what each of their pixels adds to the lead."""
    figure, axes = plotting.new_figure(
        rows=2, columns=len(rows), width=2.2 * len(rows) + 0.4, height=4.9
    )
    plotting.image_grid(
        axes[0],
        found["images"],
        titles=[one["label"] for one in rows],
        limits=(0, max_value),
    )
    plotting.signed_images(
        axes[1],
        found["parts"],
        titles=[f"{one['first']} over {one['second']}" for one in rows],
    )
    return figure


def _changes(
    found: dict[str, dict[str, np.ndarray]], shown: dict[str, dict[str, Any]]
) -> Figure:
    """One image, and in each norm the smallest change and the image with it."""
    (original, label), *_ = ((found[n]["image"], shown[n]["label"]) for n in found)
    columns = 1 + len(found)
    figure, axes = plotting.new_figure(
        rows=2, columns=columns, width=2.6 * columns + 0.4, height=5.8
    )
    after = [np.clip(original + one["change"], 0, 1) for one in found.values()]
    titles = [
        f"{name}: {label} \N{RIGHTWARDS ARROW} {one['changed']}"
        for name, one in shown.items()
    ]
    plotting.image_grid(
        axes[0],
        np.stack([original, *after]),
        titles=[f"as it is: {label}", *titles],
        limits=(0.0, 1.0),
    )
    axes[1, 0].set_axis_off()
    for ax, (name, one) in zip(axes[1, 1:], found.items(), strict=True):
        change = one["change"]
        sizes = np.abs(change).reshape(*change.shape[:2], -1).max(axis=2)
        largest = float(sizes.max()) or 1.0
        image = ax.imshow(sizes, cmap="viridis", vmin=0, vmax=largest)
        ax.set_title(f"change, {name} {shown[name]['radius']:.3g}", fontsize=10)
        ax.set_axis_off()
        bar = figure.colorbar(
            image, ax=ax, orientation="horizontal", ticks=[0, largest], fraction=0.06
        )
        bar.ax.set_xticklabels(["0", f"{largest:.2g}"])
        bar.set_label("of the pixel range", fontsize=9)
    return figure


def _accuracy(found: dict[str, dict[str, np.ndarray]]) -> Figure:
    """Accuracy against the size of the perturbation, exact, in each norm."""
    figure, axes = plotting.new_figure(columns=len(found), width=11.5, height=3.7)
    for ax, (name, one) in zip(axes[0], found.items(), strict=True):
        kinds = (
            ("without bounds", "free_share", plotting.PALETTE[0], "-"),
            ("within the pixel range", "boxed_share", plotting.PALETTE[1], "--"),
        )
        for label, key, color, style in kinds:
            ax.plot(
                one["sizes"],
                100 * one[key],
                style,
                color=color,
                label=label,
                linewidth=1.8,
            )
        label_axes(ax, f"size in {name}, pixel range = 1", "accuracy (%)")
        ax.set(xlim=(0, one["sizes"][-1]), ylim=(0, None))
    axes[0, 0].legend(frameon=False, fontsize=8.5)
    return figure
