"""The page of a probe."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.common import report
from experiments.common.config import to_dict
from experiments.common.report import Card, Cards, Facts, Paragraph, Section, Table
from experiments.common.run_folder import RunFolder
from experiments.probe.config import Config
from experiments.probe.verdict import Tested
from jaxlin import data, plotting
from jaxlin.data.embeddings import Coverage
from jaxlin.plotting.axes import label_axes


class Run(NamedTuple):
    """Everything a page is made of."""

    folder: RunFolder
    config: Config
    dataset: data.Dataset
    coverage: Coverage | None
    tested: Tested
    results: Mapping[str, Any]
    rows: list[dict[str, Any]]
    plan: str
    seconds: Mapping[str, float]


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    found = run.results
    sections = [
        Section("Answer", _answer(run)),
        Section("Choice of C", _choice(run)),
        Section("Probabilities", _probabilities(run)),
        Section("Method", _method(run)),
    ]
    if run.coverage is not None:
        sections.insert(1, Section("Answers outside", _outside(run)))
    return report.Report(
        f"Linear probe of {run.dataset.name}",
        f"{found['num_train']:,} training and {found['num_test']:,} test examples, "
        f"{found['num_features']:,} features, {found['num_classes']:,} classes",
        sections,
        footer=f"python -m experiments.probe, run {run.folder.path.name}",
    )


def _answer(run: Run) -> list[report.Block]:
    found = run.results
    low, high = (100 * end for end in found["test_accuracy_interval"])
    optimum = [100 * end for end in found["optimum_accuracy"]]
    edge = ", at an edge of the grid: try a wider one" if found["at_edge"] else ""
    cards = [
        Card(
            f"{100 * found['test_accuracy']:.2f} %",
            "test accuracy",
            f"95 % over examples: [{low:.2f}, {high:.2f}]",
        ),
        Card(f"{found['c']:.3g}", "C chosen", f"l2 = {found['l2']:.3g}{edge}"),
        Card(
            f"{found['relative_gap']:.1e}",
            "of the objective at most is unproven",
            f"{found['fits_certified']} of {found['fits_compared']} fits compared "
            f"have proven {run.config.relative_gap:g}",
        ),
        Card(
            f"{run.seconds['compile'] + run.seconds['run']:.1f} s",
            "for everything but this page",
            f"{run.seconds['compile']:.1f} s of it compiling; "
            f"{found['evaluations']:,} evaluations of models",
        ),
    ]
    notes = [Paragraph(f"Note: {note}.") for note in found["notes"]]
    if found["labels_certified"] == 0:
        text = (
            "The proven gap is too wide to say anything of the labels that the exact "
            "optimum at this C gives these test examples. `--relative-gap` makes it "
            "tighter."
        )
        return [Cards(cards), Paragraph(text), *notes]
    text = (
        "The accuracy of the exact optimum at this C provably lies between "
        f"{optimum[0]:.2f} and {optimum[1]:.2f} % on these test examples: "
        f"{100 * found['labels_certified']:.1f} % of its labels are known from the "
        "proven gap. `--relative-gap` makes that tighter."
    )
    return [Cards(cards), Paragraph(text), *notes]


def _outside(run: Run) -> list[report.Block]:
    assert run.coverage is not None
    covered = run.coverage
    return [
        Paragraph(
            f"The classes are the {covered.size:,} most frequent of "
            f"{covered.distinct:,} answers. An answer outside them cannot be given."
        ),
        Table(
            ("examples", "in all", "outside", "what becomes of them"),
            [
                (
                    "training",
                    f"{covered.train_examples:,}",
                    f"{covered.train_outside:,}",
                    "left out",
                ),
                (
                    "test",
                    f"{covered.test_examples:,}",
                    f"{covered.test_outside:,}",
                    "counted as wrong",
                ),
            ],
            caption=f"No classifier into these answers is right on more than "
            f"{100 * covered.ceiling:.2f} % of the test examples.",
        ),
    ]


def _choice(run: Run) -> list[report.Block]:
    if not run.rows:
        return [
            Paragraph("One value of C was given and nothing held out: none was chosen.")
        ]
    figure, axes = plotting.new_figure(width=7.5, height=3.8)
    ax = axes[0, 0]
    color = plotting.PALETTE[0]
    cs = np.array([row["c"] for row in run.rows])
    accuracy = 100 * np.array([row["accuracy"] for row in run.rows])
    gaps = np.array([row["largest_relative_gap"] for row in run.rows])
    proven = gaps <= run.config.relative_gap
    ax.plot(cs, accuracy, "-", color=color, linewidth=1.4)
    errors = 100 * np.array([row["accuracy_standard_error"] for row in run.rows])
    if np.isfinite(errors).all():
        ax.fill_between(
            cs, accuracy - errors, accuracy + errors, color=color, alpha=0.2
        )
    ax.plot(cs[proven], accuracy[proven], "o", color=color, label="gap proven")
    if not proven.all():
        ax.plot(
            *(cs[~proven], accuracy[~proven]),
            "o",
            markerfacecolor="white",
            color=color,
            label="gap not proven",
        )
    ax.axvline(run.results["c"], color=plotting.PALETTE[1], label="chosen")
    ax.set_xscale("log")
    label_axes(ax, "scikit-learn's C", "accuracy held out (%)")
    ax.legend(frameon=False)
    run.folder.write_figure("choice", figure)
    parts = run.config.folds or 1
    where = (
        f"mean over {parts} folds, the band one standard error to each side (the folds "
        "share training examples: as a rule it is too small)"
        if parts > 1
        else f"on {run.results['num_held_out']:,} of the training examples"
    )
    table = Table(
        ("C", "l2", "held out", "standard error", "loss held out", "largest gap"),
        [
            (
                f"{row['c']:.2e}",
                f"{row['l2']:.2e}",
                f"{100 * row['accuracy']:.2f} %",
                f"{100 * row['accuracy_standard_error']:.2f} %"
                if np.isfinite(row["accuracy_standard_error"])
                else None,
                f"{row['held_out_loss']:.4f}",
                f"{row['largest_relative_gap']:.1e}",
            )
            for row in run.rows
        ],
        chosen=[i for i, row in enumerate(run.rows) if row["chosen"]],
    )
    inside = ""
    if run.coverage is not None:
        share = run.results["test_accuracy"] / run.coverage.ceiling
        inside = (
            " Only examples whose answer is in the vocabulary are held out: what it "
            "says is to be compared with the accuracy on such test examples, "
            f"{100 * share:.2f} %."
        )
    return [
        report.picture(
            figure,
            caption=f"Accuracy held out, {where}. Empty circles: fits that have spent "
            f"their evaluations before their gap was proven.{inside}",
            alt="accuracy against C",
            width=760,
        ),
        report.Details(f"All {len(run.rows)} values", [table]),
    ]


def _probabilities(run: Run) -> list[report.Block]:
    figure, axes = plotting.new_figure(width=4.6, height=4.4)
    names = ("softmax of the scores", "with temperature")
    for name, bins, color in zip(
        names, run.tested.bins, plotting.PALETTE, strict=False
    ):
        counts = np.maximum(np.asarray(bins.count), 1)
        plotting.reliability_diagram(
            axes[0, 0],
            np.asarray(bins.confidence_sum) / counts,
            np.asarray(bins.correct) / counts,
            np.asarray(bins.count),
            label=name,
            color=color,
        )
    run.folder.write_figure("calibration", figure)
    errors = run.results["calibration_error"]
    set_by = (
        f"which was set by {run.results['num_held_out']:,} examples held out"
        if run.rows
        else "since nothing was held out to set it"
    )
    text = (
        f"Scores are divided by the temperature {run.results['temperature']:.3g}, "
        f"{set_by}. The expected calibration error on the "
        f"test examples goes from {errors['before']:.3f} to {errors['after']:.3f}."
    )
    if run.results["temperature_at_bound"]:
        text += (
            " The examples held out do not settle the temperature: the scores tell all "
            "of their labels, or none. These probabilities are not to be trusted."
        )
    if run.coverage is not None:
        text += " Both count the answers inside the vocabulary alone."
    return [
        Paragraph(text),
        report.picture(
            figure,
            caption="Accuracy of test examples against the confidence of their label, "
            "in bins. The area of a marker is the share of examples in its bin: small "
            "ones say little.",
            alt="reliability diagram",
            width=460,
        ),
    ]


def _method(run: Run) -> list[report.Block]:
    how = "standardised" if run.config.standardize else "as they are"
    return [
        Paragraph(
            f"Features {how}; the bias is a weight of a constant feature and penalised "
            "like the others. All values of C are fitted in one sweep, the one chosen "
            "again on all training examples; the test examples were looked at once."
        ),
        Facts({"sweep": run.plan, "source": run.dataset.source}),
        report.Details("Settings", [Facts(to_dict(run.config))]),
    ]
