"""The page of a run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.common import report
from experiments.common.config import to_dict
from experiments.common.report import Card, Cards, Facts, Paragraph, Section, Table
from experiments.common.run_folder import RunFolder
from experiments.cross_validation import verdict
from experiments.cross_validation.config import Config
from experiments.cross_validation.protocol import ESTIMATES
from experiments.cross_validation.verdict import IDEAS, Record
from jaxlin import plotting
from jaxlin.plotting.base import label_axes

_ORACLE = "best in truth"


def build(
    folder: RunFolder,
    config: Config,
    records: Sequence[Record],
    results: dict[str, Any],
    plan: str,
) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    return report.Report(
        f"Which estimate can be believed: {config.dataset}",
        f"{results['samples']} samples of {config.examples:,} examples, "
        f"{results['fits']:,} certified fits",
        [
            Section("Estimates", _estimates(folder, records, results)),
            Section("Choices", _choices(folder, records, results)),
            Section("One sample", _one_sample(folder, config, records)),
            Section("Accuracy over l2", _curves(folder, records)),
            Section("Method", _method(config, results, plan)),
        ],
        footer=f"python -m experiments.cross_validation, run {folder.path.name}",
    )


def _points(value: float) -> str:
    return f"{100 * value:+.2f}"


def _estimates(folder, records, results) -> list[report.Block]:
    found = results["estimates"]
    cards = [
        Card(
            _points(found[name]["bias"]),
            f"points of bias, {name}",
            "95 %: [{}, {}]".format(*map(_points, found[name]["bias_interval"])),
        )
        for name in ESTIMATES
        if "winner" not in name
    ]
    table = Table(
        ("idea", "reported on", "estimate", "truth", "bias", "95 %", "spread"),
        [
            (
                name,
                where,
                f"{100 * found[name]['estimate']:.2f} %",
                f"{100 * found[name]['truth']:.2f} %",
                _points(found[name]["bias"]),
                "[{}, {}]".format(*map(_points, found[name]["bias_interval"])),
                f"{100 * found[name]['spread']:.2f}",
            )
            for name, where in ESTIMATES.items()
        ],
        caption="Bias and spread of estimate less truth, in points, over samples.",
    )
    figure, axes = plotting.new_figure(width=8, height=4)
    ax = axes[0, 0]
    random = np.random.default_rng(0)
    for place, name in enumerate(ESTIMATES):
        errors = 100 * verdict.errors(name, records)
        color = plotting.PALETTE[int(name[0]) - 1]
        ax.plot(
            errors,
            place + random.uniform(-0.2, 0.2, len(errors)),
            "o",
            color=color,
            alpha=0.5,
            markersize=4,
        )
        ax.plot([errors.mean()] * 2, [place - 0.35, place + 0.35], color=color, lw=3)
    ax.axvline(0, color="#767676", linewidth=1)
    ax.set_yticks(range(len(ESTIMATES)), list(ESTIMATES))
    ax.invert_yaxis()
    label_axes(ax, "estimate less truth (points)", "")
    folder.write_figure("estimates", figure)
    return [
        Cards(cards),
        report.picture(
            figure,
            caption="One dot a sample; the bar is the bias.",
            alt="errors of each estimate",
            width=800,
        ),
        table,
    ]


def _choices(folder, records, results) -> list[report.Block]:
    found = results["choices"]
    l2 = np.log10(sorted(records[0]["l2"]))
    figure, axes = plotting.new_figure(width=8, height=4)
    ax = axes[0, 0]
    chosen = {
        **{name: verdict.log_l2(name, records) for name in IDEAS},
        _ORACLE: verdict.log_oracle(records),
    }
    for place, values in enumerate(chosen.values()):
        counts = np.array([np.sum(np.isclose(values, one)) for one in l2])
        color = plotting.PALETTE[min(place, 4)]
        ax.scatter(
            10.0**l2,
            np.full(len(l2), place),
            s=600 * counts / len(records),
            color=color,
            alpha=0.8,
        )
    ax.set_xscale("log")
    ax.set_yticks(range(len(chosen)), list(chosen))
    ax.invert_yaxis()
    ax.margins(y=0.15)
    label_axes(ax, "l2 chosen", "")
    folder.write_figure("choices", figure)
    return [
        report.picture(
            figure,
            caption="How often each l2 was chosen: the area of a dot is the share of "
            "samples. The last row is the l2 whose fit on four fifths is best in "
            "truth.",
            alt="l2 chosen by each idea",
            width=800,
        ),
        Table(
            ("idea", "median l2", "spread", "less the best in truth", "accuracy lost"),
            [
                (
                    name,
                    f"{10 ** one['log10_l2_median']:.1e}",
                    f"{one['log10_l2_spread']:.2f}",
                    f"{one['log10_l2_bias']:+.2f}",
                    f"{100 * one['accuracy_lost']:.2f}",
                )
                for name, one in found.items()
            ],
            caption="Spread and difference in powers of ten of l2; accuracy lost, in "
            "points, by the l2 chosen against the best, fitted on four fifths.",
        ),
    ]


def _one_sample(folder, config, records) -> list[report.Block]:
    record = records[0]
    l2, by_fold = np.array(record["l2"]), 100 * np.array(record["curves"]["folds"])
    figure, axes = plotting.new_figure(width=7.5, height=3.8)
    ax = axes[0, 0]
    for one in by_fold:
        ax.plot(l2, one, "o", color=plotting.PALETTE[5], markersize=4)
    error = by_fold.std(axis=0, ddof=1) / np.sqrt(len(by_fold))
    ax.errorbar(
        l2, by_fold.mean(axis=0), error, color=plotting.PALETTE[0], capsize=3, lw=1.8
    )
    ax.axvline(
        record["estimates"]["4: cross-validation / test"]["l2"],
        color=plotting.PALETTE[1],
        label="chosen",
    )
    ax.set_xscale("log")
    ax.legend(frameon=False)
    label_axes(ax, "l2", "accuracy (%)")
    folder.write_figure("folds", figure)
    return [
        report.picture(
            figure,
            caption=f"Cross-validation with {config.folds} folds on the first sample: "
            "a dot a fold, the line through their means, bars of one standard error.",
            alt="accuracy of each fold against l2",
            width=760,
        )
    ]


def _curves(folder, records) -> list[report.Block]:
    figure, axes = plotting.new_figure(width=7.5, height=3.8)
    ax = axes[0, 0]
    l2 = np.array(records[0]["l2"])
    curves = {
        "training examples": [one["curves"]["training"] for one in records],
        "validation set": [one["curves"]["validation"] for one in records],
        "folds": [np.mean(one["curves"]["folds"], axis=0) for one in records],
        "truth": [one["curves"]["truth"] for one in records],
    }
    colors = plotting.method_colors(list(curves))
    for name, values in curves.items():
        plotting.learning_curves(
            ax,
            l2,
            100 * np.array(values),
            label=name,
            color=colors[name],
            band="standard_error",
            x_label="l2",
            y_label="accuracy (%)",
        )
    ax.set_xscale("log")
    folder.write_figure("curves", figure)
    return [
        report.picture(
            figure,
            caption="Means over samples, the band one standard error to each side.",
            alt="accuracy against l2",
            width=760,
        )
    ]


def _method(config, results, plan) -> list[report.Block]:
    return [
        Paragraph(
            "Training and test examples of the data set together are the population; "
            "what a sample leaves is its truth. Ideas 2 to 4 report about the fit on "
            "four fifths of the sample, idea 1 about the fit on all of it. "
            f"{results['certified']:,} of {results['fits']:,} fits have proven their "
            f"gap; the largest is {results['largest_gap']:.1e}."
        ),
        Facts({"sweep of a sample": plan}),
        report.Details("Settings", [Facts(to_dict(config))]),
    ]
