"""The pictures: moving scores, slopes, the path by temperature, scaled weights."""

from typing import Any

import numpy as np

from experiments.common.slides import SCORES
from experiments.loss_questions import curves, minimisers
from experiments.loss_questions.answers import slack
from experiments.loss_questions.config import Config
from jaxlin import plotting
from jaxlin.plotting.base import label_axes

Figure = Any

_GREY = "#767676"
COLORS = plotting.method_colors(list(curves.LOSSES))


def _line(ax: Any, x: Any, y: Any, name: str, **style: Any) -> None:
    ax.plot(x, y, label=name, linewidth=1.8, **style)


def moving(config: Config) -> Figure:
    """Losses of the cat and their slopes as its own score moves."""
    figure, axes = plotting.new_figure(columns=2, width=10, height=4.2)
    positions = np.linspace(-5.0, 10.0, config.points)
    for name, loss in curves.LOSSES.items():
        losses, slopes = curves.moved(loss, positions, 0, 0)
        for ax, values in zip(axes[0], (losses, slopes), strict=True):
            _line(ax, positions, values, name, color=COLORS[name])
    for ax, y_label in zip(axes[0], ("loss", "its slope"), strict=True):
        label_axes(ax, "score of the right class, cat", y_label)
        ax.axvline(SCORES[0, 0], color=_GREY, linestyle=":", linewidth=1)
        ax.axvline(SCORES[0, 1] + 1, color=_GREY, linewidth=1)
    axes[0, 0].set_ylim(-0.3, 16)
    axes[0, 1].set_ylim(-6, 0.3)
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


def indifference(config: Config) -> Figure:
    """The car's slack, and both losses as the wrong scores move."""
    figure, axes = plotting.new_figure(columns=2, width=10, height=4)
    car, both = axes[0]
    fall = np.linspace(0, 4, config.points)
    for name in ("SVM (Weston-Watkins)", "softmax"):
        values, _ = curves.moved(curves.LOSSES[name], SCORES[1, 1] - fall, 1, 1)
        _line(car, fall, values, name, color=COLORS[name])
    car.axvspan(0, slack(), color=COLORS["SVM (Weston-Watkins)"], alpha=0.1, lw=0)
    label_axes(car, "how far the car's score falls", "loss of the car")
    car.legend(frameon=False, fontsize=9)
    positions = np.linspace(-2, 12, config.points)
    for name, values in curves.jiggled(positions).items():
        _line(both, positions, values, name, color=COLORS[name])
    for place in (9, 10):
        both.axvline(place, color=_GREY, linestyle=":", linewidth=1)
    label_axes(both, "both wrong scores t, of (10, t, t)", "loss")
    both.set_ylim(-0.1, 6)
    return figure


def temperatures(config: Config) -> Figure:
    """From Crammer-Singer to softmax as the temperature rises from 0 to 1."""
    figure, axes = plotting.new_figure(width=7.5, height=4.2)
    ax = axes[0, 0]
    positions = np.linspace(2.0, 9.0, config.points)
    found = curves.path(positions, sorted(config.temperatures))
    first, last = COLORS["Crammer-Singer"], COLORS["softmax"]
    for temperature, values in found.items():
        ends = {0.0: (first, "Crammer-Singer"), 1.0: (last, "softmax")}
        color, name = ends.get(temperature, (_GREY, "between"))
        style = "-" if temperature in ends else "--"
        text = f"T = {temperature:g}, margin {curves.path_margin(temperature):g}"
        _line(ax, positions, values, f"{text}: {name}", color=color, linestyle=style)
    label_axes(ax, "score of the right class, cat", "loss")
    ax.legend(frameon=False, fontsize=9)
    return figure


def scaled(config: Config) -> Figure:
    """Mean losses of scaled weights: where L is 0 and where it is not."""
    figure, axes = plotting.new_figure(columns=2, width=10, height=4)
    factors = np.linspace(0, 4, config.points)
    found = minimisers.scaled_means(factors)
    titles = ("car", "L = 0 from some factor on"), ("three images", "L is not 0")
    for ax, (which, title) in zip(axes[0], titles, strict=True):
        for key, name in (("svm", "SVM (Weston-Watkins)"), ("softmax", "softmax")):
            _line(ax, factors, found[f"{key}, {which}"], name, color=COLORS[name])
        label_axes(ax, "factor of all weights and biases", f"loss, {which}")
        ax.axvline(1, color=_GREY, linestyle=":", linewidth=1)
        ax.set_title(title, fontsize=11)
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure
