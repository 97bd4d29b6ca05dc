"""The pictures: templates, the plane, pixels that count, perturbations, accuracy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.viewpoints import radii
from experiments.viewpoints.measure import Explained, Plane
from experiments.viewpoints.radii import NORMS, Radii
from jaxlin import data, plotting
from jaxlin.geometry import hyperplanes
from jaxlin.plotting.axes import label_axes

Figure = Any

# Ten classes have a colour of their own; those of Okabe and Ito are seven.
_CLASS_COLORS = (
    *plotting.PALETTE[:6],
    "#8c6d31",
    "#7b4173",
    "#637939",
    "#333333",
)


def class_colors(count: int) -> list[str]:
    """A colour for each class, repeated after the tenth."""
    return [_CLASS_COLORS[i % len(_CLASS_COLORS)] for i in range(count)]


def templates(weights: np.ndarray, dataset: data.Dataset) -> Figure:
    """The rows of W as pictures, each on its own scale and all on one."""
    count = dataset.num_classes
    columns = min(count, 10)
    rows = -(-count // columns)
    figure, axes = plotting.new_figure(
        rows=2 * rows, columns=columns, width=11, height=2.9 * rows
    )
    assert dataset.image_shape is not None
    for part, scale in ((axes[:rows], "per_class"), (axes[rows:], "shared")):
        plotting.templates(
            part,
            weights,
            image_shape=dataset.image_shape,
            class_names=dataset.class_names,
            scale=scale,  # type: ignore[arg-type]
        )
    return figure


def plane(found: Plane, dataset: data.Dataset) -> Figure:
    """Regions of the plane and the training images projected on it."""
    figure, axes = plotting.new_figure(width=8.6, height=5.4)
    ax = axes[0, 0]
    low, high = limits(found)
    colors = class_colors(dataset.num_classes)
    polygons = hyperplanes.regions(found.flat, low=low, high=high)
    plotting.decision_regions(ax, polygons, colors=colors)
    plotting.labelled_points(
        ax,
        found.coordinates,
        found.labels,
        class_names=dataset.class_names,
        colors=colors,
        size=7,
    )
    for polygon, name, color in zip(polygons, dataset.class_names, colors, strict=True):
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


def limits(found: Plane) -> tuple[np.ndarray, np.ndarray]:
    """The rectangle that is drawn: all but the outermost points."""
    low, high = np.quantile(found.coordinates, [0.005, 0.995], axis=0)
    room = 0.15 * (high - low) + 1e-6
    return low - room, high + room


def contributions(found: Sequence[Explained], dataset: data.Dataset) -> Figure:
    """Images over what each of their pixels adds to the lead."""
    figure, axes = plotting.new_figure(
        rows=2, columns=len(found), width=2.2 * len(found) + 0.4, height=4.9
    )
    names = dataset.class_names
    plotting.image_grid(
        axes[0],
        np.stack([one.image for one in found]),
        titles=[f"{names[one.label]}" for one in found],
        limits=(0, dataset.max_value),
    )
    plotting.signed_images(
        axes[1],
        np.stack([one.parts for one in found]),
        titles=[f"{names[one.first]} over {names[one.second]}" for one in found],
    )
    return figure


def perturbed(
    found: dict[str, Radii], image: np.ndarray, label: str, dataset: data.Dataset
) -> Figure:
    """One image, and in each norm the smallest change and the image with it.

    Args:
      found: by norm, each with its change of that image.
      image: raw pixels.
      label: that the classifier gives it.
      dataset: the image's.
    """
    original = image / dataset.max_value
    columns = 1 + len(found)
    figure, axes = plotting.new_figure(
        rows=2, columns=columns, width=2.6 * columns + 0.4, height=5.8
    )
    changes = [one.change.change.reshape(image.shape) for one in found.values()]
    titles = [
        f"{name}: {label} \N{RIGHTWARDS ARROW} "
        f"{dataset.class_names[int(one.change.label)]}"
        for name, one in found.items()
    ]
    after = [np.clip(original + change, 0, 1) for change in changes]
    plotting.image_grid(
        axes[0],
        np.stack([original, *after]),
        titles=[f"as it is: {label}", *titles],
        limits=(0.0, 1.0),
    )
    axes[1, 0].set_axis_off()
    for ax, (name, one), change in zip(
        axes[1, 1:], found.items(), changes, strict=True
    ):
        sizes = np.abs(change).reshape(*change.shape[:2], -1).max(axis=2)
        largest = float(sizes.max()) or 1.0
        drawn = ax.imshow(sizes, cmap="viridis", vmin=0, vmax=largest)
        ax.set_title(f"change, {name} {float(one.change.radius):.3g}", fontsize=10)
        ax.set_axis_off()
        bar = figure.colorbar(
            drawn, ax=ax, orientation="horizontal", ticks=[0, largest], fraction=0.06
        )
        bar.ax.set_xticklabels(["0", f"{largest:.2g}"])
        bar.set_label("of the pixel range", fontsize=9)
    return figure


def accuracy(found: dict[str, Radii], count: int) -> Figure:
    """Accuracy against the size of the perturbation, exact, in each norm."""
    figure, axes = plotting.new_figure(columns=len(NORMS), width=11.5, height=3.7)
    for ax, (name, one) in zip(axes[0], found.items(), strict=True):
        finite = one.boxed[np.isfinite(one.boxed)]
        most = float(np.quantile(finite, 0.98)) if len(finite) else 1.0
        sizes = np.linspace(0, most, count)
        kinds = (
            ("without bounds", False, plotting.PALETTE[0], "-"),
            ("within the pixel range", True, plotting.PALETTE[1], "--"),
        )
        for label, boxed, color, style in kinds:
            share = 100 * radii.curve(one, sizes, boxed=boxed)
            ax.plot(sizes, share, style, color=color, label=label, linewidth=1.8)
        label_axes(ax, f"size in {name}, pixel range = 1", "accuracy (%)")
        ax.set(xlim=(0, most), ylim=(0, None))
    axes[0, 0].legend(frameon=False, fontsize=8.5)
    return figure
