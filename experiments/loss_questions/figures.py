"""The pictures: moving scores, slopes, the path by temperature, scaled weights."""

from collections.abc import Iterator
from typing import Any

from experiments.common.slides import SCORES
from experiments.common.study import Figure, Run
from experiments.loss_questions import curves
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

_GREY = "#767676"
_COLORS = plotting.method_colors(list(curves.LOSSES))
_SVM, _SOFTMAX = curves.BOTH

# Where two losses coincide the thin one, dashed, lies on the thick one.
_STYLES: dict[str, dict[str, Any]] = {
    "SVM (Weston-Watkins)": {"linewidth": 3.6, "alpha": 0.6},
    "Crammer-Singer": {"linestyle": (0, (4, 3))},
}
# Of what lies between two ends, in turn.
_BETWEEN = (("#E69F00", "--"), ("#56B4E9", "-."), ("#000000", ":"))


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    found = run.arrays("curves")
    yield "moving", _moving(found)
    yield "indifference", _indifference(found, run.numbers("curves")["slack"])
    yield "temperatures", _temperatures(found)
    yield "scaled", _scaled(found, run.config.l2)


def _line(ax: Any, x: Any, y: Any, name: str, **style: Any) -> None:
    style = {"linewidth": 1.8, "color": _COLORS.get(name), **style}
    ax.plot(x, y, label=name, **style)


def _moving(found: dict[str, Any]) -> Figure:
    """Losses of the cat and their slopes as its own score moves."""
    figure, axes = plotting.new_figure(columns=2, width=10, height=4.2)
    for ax, key in zip(axes[0], ("cat_losses", "cat_slopes"), strict=True):
        for name, values in zip(curves.LOSSES, found[key], strict=True):
            _line(ax, found["cat"], values, name, **_STYLES.get(name, {}))
    for ax, y_label in zip(axes[0], ("loss", "its slope"), strict=True):
        label_axes(ax, "score of the right class, cat", y_label)
        ax.axvline(SCORES[0, 0], color=_GREY, linestyle=":", linewidth=1)
        ax.axvline(SCORES[0, 1] + 1, color=_GREY, linewidth=1)
    axes[0, 0].set_ylim(-0.3, 16)
    axes[0, 1].set_ylim(-6, 0.3)
    axes[0, 0].legend(frameon=False, fontsize=9)
    return figure


def _indifference(found: dict[str, Any], slack: float) -> Figure:
    """The car's slack, and both losses as the wrong scores move."""
    figure, axes = plotting.new_figure(columns=2, width=10, height=4)
    car, both = axes[0]
    for i, name in enumerate(curves.BOTH):
        _line(car, found["fall"], found["fall_losses"][i], name)
        _line(both, found["others"], found["others_losses"][i], name)
    car.axvspan(0, slack, color=_COLORS[_SVM], alpha=0.1, lw=0)
    label_axes(car, "how far the car's score falls", "loss of the car")
    car.legend(frameon=False, fontsize=9)
    for place in (9, 10):
        both.axvline(place, color=_GREY, linestyle=":", linewidth=1)
    label_axes(both, "both wrong scores t, of (10, t, t)", "loss")
    both.set_ylim(-0.1, 6)
    return figure


def _temperatures(found: dict[str, Any]) -> Figure:
    """From Crammer-Singer to softmax as the temperature rises from 0 to 1."""
    figure, axes = plotting.new_figure(width=7.5, height=4.2)
    ax = axes[0, 0]
    ends = {0.0: "Crammer-Singer", 1.0: "softmax"}
    pairs = zip(found["path_temperatures"], found["path_losses"], strict=True)
    for number, (temperature, values) in enumerate(pairs):
        name = ends.get(temperature, "between")
        color, style = _BETWEEN[(number - 1) % len(_BETWEEN)]
        if temperature in ends:
            color, style = _COLORS[name], "-"
        text = f"T = {temperature:g}, margin {1 - temperature:g}"
        label = f"{text}: {name}"
        _line(ax, found["near"], values, label, color=color, linestyle=style)
    label_axes(ax, "score of the right class, cat", "loss")
    ax.legend(frameon=False, fontsize=9)
    return figure


def _scaled(found: dict[str, Any], l2: float) -> Figure:
    """Losses of scaled weights: where L is 0, where it is not, and with a penalty."""
    figure, axes = plotting.new_figure(columns=3, width=13, height=4)
    titles = ("car", "L = 0 from some factor on"), ("three images", "L is not 0")
    for ax, (which, title) in zip(axes[0, :2], titles, strict=True):
        for key, name in (("svm", _SVM), ("softmax", _SOFTMAX)):
            _line(ax, found["factors"], found[f"{key}, {which}"], name)
        label_axes(ax, "factor of all weights and biases", f"loss, {which}")
        ax.axvline(1, color=_GREY, linestyle=":", linewidth=1)
        ax.set_title(title, fontsize=11)
    axes[0, 0].legend(frameon=False, fontsize=9)
    _draw_penalised(axes[0, 2], found, l2)
    return figure


def _draw_penalised(ax: Any, found: dict[str, Any], l2: float) -> None:
    """Loss, penalty and objective along the multiples of a W without loss."""
    factors = found["multiples"]
    _line(ax, factors, found["loss"], "SVM loss", color=_COLORS[_SVM])
    name = f"penalty, l2 = {l2:g}"
    _line(ax, factors, found["penalty"], name, color=_GREY, linestyle="--")
    _line(ax, factors, found["objective"], "objective, their sum", color="#000000")
    best = int(found["objective"].argmin())
    ax.plot(factors[best], found["objective"][best], "o", color="#000000", ms=7)
    ax.axvline(1, color=_GREY, linestyle=":", linewidth=1)
    label_axes(ax, "factor of all weights", "separable points")
    ax.set(xlim=(0, 2), ylim=(0, 1.2 * found["loss"].max()))
    ax.set_title("with a penalty one factor is best", fontsize=11)
    ax.legend(frameon=False, fontsize=9)
