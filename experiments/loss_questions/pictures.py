"""The pictures: moving scores, slopes, the path by temperature, scaled weights."""

from typing import Any

import numpy as np

from experiments.common.slides import SCORES
from experiments.loss_questions import curves, minimisers
from experiments.loss_questions.answers import slack
from experiments.loss_questions.config import Config
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

Figure = Any

_GREY = "#767676"
COLORS = plotting.method_colors(list(curves.LOSSES))


# Where two losses coincide the thin one, dashed, lies on the thick one.
_STYLES: dict[str, dict[str, Any]] = {
    "SVM (Weston-Watkins)": {"linewidth": 3.6, "alpha": 0.6},
    "Crammer-Singer": {"linestyle": (0, (4, 3))},
}
# Of what lies between two ends, in turn.
_BETWEEN = (("#E69F00", "--"), ("#56B4E9", "-."), ("#000000", ":"))


def _line(ax: Any, x: Any, y: Any, name: str, **style: Any) -> None:
    ax.plot(x, y, label=name, **{"linewidth": 1.8, **style})


def moving(config: Config) -> Figure:
    """Losses of the cat and their slopes as its own score moves."""
    figure, axes = plotting.new_figure(columns=2, width=10, height=4.2)
    positions = np.linspace(-5.0, 10.0, config.points)
    for name, loss in curves.LOSSES.items():
        losses, slopes = curves.moved(loss, positions, 0, 0)
        for ax, values in zip(axes[0], (losses, slopes), strict=True):
            style = _STYLES.get(name, {})
            _line(ax, positions, values, name, color=COLORS[name], **style)
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
    ends = {0.0: "Crammer-Singer", 1.0: "softmax"}
    for number, (temperature, values) in enumerate(found.items()):
        name = ends.get(temperature, "between")
        color, style = _BETWEEN[(number - 1) % len(_BETWEEN)]
        if temperature in ends:
            color, style = COLORS[name], "-"
        text = f"T = {temperature:g}, margin {curves.path_margin(temperature):g}"
        _line(ax, positions, values, f"{text}: {name}", color=color, linestyle=style)
    label_axes(ax, "score of the right class, cat", "loss")
    ax.legend(frameon=False, fontsize=9)
    return figure


def scaled(config: Config) -> Figure:
    """Losses of scaled weights: where L is 0, where it is not, and with a penalty."""
    figure, axes = plotting.new_figure(columns=3, width=13, height=4)
    factors = np.linspace(0, 4, config.points)
    found = minimisers.scaled_means(factors)
    titles = ("car", "L = 0 from some factor on"), ("three images", "L is not 0")
    for ax, (which, title) in zip(axes[0, :2], titles, strict=True):
        for key, name in (("svm", "SVM (Weston-Watkins)"), ("softmax", "softmax")):
            _line(ax, factors, found[f"{key}, {which}"], name, color=COLORS[name])
        label_axes(ax, "factor of all weights and biases", f"loss, {which}")
        ax.axvline(1, color=_GREY, linestyle=":", linewidth=1)
        ax.set_title(title, fontsize=11)
    axes[0, 0].legend(frameon=False, fontsize=9)
    _draw_penalised(axes[0, 2], config)
    return figure


def _draw_penalised(ax: Any, config: Config) -> None:
    """Loss, penalty and objective along the multiples of a W without loss."""
    factors = np.linspace(0, 2, config.points)
    found = minimisers.penalised(config, factors)
    color = COLORS["SVM (Weston-Watkins)"]
    _line(ax, factors, found["loss"], "SVM loss", color=color)
    name = f"penalty, l2 = {config.l2:g}"
    _line(ax, factors, found["penalty"], name, color=_GREY, linestyle="--")
    _line(ax, factors, found["objective"], "objective, their sum", color="#000000")
    best = int(found["objective"].argmin())
    ax.plot(factors[best], found["objective"][best], "o", color="#000000", ms=7)
    ax.axvline(1, color=_GREY, linestyle=":", linewidth=1)
    label_axes(ax, "factor of all weights", "separable points")
    ax.set(xlim=(0, 2), ylim=(0, 1.2 * found["loss"].max()))
    ax.set_title("with a penalty one factor is best", fontsize=11)
    ax.legend(frameon=False, fontsize=9)
