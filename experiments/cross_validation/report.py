"""The page of a run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from experiments.common import record, report, slides
from experiments.common.config import to_dict
from experiments.common.report import (
    Block,
    Card,
    Cards,
    Details,
    Facts,
    Paragraph,
    Section,
    Table,
)
from experiments.common.run_folder import RunFolder
from experiments.cross_validation import findings, pictures
from experiments.cross_validation.config import Config
from experiments.cross_validation.findings import points, points_interval
from experiments.cross_validation.ideas import ESTIMATES, IDEAS, UNTOUCHED, Record


class Run(NamedTuple):
    """Everything a page is made of."""

    folder: RunFolder
    config: Config
    records: Sequence[Record]
    results: Mapping[str, Any]
    facts: Mapping[str, Any]
    plan: str
    seconds: Mapping[str, Mapping[str, float]]


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    return report.Report(
        f"Setting hyperparameters on {run.facts['name']}: the four ideas, measured",
        f"{run.results['samples']} samples of {run.config.examples:,} examples, "
        f"{run.results['fits']:,} fits with a proof",
        [
            Section("What was found", _found(run)),
            Section("What is reported, against the truth", _estimates(run)),
            Section("Which l2 is chosen", _choices(run)),
            Section("Cross-validation of one sample", _one_sample(run)),
            Section("Accuracy against l2", _curves(run)),
            Section("Method", _method(run)),
        ],
        footer=f"python -m experiments.cross_validation, run {run.folder.path.name}",
        source=slides.LECTURE,
    )


def _draw(run: Run, name: str, figure: Any, *, caption: str, alt: str, width: int):
    path = run.folder.write_figure(name, figure)
    return report.picture(path, caption=caption, alt=alt, width=width)


def _found(run: Run) -> list[Block]:
    found = run.results["estimates"]
    cards = [
        Card(
            points(found[name]["bias"]),
            f"points of bias, {ESTIMATES[name].title}",
            f"95 % {points_interval(found[name]['bias_interval'])}",
        )
        for name in ("training", "test_that_chose", *UNTOUCHED)
    ]
    return [
        Cards(cards),
        *(Paragraph(text) for text in findings.of_ideas(run.results)),
    ]


def _estimates(run: Run) -> list[Block]:
    rows = []
    for name, one in run.results["estimates"].items():
        chose = one["too_good_for_models_measured"]
        fewer = one["models_measured_less_classifier"]
        rows.append(
            (
                ESTIMATES[name].title,
                f"{100 * one['reported']:.2f} %",
                f"{100 * one['truth']:.2f} %",
                points(one["bias"]),
                points_interval(one["bias_interval"]),
                points(chose["mean"]),
                points(fewer["mean"]) if any(fewer["interval"]) else None,
                f"{100 * one['spread']:.2f}",
            )
        )
    return [
        _draw(
            run,
            "errors",
            pictures.errors(run.records),
            caption="Accuracy reported less accuracy in truth: one dot a sample, the "
            "box from quartile to quartile, the coloured bar at the mean, which is the "
            "bias.",
            alt="errors of each estimate, as dots and boxes",
            width=860,
        ),
        Table(
            (
                "reported on",
                "reported",
                "truth",
                "bias",
                "95 %",
                "of it by choosing",
                "by fewer examples",
                "spread",
            ),
            rows,
            caption="Means over samples, in points from the fourth column on. Bias is "
            "what is reported less the truth, spread its standard deviation over "
            "samples. The models that a validation set or folds report about are not "
            "the classifier, which is fitted on more examples: the bias is then the "
            "sum of two parts.",
        ),
    ]


def _choices(run: Run) -> list[Block]:
    rows = []
    for name, one in run.results["choices"].items():
        chosen, best = one["log10_l2"], one["log10_best_l2"]
        away, lost = one["log10_l2_less_best"], one["accuracy_lost"]
        rows.append(
            (
                IDEAS[name].title,
                _l2(chosen["median"]),
                f"{_l2(chosen['quartiles'][0])} to {_l2(chosen['quartiles'][1])}",
                f"{chosen['spread']:.2f}",
                _l2(best["median"]),
                f"{away['mean']:+.2f} [{away['interval'][0]:+.2f}, "
                f"{away['interval'][1]:+.2f}]",
                f"{100 * one['truth']:.2f} %",
                f"{100 * lost['mean']:.2f} ± {100 * lost['standard_error']:.2f}",
            )
        )
    return [
        _draw(
            run,
            "choices",
            pictures.choices(run.records),
            caption="Bars: in how many samples an idea chose each l2. The black line: "
            "in how many this l2 was best in truth, among fits on as many examples "
            "(all of the sample for idea 1, four fifths for the others).",
            alt="histograms of the l2 that each idea chose",
            width=760,
        ),
        Table(
            (
                "idea",
                "median l2",
                "quartiles",
                "spread",
                "best, median",
                "chosen less best",
                "truth",
                "points lost",
            ),
            rows,
            caption="Spread (standard deviation over samples) and chosen less best (95 "
            "%) in powers of ten of l2. Truth is that of the classifier used in the "
            "end; idea 1's has seen all of the sample, the others four fifths. Points "
            "lost: against the l2 that is best in truth, ± one standard error.",
        ),
    ]


def _one_sample(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "folds",
            pictures.folds(run.records[0]),
            caption=f"The first sample, {run.config.folds} folds: a dot a fold, the "
            "line through their means, bars of one standard error to each side (the "
            "folds share training examples: as a rule it is too small).",
            alt="accuracy of each fold against l2, with the mean and the choice",
            width=760,
        )
    ]


def _curves(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "curves",
            pictures.curves(run.records),
            caption="Means over samples, in bands of one standard error to each side. "
            "Where nothing was chosen, a test set is on the truth. A validation set "
            "and folds lie a little below it, having fitted on less.",
            alt="accuracy against l2: training, test, validation, folds, truth",
            width=820,
        )
    ]


def _method(run: Run) -> list[Block]:
    found, config = run.results, run.config
    parts = [
        (name, f"{one['compile']:.1f} s", f"{one['run']:.1f} s")
        for name, one in run.seconds.items()
    ]
    text = (
        "Training and test examples of the data set together are a population. Each "
        f"sample draws {config.examples:,} of them, the same share of every class; "
        "accuracy on all others is the truth. A fifth of the sample is the test set, a "
        f"fifth the validation set; the {config.folds} folds are of the four fifths "
        "that are not the test set. Idea 1 fits on all of the sample, 2 to 4 on four "
        "fifths in the end. Features are divided by their largest value, less the mean "
        "row of the sample (of its features, test set included; labels are not "
        "looked at). Of equally good values of l2 the strongest is chosen."
        "\n\n"
        f"The {found['fits'] // found['samples']} fits of a sample are one sweep, with "
        "example weights of 0 and 1. "
        f"{found['certified']:,} of {found['fits']:,} have proven a relative gap of "
        f"{config.relative_gap:g}; the largest is {found['largest_relative_gap']:.1e}. "
        "Intervals are over samples, which are independent draws from this "
        "population: they say nothing of other data sets."
    )
    return [
        Paragraph(text),
        Facts({"sweep of a sample": run.plan, "loss": config.loss}),
        Table(
            ("part", "compiling", "running"),
            parts,
            caption="Where the time of this process went (a resumed run counts from "
            "its last start).",
        ),
        Details("Settings", [Facts(to_dict(config))]),
        Details("Data", [Facts(record.flat(run.facts))]),
        Details(
            "Machine", [Facts(record.flat(run.folder.read_json("environment.json")))]
        ),
    ]


def _l2(log10: float) -> str:
    return f"{10**log10:.1e}"
