"""The page of a run."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import record, report, slides
from experiments.common.report import Block, Paragraph, Section, Table
from experiments.common.run_folder import RunFolder
from experiments.loss_questions import pictures
from experiments.loss_questions.config import Config
from experiments.loss_questions.evaluate import Answer, text
from experiments.loss_questions.slips import Slip


class Run(NamedTuple):
    """Everything a page is made of."""

    folder: RunFolder
    config: Config
    svm: Sequence[Answer]
    softmax: Sequence[Answer]
    slips: Sequence[Slip]


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    asked = len(run.svm) + len(run.softmax)
    return report.Report(
        "Questions about losses, answered with numbers",
        f"{asked} answers, {len(run.slips)} slips of the slides",
        [
            Section("Three images and their scores", [_lead(run), *_scores(run)]),
            Section("The multiclass SVM loss", [_table(run.svm)]),
            Section("A score that moves", _moving(run)),
            Section("Softmax, and both side by side", [_table(run.softmax)]),
            Section("Indifference beyond the margin", _indifference(run)),
            Section("From Crammer-Singer to softmax", _temperatures(run)),
            Section("W, 2W and the penalty", _scaled(run)),
            Section("Slips of the slides", [_slips(run)]),
            Section("Method", _method(run)),
        ],
        footer=f"python -m experiments.loss_questions, run {run.folder.path.name}",
        source=slides.LECTURE,
    )


def _lead(run: Run) -> Paragraph:
    numbers = {answer.key: answer.numbers for answer in (*run.svm, *run.softmax)}
    return Paragraph(
        f"Of the lecture's three images the mean SVM loss is "
        f"{numbers['losses']['mean']:.4f} and the mean softmax loss "
        f"{numbers['softmax_losses']['mean']:.5f}. The SVM stops caring once every "
        f"margin is kept (the car's score may fall by {numbers['q1']['slack']:.1f} "
        "unnoticed); softmax never does.",
        lead=True,
    )


def _scores(run: Run) -> list[Block]:
    """The scores of the slides, and the hinge of each by hand."""
    (losses,) = (one.numbers["each"] for one in run.svm if one.key == "losses")
    rows = []
    for name, label, scores, loss in zip(
        slides.NAMES, slides.LABELS, slides.SCORES, losses, strict=True
    ):
        terms = " + ".join(
            f"max(0, {score:.1f} - {_in_brackets(scores[label])} + 1)"
            for score in np.delete(scores, label)
        )
        shown = (f"{score:.1f}" for score in scores)
        rows.append((name, *shown, f"{terms} = {text([loss])}"))
    return [
        Table(
            ("image, its right class", *slides.NAMES, "SVM loss by hand"),
            rows,
            caption="The scores that the slides give: a row an image, a column a "
            "class. All answers about these images start from here.",
        )
    ]


def _in_brackets(value: float) -> str:
    """What is taken off, to one decimal; in brackets if it is below 0."""
    return f"{value:.1f}" if value >= 0 else f"({value:.1f})"


def _table(answers: Sequence[Answer]) -> Table:
    return Table(
        ("question", "answer", "numbers", "from"),
        [(one.question, one.answer, one.shown, one.source) for one in answers],
    )


def _draw(run: Run, name: str, figure: Any, caption: str, alt: str, width: int = 900):
    path = run.folder.write_figure(name, figure)
    return report.picture(path, caption=caption, alt=alt, width=width)


def _moving(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "moving",
            pictures.moving(run.config),
            "The loss of the cat's image as the score of the cat moves, the others as "
            "on the slide. Dotted: where the slide has it. Grey: where the last margin "
            "is kept; from there on no hinge has a slope. The slope of the SVM is "
            "minus the number of classes that violate their margin (where that is one, "
            "Crammer-Singer, dashed, lies on it); that of softmax is "
            "p - 1, which is never 0.",
            "losses of one example and their derivatives against the right score",
        )
    ]


def _indifference(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "indifference",
            pictures.indifference(run.config),
            "Left: Q1, the shaded slack of the car. Right: the scores (10, t, t) of "
            "the slide as t moves; dotted are t = 9, the kink of the SVM, and t = 10, "
            "where three classes tie. Below 9 the SVM does not tell scores apart.",
            "SVM and softmax losses as scores move",
        )
    ]


def _temperatures(run: Run) -> list[Block]:
    return [
        Paragraph(
            "Softmax and the hinge of the worst class are ends of one path: `T log "
            "sum_j exp((s_j + margin [j != y] - s_y) / T)`. At temperature 0 only the "
            "largest term counts, which is the Crammer-Singer hinge; at temperature 1 "
            "without a margin it is softmax. Between the two it is never more than `T "
            "log C` above the hinge with that margin."
        ),
        _draw(
            run,
            "temperatures",
            pictures.temperatures(run.config),
            "The loss of the cat along the path, the margin 1 - T.",
            "losses between the Crammer-Singer hinge and softmax",
            width=720,
        ),
    ]


def _scaled(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "scaled",
            pictures.scaled(run.config),
            "The slides double W. Left: the car, whose loss is 0 at factor 1 (dotted): "
            "it stays 0 for every larger factor, while softmax falls for ever, so that "
            "without a penalty it has no minimiser. Middle: all three images, two of "
            "which are wrong: larger weights make both losses worse. Right: points in "
            "three sectors, and a W just large enough that L = 0 (dotted). From there "
            "on the loss is 0 at every factor, but the penalty grows as its square: of "
            "all multiples one is best (the dot).",
            "losses against a factor of the weights, car, three images, with a penalty",
        )
    ]


def _slips(run: Run) -> Table:
    return Table(
        ("the slides", "what is right", "numbers"),
        [(one.printed, one.right, one.shown) for one in run.slips],
        caption="Shown as such, so that nobody looks for the fault in the program.",
    )


def _method(run: Run) -> list[Block]:
    config = run.config
    return [
        Paragraph(
            "All losses are computed in float64 by the functions named in the tables. "
            f"The fits are of {config.examples} points in the plane, three sectors "
            f"that overlap, with l2 = {config.l2:g}. A duality gap bounds how far each "
            "is from the exact minimiser; two minimisers are called different only if "
            "they are further apart than both bounds together."
        ),
        *record.details(run.folder, config),
    ]
