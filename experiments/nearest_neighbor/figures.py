"""The pictures: accuracy against k, neighbours, time, noise, contrast."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.common.study import Figure, Run
from experiments.nearest_neighbor import measure
from experiments.nearest_neighbor.choosing import PART
from experiments.nearest_neighbor.contrast import NORMAL, PIXELS, PROJECTED, THEORY
from experiments.nearest_neighbor.learner import METRICS, UNIFORM
from experiments.nearest_neighbor.testing import CHOSEN, pictured
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

Record = Mapping[str, Any]

# Blue and vermilion; marks say the same to those who cannot tell them apart.
_RIGHT, _WRONG = plotting.PALETTE[:2]
COLORS = plotting.method_colors(list(METRICS))
_NAMED_KS = (1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100, 200, 500, 1000)


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    config, facts, choice = run.config, run.data, run.numbers("choice")
    assert facts is not None
    yield "metrics", _metrics(config.ks, measure.records(run))
    yield "weightings", _weightings(config.ks, run.numbers(choice["search"]), choice)
    test = run.arrays("test")
    yield "confusion", _confusion(test["label"], test[CHOSEN], facts["class_names"])
    if "images" in test:
        yield "neighbors", _neighbors(test, facts)
    yield "time", _time(run.numbers("time"))
    yield "noise", _noise(config.noise_features, run.numbers("noise")["repeats"])
    yield "contrast", _contrast(config.dimensions, run.numbers("contrast"))


def _metrics(ks: Sequence[int], records: Sequence[Record]) -> Figure:
    """Accuracy held out against k, equal weights: a line a metric."""
    figure, axes = plotting.new_figure(width=8.5, height=4.2)
    metrics = [record["metric"] for record in records]
    for record, metric in zip(records, metrics, strict=True):
        label, line_style = record["title"], "-"
        if metrics.count(metric) > 1:
            label += f", {record['examples']:,} rows"
            line_style = "--" if record["rows"] == PART else "-"
        how = {"label": label, "color": COLORS[metric], "line_style": line_style}
        _against_k(axes[0, 0], record, UNIFORM, **how)
    _finish_k(axes[0, 0], ks)
    return figure


def _weightings(ks: Sequence[int], record: Record, choice: Record) -> Figure:
    """Accuracy held out against k, one metric: a line a weighting."""
    figure, axes = plotting.new_figure(width=8.5, height=4.2)
    names = dict.fromkeys(one["weighting"] for one in record["settings"])
    for place, name in enumerate(names):
        color = plotting.PALETTE[place % len(plotting.PALETTE)]
        _against_k(axes[0, 0], record, name, label=name, color=color)
    at, how = (choice["k"], 100 * choice["accuracy"]), {"mfc": "none", "ms": 10}
    axes[0, 0].plot(*at, "o", color="black", label="chosen", **how)
    _finish_k(axes[0, 0], ks)
    return figure


def _confusion(labels: np.ndarray, answers: np.ndarray, names: list[str]) -> Figure:
    """Answers of the choice to the test examples of each class."""
    figure, axes = plotting.new_figure(width=6.2, height=5.4)
    matrix = np.zeros((len(names), len(names)), int)
    np.add.at(matrix, (labels, answers), 1)
    plotting.confusion_matrix(axes[0, 0], matrix, class_names=names)
    return figure


def _neighbors(test: Mapping[str, np.ndarray], facts: Record) -> Figure:
    """Test images with their nearest training images, marked right or wrong."""
    images = test["images"]
    rows, columns = images.shape[:2]
    figure, axes = plotting.new_figure(
        rows=rows, columns=columns, width=1.25 * columns, height=1.45 * rows
    )
    some = pictured(test[CHOSEN] == test["label"])
    for places, one, row in zip(axes, some, images, strict=True):
        label, labels = test["label"][one], [test[CHOSEN][one], *test["near"][one]]
        titles = [facts["class_names"][given] for given in labels]
        titles[0] = f"{facts['class_names'][label]}\nanswer {titles[0]}"
        plotting.image_grid(places, row, titles=titles, limits=(0, facts["max_value"]))
        for ax, title, given in zip(places, titles, labels, strict=True):
            color, mark = (_RIGHT, "✓") if given == label else (_WRONG, "✗")
            ax.set_title(f"{title} {mark}", fontsize=8, color=color)
            ax.set_axis_on()
            ax.set(xticks=[], yticks=[])
            for spine in ax.spines.values():
                spine.set(color=color, linewidth=2.5 if ax is places[0] else 1.5)
    return figure


def _time(found: Record) -> Figure:
    """Median time a query against training rows, beside the linear classifier."""
    figure, axes = plotting.new_figure(width=7.5, height=4.2)
    for one in found["searches"]:
        sizes = [time["rows"] for time in one["times"]]
        low, median, high = (
            [1e3 * time[name] for time in one["times"]]
            for name in ("least", "median", "most")
        )
        color = COLORS[one["metric"]]
        _band(axes[0, 0], sizes, low, median, high, color=color, label=one["title"])
    linear, how = 1e3 * found["linear"]["median"], {"color": "black", "linestyle": "--"}
    axes[0, 0].axhline(linear, **how, label="linear classifier")
    _finish_logs(axes[0, 0], "training rows n", "milliseconds a query")
    return figure


def _noise(amounts: Sequence[int], repeats: Sequence[Sequence[Record]]) -> Figure:
    """Means over repeats in bands of one standard error."""
    figure, axes = plotting.new_figure(width=7.5, height=4.2)
    ax = axes[0, 0]
    for name, label, color, line_style in (
        ("one_nearest", "1-NN", plotting.PALETTE[5], "--"),
        ("nearest", "k-NN, k chosen", plotting.PALETTE[0], "-"),
        ("linear", "linear softmax, l2 chosen", plotting.PALETTE[1], "-"),
    ):
        values = [[100 * level[name] for level in levels] for levels in repeats]
        how = {"label": label, "color": color, "line_style": line_style}
        plotting.learning_curves(ax, amounts, values, band="standard_error", **how)
    label_axes(ax, "features of noise added", "test accuracy (%)")
    if amounts[-1] > 0:
        # Straight up to the first level above 0, then by powers.
        ax.set_xscale("symlog", linthresh=min(filter(None, amounts)))
        ax.set_xticks(amounts, [f"{amount:,}" for amount in amounts])
        ax.minorticks_off()
    return figure


def _contrast(dimensions: Sequence[int], found: Record) -> Figure:
    """Medians over queries in bands from quartile to quartile."""
    figure, axes = plotting.new_figure(width=7.5, height=4.4)
    ax = axes[0, 0]
    for name, color in zip((PIXELS, PROJECTED, NORMAL), plotting.PALETTE, strict=False):
        quartiles = [
            (dimension, one["low"], one["median"], one["high"])
            for dimension, one in zip(dimensions, found["curves"][name], strict=True)
            # None instead of infinity, and 0 has no logarithm.
            if one and all(one.values())
        ]
        if quartiles:
            _band(ax, *zip(*quartiles, strict=True), color=color, label=name)
    theory = [one["median"] if one else np.nan for one in found["curves"][THEORY]]
    if not np.isnan(theory).all():
        ax.plot(dimensions, theory, ":", color="black", label=THEORY)
    if whole := found["whole"]["median"]:
        ax.axhline(whole, color="#767676", ls="--", lw=1, label="rows as they are")
    _finish_logs(ax, "dimension", "(Dmax - Dmin) / Dmin")
    return figure


def _band(ax, x, low, middle, high, *, color, label) -> None:
    ax.plot(x, middle, "o-", color=color, label=label, markersize=4)
    ax.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)


def _finish_logs(ax, x_label: str, y_label: str) -> None:
    ax.set(xscale="log", yscale="log")
    label_axes(ax, x_label, y_label)
    _legend_beside(ax)


def _against_k(ax, record, weighting, **how) -> None:
    settings = [one for one in record["settings"] if one["weighting"] == weighting]
    accuracy = 100 * np.array([one["folds"] for one in settings]).T
    ks = [one["k"] for one in settings]
    plotting.learning_curves(ax, ks, accuracy, band="standard_error", **how)


def _finish_k(ax, ks) -> None:
    label_axes(ax, "neighbours k", "accuracy held out (%)")
    ax.set_xscale("log")
    ax.set_xticks(ks, [str(k) if k in _NAMED_KS else "" for k in ks])
    ax.minorticks_off()
    _legend_beside(ax)


def _legend_beside(ax) -> None:
    # The lines may be anywhere.
    ax.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), fontsize=9)
