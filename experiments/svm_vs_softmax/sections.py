"""What the pages of both solvers have: the verdict's words, the models, the record."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import text
from experiments.common.report import (
    Block,
    Card,
    Code,
    Details,
    Facts,
    Paragraph,
    Picture,
    Section,
    Table,
    picture,
)
from experiments.common.run_folder import RunFolder
from experiments.common.timing import Clock
from experiments.svm_vs_softmax import pictures
from experiments.svm_vs_softmax.protocol import Method
from experiments.svm_vs_softmax.verdict import Tested
from jaxlin import data

# Level of the test that the verdict is worded by.
SIGNIFICANCE = 0.05


class Shown(NamedTuple):
    """The compared models, one a method, as both solvers' pages show them.

    Attributes:
      folder: where pictures go.
      dataset: what they were trained and tested on.
      methods: in the order of reports.
      tested: the first row of each is shown.
      weights: of the models shown, each of shape ``(classes, features)``.
      results: results.json.
      data_summary: data.json.
      clock: of this process.
      which: model of a method is shown, for captions: "" if there is only one.
    """

    folder: RunFolder
    dataset: data.Dataset
    methods: list[Method]
    tested: list[Tested]
    weights: Sequence[np.ndarray]
    results: dict[str, Any]
    data_summary: dict[str, Any]
    clock: Clock
    which: str = ""


def of_models(shown: Shown) -> list[Section]:
    """The sections about the compared models, and the record."""
    images = pictures.can_be_shown(shown.dataset)
    found = [
        Section("What happens per class", _per_class(shown)),
        Section("Calibration", _calibration(shown)),
    ]
    if images:
        found.insert(0, Section("Templates", _templates(shown)))
        found.append(Section("Where the two disagree", _disagreements(shown)))
    return [*found, Section("Data and machine", _record(shown))]


def difference_card(paired: dict[str, Any]) -> Card:
    """The paired difference as a headline number."""
    # A narrow card must not break "1e-05" after the hyphen.
    p_value = f"{paired['mcnemar_p']:.2g}".replace("-", "-\N{WORD JOINER}")
    return Card(
        f"{100 * paired['difference']:+.2f}",
        "points, softmax less SVM",
        f"95 % {interval(paired['interval'])}; McNemar p = {p_value}",
    )


def finding(paired: dict[str, Any]) -> str:
    """The comparison in words."""
    low, high = paired["interval"]
    # The exact test decides: with few discordant examples the bootstrap is too sure.
    finding = "This test set does not tell the two apart"
    if paired["mcnemar_p"] < SIGNIFICANCE:
        better, worse = ("Softmax", "the SVM")
        if paired["difference"] < 0:
            better, worse = ("The SVM", "softmax")
        finding = f"{better} classifies better than {worse} here"
    disagree = (low > 0 or high < 0) != (paired["mcnemar_p"] < SIGNIFICANCE)
    trust = ", but on so few examples the exact test is to be trusted"
    trust = trust if disagree else ""
    zero = "excludes" if low > 0 or high < 0 else "includes"
    return (
        f"{finding} (exact McNemar test, p = {paired['mcnemar_p']:.2g}; the interval "
        f"of the paired difference {zero} zero{trust}). The two give the same label to "
        f"{percent(paired['agreement'], 1)} of the test examples. On "
        f"{paired['discordant']:,} exactly one of them is right: the SVM alone on "
        f"{paired['only_svm_right']:,}, softmax alone on "
        f"{paired['only_softmax_right']:,}."
    )


def draw(
    folder: RunFolder,
    name: str,
    figure: Any,
    caption: str,
    alt: str,
    width: int | None = None,
) -> Picture:
    """Writes a figure into the run folder and returns its block."""
    path = folder.write_figure(name, figure)
    return picture(path, caption=caption, alt=alt, width=width)


def percent(value: float, digits: int = 2) -> str:
    """A share as text."""
    return f"{100 * value:.{digits}f} %"


def interval(ends: Any) -> str:
    """An interval of shares as text, in percent."""
    low, high = ends
    return f"[{100 * low:.2f}, {100 * high:.2f}]"


def _templates(shown: Shown) -> list[Block]:
    return [
        draw(
            shown.folder,
            f"templates-{method.name}",
            pictures.templates(weights, shown.dataset),
            f"{method.title}: the rows of W as pictures{shown.which}. Zero is mid-grey "
            "and each template uses its whole range. Of all inputs of one norm, the "
            "template is the one that its class scores highest.",
            f"One picture a class: the templates of {method.title}.",
        )
        for method, weights in zip(shown.methods, shown.weights, strict=True)
    ]


def _per_class(shown: Shown) -> list[Block]:
    return [
        draw(
            shown.folder,
            "per_class",
            pictures.per_class(shown.methods, shown.results["per_class"]),
            f"Share of each class that is recognised{shown.which}, with 95 % Wilson "
            "intervals. Where the bars of a class differ, the two losses trade classes "
            "against each other.",
            "Accuracy per class of both methods, as bars with intervals.",
        ),
        draw(
            shown.folder,
            "confusion",
            pictures.confusion(shown.methods, shown.tested, shown.dataset),
            "Each row is a class: the percentage of its examples given each "
            f"label{shown.which}. Off the diagonal are the confusions; compare the "
            "same cell on both sides.",
            "Two confusion matrices side by side.",
        ),
    ]


def _calibration(shown: Shown) -> list[Block]:
    losses = shown.results["losses"]
    errors = ", ".join(
        f"{method.title} {losses[method.name]['calibration_error']:.3f}"
        for method in shown.methods
    )
    return [
        draw(
            shown.folder,
            "calibration",
            pictures.calibration(shown.methods, shown.tested, shown.dataset),
            "Share of right answers among test examples of like confidence, the "
            f"largest softmax probability{shown.which}. On the diagonal, confidence "
            "can be taken at its word; bins of fewer than ten are left out. Expected "
            f"calibration error: {errors}. The SVM's loss does not make its scores "
            "log-probabilities; its curve shows what happens if they are used as such.",
            "Reliability diagram of both methods.",
            width=600,
        )
    ]


def _disagreements(shown: Shown) -> list[Block]:
    blocks: list[Block] = []
    for right, wrong in ((0, 1), (1, 0)):
        drawn = pictures.only_one_right(
            shown.tested[right], shown.tested[wrong], shown.dataset
        )
        if drawn is None:
            continue
        figure, num_shown, num_found = drawn
        title = shown.methods[right].title
        blocks.append(
            draw(
                shown.folder,
                f"only-{shown.methods[right].name}",
                figure,
                f"{title} alone is right on {num_found:,} test examples; these are "
                f"the {num_shown} on which the two disagree most. Above each, the true "
                "class and what the other classifier said.",
                f"Images that only {title} recognises.",
            )
        )
    return blocks or [Paragraph("On no test example is exactly one of the two right.")]


def _record(shown: Shown) -> list[Block]:
    environment = shown.folder.read_json("environment.json")
    seconds = {**shown.clock.seconds, "all": shown.clock.total()}
    parts = [
        [name, f"{part['compile']:.1f} s", f"{part['run']:.1f} s"]
        for name, part in seconds.items()
    ]
    return [
        Code(environment["command"]),
        Table(
            ("Part", "Compiling", "Running"),
            parts,
            caption="Where the time of this process went (a resumed run counts from "
            "its last start).",
        ),
        Details("Data: counts and hashes", [Facts(text.flat(shown.data_summary))]),
        Details("Versions and machine", [Facts(text.flat(environment))]),
    ]
