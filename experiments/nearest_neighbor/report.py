"""The page of a run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.common import report
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
from experiments.nearest_neighbor import choosing, contrast, findings, pictures, spaces
from experiments.nearest_neighbor.config import Config
from experiments.nearest_neighbor.contrast import NORMAL, PIXELS, PROJECTED
from experiments.nearest_neighbor.findings import interval, milliseconds, percent
from experiments.nearest_neighbor.noise import GAP, HELD_OUT
from experiments.nearest_neighbor.spaces import METRICS
from experiments.nearest_neighbor.testing import CHOSEN, LINEAR
from experiments.nearest_neighbor.verdict import noise_part
from jaxlin import data, plotting


class Run(NamedTuple):
    """Everything a page is made of."""

    folder: RunFolder
    config: Config
    dataset: data.Dataset
    facts: Mapping[str, Any]
    done: Mapping[str, Mapping[str, Any]]
    answers: Mapping[str, np.ndarray]
    results: Mapping[str, Any]
    seconds: Mapping[str, Mapping[str, float]]


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    words = findings.paragraphs(run.results)
    found = run.results
    return report.Report(
        f"Nearest neighbours on {run.dataset.name}: the best choice, and the problems",
        f"{found['train_examples']:,} training and {found['test_examples']:,} test "
        f"examples of {run.dataset.num_features:,} features, raw",
        [
            Section("What was found", _found(run, words)),
            Section("Which metric, how many neighbours, which weights", _choice(run)),
            Section("The test", _test(run)),
            Section("Test examples and their neighbours", _neighbors(run)),
            Section("How to fit with the local points", _local(run)),
            Section("Time against the number of rows", _time(run)),
            Section("Irrelevant features", _noise(run)),
            Section("The curse of dimensionality", _contrast(run)),
            Section("Method", _method(run)),
        ],
        footer=f"python -m experiments.nearest_neighbor, run {run.folder.path.name}",
    )


def _draw(run: Run, name: str, figure: Any, *, caption: str, alt: str, width: int):
    path = run.folder.write_figure(name, figure)
    return report.picture(path, caption=caption, alt=alt, width=width)


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
        _draw(
            run,
            "metrics",
            pictures.accuracy_of_metrics(searches, chosen),
            caption=f"Accuracy held out in {config.folds} folds against the number of "
            f"neighbours, every vote equal; {errors}.",
            alt="accuracy against k, a line a metric",
            width=760,
        ),
        _draw(
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
        _draw(
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
        _draw(
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


def _local(run: Run) -> list[Block]:
    found, config = run.results["local"], run.config
    rows = [
        (k, *(percent(accuracy[place]) for accuracy in found["accuracy"].values()))
        for place, k in enumerate(found["ks"])
    ]
    return [
        _draw(
            run,
            "local",
            pictures.accuracy_of_local_fits(found),
            caption=f"Accuracy on {found['queries']:,} training examples that were "
            "taken out, by their neighbours among the others "
            f"({METRICS[found['metric']].title}): 95 % Wilson intervals over examples, "
            "which are the same for all.",
            alt="accuracy against k, a line a local fit",
            width=760,
        ),
        Table(("k", *found["accuracy"]), rows),
        Paragraph(
            f"Weights are Gaussian with bandwidth {found['bandwidth']:.4g}, "
            f"{config.local_bandwidth:g} median distances to the nearest neighbour. "
            "The linear classifier is softmax, fitted to the k neighbours of each "
            f"query with their weights, at l2 = {config.local_l2:g} (features over "
            "their largest value). Bandwidth and l2 were given, not chosen here."
        ),
    ]


def _time(run: Run) -> list[Block]:
    found = run.results["time"]
    rows = []
    for name, one in found["searches"].items():
        for place, size in enumerate(found["sizes"]):
            rows.append(
                (
                    METRICS[name].title,
                    f"{size:,}",
                    milliseconds(one["seconds"][place]),
                    f"{milliseconds(one['least'][place])} to "
                    f"{milliseconds(one['most'][place])}",
                    f"{one['times_linear'][place]:,.1f}",
                    f"{one['first_call'][place]:.2f} s",
                )
            )
    linear = run.results["linear"]
    rows.append(
        (
            "linear classifier",
            None,
            milliseconds(found["linear"]),
            None,
            "1",
            f"{found['linear_first_call']:.2f} s",
        )
    )
    text = (
        "What the linear classifier saves here it has paid before: its fit took "
        f"{linear['seconds']:.2f} s ({linear['first_seconds']:.2f} s with compiling). "
        "The nearest neighbours pay nothing before the first question."
    )
    name, one = next(iter(found["searches"].items()))
    saved = one["seconds"][-1] - found["linear"]
    if saved > 0:
        text += (
            f" Beside {METRICS[name].title} among {found['sizes'][-1]:,} rows that is "
            f"paid back after {linear['seconds'] / saved:,.0f} answers."
        )
    return [
        _draw(
            run,
            "time",
            pictures.time_against_rows(found),
            caption=f"Time of an answer in a batch of {found['queries']:,} queries, "
            f"{found['k']} neighbours, exact: medians of {run.config.time_repeats} "
            "calls, the band from the quickest to the slowest. Dashed: the linear "
            "classifier, which does not keep the rows.",
            alt="milliseconds a query against the number of training rows",
            width=760,
        ),
        Paragraph(text),
        Details(
            "All times",
            [
                Table(
                    (
                        "metric",
                        "rows",
                        "median",
                        "from to",
                        "times linear",
                        "first call",
                    ),
                    rows,
                    caption="A query; the first call is of the whole batch and "
                    "compiles. One machine's times mean little elsewhere.",
                )
            ],
        ),
    ]


def _noise(run: Run) -> list[Block]:
    found, config = run.results["noise"], run.config
    records = [run.done[noise_part(repeat)] for repeat in range(config.noise_repeats)]
    rows = [
        (
            f"{level:,}",
            *(
                f"{100 * found[name]['accuracy'][place]:.2f} ± "
                f"{100 * found[name]['standard_error'][place]:.2f}"
                for name in ("one_nearest", "nearest", "linear")
            ),
            f"{found['median_k'][place]:g}",
            f"{found['median_l2'][place]:g}",
        )
        for place, level in enumerate(found["noise_features"])
    ]
    return [
        _draw(
            run,
            "noise",
            pictures.accuracy_against_noise(records),
            caption=f"Means of {found['repeats']} draws of {config.noise_examples:,} "
            f"training and {config.noise_tests:,} test examples, in bands of one "
            "standard error to each side.",
            alt="test accuracy against the number of noise features",
            width=760,
        ),
        Table(
            ("noise features", "1-NN", "k-NN", "linear", "median k", "median l2"),
            rows,
            caption="Test accuracy in per cent, ± one standard error over draws.",
        ),
        Paragraph(
            "A feature of noise is normal, independent of everything, and as large as "
            "a feature of the data is on average. k and l2 are chosen for every level "
            f"and draw on {HELD_OUT:.0%} of the training examples; then all are used. "
            f"Every linear fit was asked to prove a relative gap of {GAP:g}; the "
            f"largest left is {found['largest_gap']:.1e}."
        ),
    ]


def _contrast(run: Run) -> list[Block]:
    found = run.results["contrast"]
    curves = {
        name: {one["dimension"]: one["median"] for one in found["curves"][name]}
        for name in (PIXELS, PROJECTED, NORMAL)
    }
    rows = [
        (
            f"{dimension:,}",
            *(_short(curve.get(dimension)) for curve in curves.values()),
            _short(contrast.in_theory(dimension, found["examples"]))
            if dimension >= 30
            else None,
        )
        for dimension in run.config.dimensions
    ]
    return [
        _draw(
            run,
            "contrast",
            pictures.contrast_against_dimension(found),
            caption=f"How much farther the farthest of {found['examples']:,} points is "
            f"than the nearest: medians over {found['queries']:,} queries, the bands "
            "from quartile to quartile. Dotted: the theory for normal data, which goes "
            "to 0 as 1 / √D.",
            alt="relative contrast against the dimension",
            width=760,
        ),
        Table(
            ("dimension", PIXELS, PROJECTED, NORMAL, "normal data, in theory"),
            rows,
            caption="Medians of (Dmax - Dmin) / Dmin. A dash: a query lies on a point, "
            "or the data have not so many features.",
        ),
        Paragraph(
            "Beyer, Goldstein, Ramakrishnan and Shaft (When is “nearest neighbor” "
            "meaningful? ICDT 1999) show that the contrast goes to 0, in probability, "
            "if the variance of the distance divided by its squared mean does, as it "
            "does for independent features. Features drawn and projections are of "
            "training points and test queries; projections are by a matrix of normal "
            "numbers."
        ),
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
        "there; of equally good settings the one with more neighbours. The test set "
        "was looked at once, after that."
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
        Details("Data", [Facts(_flat(run.facts))]),
        Details("Machine", [Facts(_flat(run.folder.read_json("environment.json")))]),
    ]


def _with_error(one: Mapping[str, Any], name: str) -> str | None:
    value = one.get(name or "accuracy")
    error = one.get(f"{name}_standard_error" if name else "standard_error")
    if value is None or error is None:
        return None
    return f"{100 * value:.2f} ± {100 * error:.2f}"


def _short(value: float | None) -> str | None:
    return None if value is None else f"{value:.3g}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots."""
    flat: dict[str, Any] = {}
    for name, entry in values.items():
        if isinstance(entry, Mapping):
            flat.update(_flat(entry, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = entry
    return flat
