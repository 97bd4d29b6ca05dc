"""The pictures: errors of estimates, l2 chosen, one sample, mean curves."""

from collections.abc import Iterator, Sequence

import numpy as np

from experiments.common.study import Figure, Run
from experiments.cross_validation import ideas, measure, summary
from experiments.cross_validation.ideas import ESTIMATES, IDEAS, Record
from jaxlin import plotting
from jaxlin.plotting.axes import label_axes

_GREY = "#767676"
COLORS = plotting.method_colors(list(IDEAS))
_TRUTH = plotting.PALETTE[-1]


def drawn(run: Run) -> Iterator[tuple[str, Figure]]:
    """The names and pictures of a run."""
    records = measure.records(run.folder)
    yield "errors", _errors(records)
    yield "choices", _choices(records)
    yield "folds", _folds(records[0])
    yield "curves", _curves(records)


def _errors(records: Sequence[Record]) -> Figure:
    """Reported less truth: a dot a sample, quartiles as a box, the mean as a bar."""
    figure, axes = plotting.new_figure(width=8.5, height=4.6)
    ax = axes[0, 0]
    # Dots side by side instead of on one another; where, means nothing.
    shifts = 0.28 * np.sin(2.4 * np.arange(len(records)))
    for place, estimate in enumerate(ESTIMATES.values()):
        error = 100 * summary.errors(estimate, records)
        color = COLORS[estimate.idea]
        ax.plot(error, place + shifts, ".", color=color, alpha=0.45, markersize=5)
        ax.boxplot(
            error,
            positions=[place],
            orientation="horizontal",
            widths=0.5,
            showfliers=False,
            boxprops={"color": _GREY},
            whiskerprops={"color": _GREY},
            capprops={"color": _GREY},
            medianprops={"color": _GREY},
            manage_ticks=False,
        )
        ax.plot([error.mean()] * 2, [place - 0.38, place + 0.38], color=color, lw=3.5)
    ax.axvline(0, color="black", linewidth=1)
    ax.set_yticks(range(len(ESTIMATES)), [one.title for one in ESTIMATES.values()])
    ax.invert_yaxis()
    label_axes(ax, "reported less truth (points)", "")
    ax.grid(axis="y", visible=False)
    return figure


def _choices(records: Sequence[Record]) -> Figure:
    """Counts of the l2 that each idea chose, beside those best in truth."""
    figure, axes = plotting.new_figure(rows=len(IDEAS), width=7.5, height=6.4)
    grid = np.array(records[0]["l2"])[::-1]
    places = np.arange(len(grid))
    for ax, (name, idea) in zip(axes[:, 0], IDEAS.items(), strict=True):
        counts, best = (
            [np.isclose(values, np.log10(l2)).sum() for l2 in grid]
            for values in (
                summary.log_l2(idea, records),
                summary.log_best(idea, records),
            )
        )
        ax.bar(places, counts, 0.8, color=COLORS[name], label="chosen")
        ax.step(
            np.append(places - 0.5, places[-1] + 0.5),
            np.append(best, best[-1]),
            where="post",
            color=_TRUTH,
            linewidth=1.3,
            label="best in truth",
        )
        label_axes(ax, "", "samples")
        ax.set_title(idea.title, loc="left", fontsize=10)
        ax.set_ylim(0, 1.05 * len(records))
        ax.set_xticks(places, [""] * len(places))
        ax.legend(frameon=False, fontsize=8)
    axes[-1, 0].set_xticks(places, [f"{l2:.1e}" for l2 in grid], rotation=30)
    axes[-1, 0].set_xlabel("l2")
    return figure


def _folds(record: Record) -> Figure:
    """The lecture's picture: accuracy of every fold against l2, and the choice."""
    figure, axes = plotting.new_figure(width=7.5, height=4)
    ax = axes[0, 0]
    idea = IDEAS["cross_validation"]
    color, l2 = COLORS["cross_validation"], np.array(record["l2"])
    by_fold = 100 * ideas.over_l2(record, "folds")
    mean = by_fold.mean(axis=1)
    error = by_fold.std(axis=1, ddof=1) / np.sqrt(by_fold.shape[1])
    for number, fold in enumerate(by_fold.T):
        label = "one fold" if number == 0 else None
        ax.plot(l2, fold, "o", color=_GREY, alpha=0.6, markersize=4, label=label)
    ax.errorbar(
        *(l2, mean, error), color=color, capsize=3, linewidth=1.8, label="mean of folds"
    )
    place = ideas.chosen(record, idea)
    ax.axvline(l2[place], color=plotting.PALETTE[1], linestyle="--", linewidth=1)
    ax.plot(
        *(l2[place], mean[place]),
        "o",
        color=plotting.PALETTE[1],
        markersize=9,
        label="chosen",
        zorder=3,
    )
    ax.set_xscale("log")
    label_axes(ax, "l2", "accuracy held out (%)")
    ax.legend(frameon=False)
    return figure


def _curves(records: Sequence[Record]) -> Figure:
    """Accuracy against l2, mean over samples."""
    figure, axes = plotting.new_figure(width=8, height=4.6)
    ax = axes[0, 0]
    by_validation = COLORS["train_validation_test"]
    shown = {
        "training set, of the fit on it": ("training", COLORS["train_only"], "-"),
        "test set, fit on 4/5": ("test", COLORS["train_test"], "-"),
        "validation set, fit on 3/5": ("validation", by_validation, "-"),
        "folds": ("folds", COLORS["cross_validation"], "-"),
        "truth, fit on 4/5": ("four_fifths", _TRUTH, "-"),
        "truth, fit on all": ("all", _TRUTH, "--"),
    }
    for label, (name, color, line_style) in shown.items():
        values = [
            one["truth"][name]
            if name in one["truth"] and name != "folds"
            else ideas.over_l2(one, name).mean(axis=1)
            for one in records
        ]
        plotting.learning_curves(
            ax,
            records[0]["l2"],
            100 * np.array(values),
            label=label,
            color=color,
            band="standard_error",
            line_style=line_style,
            x_label="l2",
            y_label="accuracy (%)",
        )
    ax.set_xscale("log")
    return figure
