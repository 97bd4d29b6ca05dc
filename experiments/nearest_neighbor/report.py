"""The page of a run."""

from collections.abc import Mapping
from typing import Any

import numpy as np

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
from experiments.nearest_neighbor import choosing, findings, pictures, sections, spaces
from experiments.nearest_neighbor.findings import interval, percent
from experiments.nearest_neighbor.sections import Run, draw
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.testing import CHOSEN
from jaxlin import plotting


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    words = findings.paragraphs(run.results)
    found = run.results
    local = (
        [Section("How to fit with the local points", sections.local_fits(run))]
        if found["local"]
        else []
    )
    return report.Report(
        f"Nearest neighbours on {run.dataset.name}: the best choice, and the problems",
        f"{found['train_examples']:,} training and {found['test_examples']:,} test "
        f"examples of {run.dataset.num_features:,} features, raw",
        [
            Section("What was found", _found(run, words)),
            Section("Which metric, how many neighbours, which weights", _choice(run)),
            Section("The test", _test(run)),
            Section("Test examples and their neighbours", _neighbors(run)),
            *local,
            Section("Time against the number of rows", sections.time(run)),
            Section("Irrelevant features", sections.noise(run)),
            Section("The curse of dimensionality", sections.contrast(run)),
            Section("Method", _method(run)),
        ],
        footer=f"python -m experiments.nearest_neighbor, run {run.folder.path.name}",
        source=slides.LECTURE,
    )


def _found(run: Run, words: Mapping[str, str]) -> list[Block]:
    cards = [
        Card(percent(one["accuracy"]), findings.TITLES[name], f"95 % {note}")
        for name, one in run.results["test"].items()
        for note in [interval(one["interval"])]
    ]
    return [Cards(cards), *map(Paragraph, words.values())]


def _choice(run: Run) -> list[Block]:
    found, config = run.results, run.config
    searches = choosing.records_of(config, run.done)
    chosen = found["chosen"]
    mine = [one for one in searches if one["metric"] == chosen["metric"]]
    shown = max(mine, key=lambda one: one["examples"])
    errors = (
        "bands of one standard error over folds to each side (folds share training "
        "examples: as a rule it is too small)"
    )
    is_chosen = [
        (one["metric"], one["rows"]) == (chosen["metric"], chosen["rows"])
        for one in found["best_of_search"]
    ]
    return [
        draw(
            run,
            "metrics",
            pictures.accuracy_of_metrics(searches, chosen),
            caption=f"Accuracy held out in {config.folds} folds against the number of "
            f"neighbours, every vote equal; {errors}.",
            alt="accuracy against k, a line a metric",
            width=760,
        ),
        draw(
            run,
            "weightings",
            pictures.accuracy_of_weightings(shown, chosen),
            caption=f"{METRICS[shown['metric']].title} on {shown['examples']:,} rows: "
            f"the weightings; {errors}. Bandwidths are multiples of "
            f"{shown['scale']:.4g}, the median distance to the nearest neighbour.",
            alt="accuracy against k, a line a weighting",
            width=760,
        ),
        Table(
            ("metric", "rows", "best weights", "best k", "held out", "1-NN held out"),
            [
                (
                    METRICS[one["metric"]].title,
                    f"{one['examples']:,}",
                    one["weighting"],
                    one["k"],
                    _with_error(one, ""),
                    _with_error(one, "one_nearest"),
                )
                for one in found["best_of_search"]
            ],
            caption="The best of each search, ± one standard error over folds. The "
            "best of many is too good by a little: only the test says what it is "
            "worth. All settings are in results.csv.",
            chosen=np.flatnonzero(is_chosen).tolist(),
        ),
    ]


def _test(run: Run) -> list[Block]:
    found = run.results["test"]
    rows = [
        (
            findings.TITLES[name],
            f"{one['right']:,}",
            percent(one["accuracy"]),
            interval(one["interval"]),
            None if name == CHOSEN else f"{100 * one['chosen_less_this']:+.2f}",
            None if name == CHOSEN else f"{one['p_value']:.2g}",
        )
        for name, one in found.items()
    ]
    linear = run.results["linear"]
    figure, axes = plotting.new_figure(width=6.2, height=5.4)
    size = run.dataset.num_classes
    matrix = np.zeros((size, size), int)
    np.add.at(matrix, (run.dataset.test.labels, run.answers[CHOSEN]), 1)
    plotting.confusion_matrix(axes[0, 0], matrix, class_names=run.dataset.class_names)
    return [
        Paragraph(
            f"Chosen: {findings.setting(run.results['chosen'])}, among all training "
            "rows. The other three were fixed before. The linear classifier is softmax "
            f"at l2 = {run.config.l2:g}, fitted on all training rows to a proven "
            f"relative gap of {linear['relative_gap']:.1e}; this l2 was given, not "
            "chosen here."
        ),
        Table(
            (
                "classifier",
                "right",
                "test accuracy",
                "95 % over examples",
                "chosen less this",
                "p",
            ),
            rows,
            caption="Wilson intervals; differences in points, on the same examples, "
            "with the exact McNemar test.",
            chosen=[0],
        ),
        draw(
            run,
            "confusion",
            figure,
            caption="What the choice answers to the test examples of each class.",
            alt="confusion matrix of the test examples",
            width=620,
        ),
    ]


def _neighbors(run: Run) -> list[Block]:
    if run.dataset.image_shape is None:
        return [Paragraph("The rows of this data set are not images.")]
    figure = pictures.neighbors(run.dataset, run.answers[CHOSEN], run.answers["shown"])
    return [
        draw(
            run,
            "neighbors",
            figure,
            caption="The first test examples that are answered rightly, then the first "
            "that are not, none selected. Left: the test example, with its class and "
            "the answer; then its nearest training examples by the metric chosen, "
            "nearest first. ✓ and blue: the class of the test example; ✗ and red: "
            "another.",
            alt="test images beside their nearest training images",
            width=900,
        )
    ]


def _method(run: Run) -> list[Block]:
    config = run.config
    on_part = config.subsample < run.results["train_examples"]
    rows = (
        f"All metrics are compared on {config.subsample:,} training examples, of every "
        "class the same share"
        + (
            "; " + ", ".join(METRICS[name].title for name in config.on_all) + " on all "
            "of them too"
            if config.on_all
            else ""
        )
        if on_part
        else "All metrics are compared on all training examples"
    )
    text = (
        f"{rows}. The {config.folds} folds are stratified; one search a metric gives "
        "the neighbours of every row among those of other folds, and these the answers "
        "for every k and weighting. The metric is chosen by the rows on which all are "
        "compared; k and weighting by all training rows, where the metric was compared "
        "there; of equally good settings the one with the fewest neighbours. The test "
        "set was classified after that; the parts on noise, time and contrast look at "
        "it again, and nothing is chosen by them."
        "\n\n"
        "Neighbours are exact, equal distances in the order of the rows. Features are "
        "as the data have them. Mahalanobis is Euclidean distance after a change of "
        "variables by the covariance of the training rows (those held out included, "
        f"no labels), to whose diagonal {spaces.RIDGE:g} mean variances were added."
    )
    parts = [
        (name, f"{one['compile']:.1f} s", f"{one['run']:.1f} s")
        for name, one in run.seconds.items()
    ]
    return [
        Paragraph(text),
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


def _with_error(one: Mapping[str, Any], name: str) -> str | None:
    value = one.get(name or "accuracy")
    error = one.get(f"{name}_standard_error" if name else "standard_error")
    if value is None or error is None:
        return None
    return f"{100 * value:.2f} ± {100 * error:.2f}"
