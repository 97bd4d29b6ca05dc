"""The pictures: accuracy against k, neighbours, time, noise, contrast."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from experiments.nearest_neighbor import choosing, contrast, measure
from experiments.nearest_neighbor.contrast import NORMAL, PIXELS, PROJECTED
from experiments.nearest_neighbor.local import FITS
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.testing import CHOSEN
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

_GREY = "#767676"
# Blue and vermilion; marks say the same to those who cannot tell them apart.
_RIGHT, _WRONG = plotting.PALETTE[0], plotting.PALETTE[1]
COLORS = plotting.method_colors(list(METRICS))


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    config, facts, found = run.config, run.data, run.numbers("summary")
    assert facts is not None
    searches, chosen = measure.records(config, run), found["chosen"]
    yield "metrics", _metrics(searches)
    mine = [one for one in searches if one["metric"] == chosen["metric"]]
    most = max(mine, key=lambda one: one["examples"])
    yield "weightings", _weightings(most, chosen)
    test, names = run.arrays("test"), facts["class_names"]
    yield "confusion", _confusion(test["label"], test[CHOSEN], names)
    if "images" in test:
        shown = run.numbers("test")["neighbors"]
        yield "neighbors", _neighbors(shown, test["images"], facts["max_value"])
    if found["local"]:
        yield "local", _local_fits(found["local"])
    yield "time", _time(found["time"])
    repeats = range(config.noise_repeats)
    yield "noise", _noise([run.numbers(f"noise_{number}") for number in repeats])
    yield "contrast", _contrast(found["contrast"])


def _metrics(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Accuracy held out against k, equal weights: a line a metric."""
    figure, axes = plotting.new_figure(width=8.5, height=4.2)
    ax = axes[0, 0]
    for record in records:
        many = len({one["examples"] for one in records if _same(one, record)}) > 1
        is_part = many and record["examples"] < max(one["examples"] for one in records)
        rows = f", {record['examples']:,} rows"
        _against_k(
            ax,
            record,
            "uniform",
            label=METRICS[record["metric"]].title + (rows if many else ""),
            color=COLORS[record["metric"]],
            line_style="--" if is_part else "-",
        )
    _finish_k(ax, records[0]["ks"])
    return figure


def _weightings(record: Mapping[str, Any], chosen: Any) -> Figure:
    """Accuracy held out against k, one metric: a line a weighting."""
    figure, axes = plotting.new_figure(width=8.5, height=4.2)
    ax = axes[0, 0]
    for place, weighting in enumerate(record["weightings"]):
        color = plotting.PALETTE[place % len(plotting.PALETTE)]
        _against_k(ax, record, weighting, label=weighting, color=color)
    if record["metric"] == chosen["metric"]:
        mean, _ = choosing.score_of(record, chosen["weighting"], chosen["k"])
        ax.plot(
            *(chosen["k"], 100 * mean),
            "o",
            markerfacecolor="none",
            color="black",
            markersize=10,
            label="chosen",
        )
    _finish_k(ax, record["ks"])
    return figure


def _confusion(labels: np.ndarray, answers: np.ndarray, names: list[str]) -> Figure:
    """Answers of the choice to the test examples of each class."""
    figure, axes = plotting.new_figure(width=6.2, height=5.4)
    matrix = np.zeros((len(names), len(names)), int)
    np.add.at(matrix, (labels, answers), 1)
    plotting.confusion_matrix(axes[0, 0], matrix, class_names=names)
    return figure


def _neighbors(
    shown: list[dict[str, Any]], images: np.ndarray, max_value: float
) -> Figure:
    """Test images with their nearest training images, marked right or wrong."""
    rows, columns = images.shape[:2]
    figure, axes = plotting.new_figure(
        rows=rows, columns=columns, width=1.25 * columns, height=1.45 * rows
    )
    for places, one, row in zip(axes, shown, images, strict=True):
        titles = [f"{one['class']}\nanswer {one['answer']}", *one["near"]]
        plotting.image_grid(places, row, titles=titles, limits=(0, max_value))
        answers = (one["answer"], *one["near"])
        is_right = [name == one["class"] for name in answers]
        for ax, title, good in zip(places, titles, is_right, strict=True):
            color, mark = (_RIGHT, "✓") if good else (_WRONG, "✗")
            ax.set_title(f"{title} {mark}", fontsize=8, color=color)
            ax.set_axis_on()
            ax.set_xticks([])
            ax.set_yticks([])
            for spine in ax.spines.values():
                spine.set(color=color, linewidth=2.5 if ax is places[0] else 1.5)
    return figure


def _local_fits(found: Mapping[str, Any]) -> Figure:
    """Accuracy against k, a line a local fit, bars from end to end of the interval."""
    figure, axes = plotting.new_figure(width=7.5, height=4)
    ax = axes[0, 0]
    for place, name in enumerate(FITS):
        mean, ends = (
            100 * np.array(found[what][name]) for what in ("accuracy", "interval")
        )
        ax.errorbar(
            # Side by side instead of on one another.
            np.array(found["ks"]) * (1 + 0.02 * (place - 1)),
            mean,
            [mean - ends[:, 0], ends[:, 1] - mean],
            color=plotting.PALETTE[place],
            marker="o",
            markersize=4,
            capsize=3,
            label=name,
        )
    label_axes(ax, "neighbours k", "accuracy (%)")
    _finish_k(ax, found["ks"])
    return figure


def _time(found: Mapping[str, Any]) -> Figure:
    """Median time a query against training rows, beside the linear classifier."""
    figure, axes = plotting.new_figure(width=7.5, height=4.2)
    ax = axes[0, 0]
    sizes = found["sizes"]
    for name, one in found["searches"].items():
        ax.plot(
            sizes,
            1e3 * np.array(one["seconds"]),
            "o-",
            color=COLORS[name],
            label=METRICS[name].title,
        )
        low, high = (1e3 * np.array(one[end]) for end in ("least", "most"))
        ax.fill_between(sizes, low, high, color=COLORS[name], alpha=0.2, linewidth=0)
    ax.axhline(
        1e3 * found["linear"], color="black", linestyle="--", label="linear classifier"
    )
    ax.set_xscale("log")
    ax.set_yscale("log")
    label_axes(ax, "training rows n", "milliseconds a query")
    ax.legend(frameon=False)
    return figure


def _noise(records: Sequence[Mapping[str, Any]]) -> Figure:
    """Means over repeats in bands of one standard error."""
    figure, axes = plotting.new_figure(width=7.5, height=4.2)
    ax = axes[0, 0]
    levels = np.array(records[0]["noise_features"])
    shown = {
        "one_nearest": ("1-NN", plotting.PALETTE[5], "--"),
        "nearest": ("k-NN, k chosen", plotting.PALETTE[0], "-"),
        "linear": ("linear softmax, l2 chosen", plotting.PALETTE[1], "-"),
    }
    for name, (label, color, line_style) in shown.items():
        plotting.learning_curves(
            ax,
            levels,
            100 * np.array([one[name] for one in records]),
            label=label,
            color=color,
            band="standard_error",
            line_style=line_style,
            x_label="features of noise added",
            y_label="test accuracy (%)",
        )
    if levels.max() > 0:
        # Straight up to the first level above 0, then by powers.
        ax.set_xscale("symlog", linthresh=max(1, levels[levels > 0].min()))
        ax.set_xticks(levels, [f"{level:,}" for level in levels])
        ax.minorticks_off()
    return figure


def _contrast(found: Mapping[str, Any]) -> Figure:
    """Medians over queries in bands from quartile to quartile."""
    figure, axes = plotting.new_figure(width=7.5, height=4.4)
    ax = axes[0, 0]
    colors = dict(zip((PIXELS, PROJECTED, NORMAL), plotting.PALETTE, strict=False))
    for name, color in colors.items():
        curve = [one for one in found["curves"][name] if _is_finite(one)]
        if not curve:
            continue
        dimension = [one["dimension"] for one in curve]
        low, median, high = (
            [one[end] for one in curve] for end in ("low", "median", "high")
        )
        ax.plot(dimension, median, "o-", color=color, label=name, markersize=4)
        ax.fill_between(dimension, low, high, color=color, alpha=0.2, linewidth=0)
    dimensions = [one["dimension"] for one in found["curves"][NORMAL]]
    large = [dimension for dimension in dimensions if dimension >= 30]
    if large:
        theory = [contrast.in_theory(one, found["examples"]) for one in large]
        ax.plot(large, theory, ":", color="black", label="normal data, in theory")
    if found["whole"]["median"]:
        ax.axhline(
            found["whole"]["median"],
            color=_GREY,
            linestyle="--",
            linewidth=1,
            label="rows as they are",
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    label_axes(ax, "dimension", "(Dmax - Dmin) / Dmin")
    ax.legend(frameon=False)
    return figure


def _against_k(ax, record, weighting, *, label, color, line_style="-") -> None:
    place = record["weightings"].index(weighting)
    plotting.learning_curves(
        ax,
        record["ks"],
        100 * np.array(record["accuracy"][place]).T,
        label=label,
        color=color,
        band="standard_error",
        line_style=line_style,
        x_label="neighbours k",
        y_label="accuracy held out (%)",
    )


def _finish_k(ax, ks) -> None:
    ax.set_xscale("log")
    ax.set_xticks(ks, [str(k) if k in _NAMED_KS else "" for k in ks])
    ax.minorticks_off()
    # Beside the lines, which may be anywhere.
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)


_NAMED_KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 500, 1000)


def _same(one, other) -> bool:
    return one["metric"] == other["metric"]


def _is_finite(one) -> bool:
    return all(one[end] for end in ("low", "median", "high"))
