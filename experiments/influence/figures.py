"""The pictures: accuracy along the paths, images that decide, groups, wrong labels."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from experiments.influence import measure
from experiments.influence.digits import RANKINGS
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    yield "paths", _paths(run)
    facts = run.data
    assert facts is not None
    pictures, classes = run.arrays("images")["images"], run.numbers("images")["classes"]
    for side, name in enumerate(("helpful", "harmful")):
        yield name, _images(pictures[:, side], classes, name, facts["max_value"])
    yield "groups", _groups(run.numbers("groups"))
    yield "noise", _noise(run.numbers("noise")["rows"])


def _paths(run: Run) -> Figure:
    """Accuracy against l2 of each data set: left out, on folds, on the test set."""
    paths = measure.prefixes(run.config)
    figure, axes = plotting.new_figure(columns=len(paths), width=10, height=4)
    colors = plotting.method_colors(list(measure.ESTIMATES.values()))
    for ax, (prefix, dataset) in zip(axes[0], paths.items(), strict=True):
        for part, title in measure.ESTIMATES.items():
            found = run.numbers(f"{prefix}{part}")
            values = [100 * one["accuracy"] for one in found]
            ax.plot(run.config.l2, values, "o-", color=colors[title], label=title)
        ax.set_xscale("log")
        ax.set_title(dataset, fontsize=11)
        label_axes(ax, "l2", "accuracy (%)")
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


def _images(
    pictures: np.ndarray, classes: list[dict[str, Any]], name: str, max_value: float
) -> Figure:
    """A row of training images for the test images of each class."""
    rows, columns = pictures.shape[:2]
    figure, axes = plotting.new_figure(
        rows=rows, columns=columns, width=1.05 * columns + 1, height=1.3 * rows
    )
    plotting.image_grid(
        axes,
        pictures.reshape(-1, *pictures.shape[2:]),
        titles=[label for one in classes for label in one[name]],
        limits=(0, max_value or pictures.max()),
    )
    for ax, one in zip(axes[:, 0], classes, strict=True):
        place = {"transform": ax.transAxes, "ha": "right", "va": "center"}
        ax.text(-0.15, 0.5, one["name"], fontsize=11, weight="bold", **place)
    return figure


def _groups(rows: list[dict[str, Any]]) -> Figure:
    """True change of the test loss against the predicted one, a point a group."""
    l2s = list(dict.fromkeys(row["l2"] for row in rows))
    figure, axes = plotting.new_figure(columns=len(l2s), width=5 * len(l2s), height=4.4)
    for ax, l2 in zip(axes[0], l2s, strict=True):
        some = [row for row in rows if row["l2"] == l2]
        for place, row in enumerate(some):
            color = plotting.PALETTE[place % len(plotting.PALETTE)]
            label = "1 digit" if row["size"] == 1 else f"{row['size']} digits"
            ax.plot(row["predicted"], row["true"], "o", color=color, label=label)
        ax.axline((0, 0), slope=1, color="#767676", linewidth=1, linestyle=":")
        ax.locator_params(axis="x", nbins=5)
        ax.set_title(f"l2 = {l2:g}", fontsize=11)
        label_axes(ax, "change of the mean test loss, predicted", "by a refit")
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


def _noise(rows: list[dict[str, Any]]) -> Figure:
    """Share of the wrong labels that each ranking finds, against l2."""
    figure, axes = plotting.new_figure(width=7, height=4)
    ax = axes[0, 0]
    for name, color in plotting.method_colors(RANKINGS).items():
        some = [row for row in rows if row["ranking"] == name]
        l2s, found = ([row[key] for row in some] for key in ("l2", "found"))
        ax.plot(l2s, 100 * np.array(found), "o-", color=color, label=name)
    label_axes(ax, "l2", "wrong labels found (%)")
    ax.set_xscale("log")
    ax.legend(frameon=False, fontsize=9)
    return figure
