"""The page of a run."""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from experiments.common import record, report, slides
from experiments.common.report import (
    Block,
    Card,
    Cards,
    Details,
    Paragraph,
    Section,
    Table,
)
from experiments.common.run_folder import RunFolder
from experiments.hard_cases import findings, pictures
from experiments.hard_cases.cases import CASES
from experiments.hard_cases.config import Config
from experiments.hard_cases.findings import percent
from experiments.hard_cases.measure import Measured


class Run(NamedTuple):
    """Everything a page is made of."""

    folder: RunFolder
    config: Config
    measured: Sequence[Measured]
    results: Mapping[str, Any]


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    config = run.config
    return report.Report(
        "Hard cases for a linear classifier",
        f"{config.examples} points a case, gap {config.gap:g}, noise {config.noise:g}",
        [
            Section("What was found", _found(run)),
            *(Section(CASES[one.name].title, _case(run, one)) for one in run.measured),
            Section("Method", _method(run)),
        ],
        footer=f"python -m experiments.hard_cases, run {run.folder.path.name}",
        source=slides.LECTURE,
    )


def _found(run: Run) -> list[Block]:
    cases = run.results["cases"]
    cards = [
        Card(
            percent(one["best_line"]["accuracy"]),
            f"the best line: {CASES[name].title.lower()}",
            "proven: no line gets all"
            if not one["proof"]["separable"]
            else "proven: it separates",
        )
        for name, one in cases.items()
        if "best_line" in one
    ]
    return [Paragraph(findings.lead(cases), lead=True), Cards(cards), _table(cases)]


def _table(cases: Mapping[str, Any]) -> Table:
    rows = []
    for name, one in cases.items():
        proof, lifted = one.get("proof"), one["lifted_fits"]
        rows.append(
            (
                CASES[name].title,
                None if proof is None else "yes" if proof["separable"] else "no",
                percent(one["best_line"]["accuracy"]) if "best_line" in one else None,
                percent(one["one_label"]),
                *(findings.of_optimum(fit["optimum"]) for fit in one["fits"].values()),
                CASES[name].added or None,
                *(findings.of_optimum(fit["optimum"]) for fit in lifted.values()),
                *([None, None] if not lifted else []),
            )
        )
    return Table(
        (
            "case",
            "a line separates",
            "best line",
            "always one label",
            "SVM",
            "softmax",
            "added feature",
            "SVM with it",
            "softmax with it",
        ),
        rows,
        caption="Accuracy on the points. The best line is the best by the zero-one "
        "loss. Of SVM and softmax: what the exact optimum of their own loss provably "
        "gets, one number where every label is proven.",
    )


def _case(run: Run, measured: Measured) -> list[Block]:
    name = measured.name
    one, case = run.results["cases"][name], CASES[name]
    if case.lift is None:
        figure = pictures.easy_case(measured)
        caption = "The regions of both losses, exact polygons: the hyperplanes cut up "
        caption += "the plane, and each class gets a convex piece."
    else:
        figure = pictures.hard_case(measured)
        caption = (
            "Left: the star is a point of both convex hulls, made of the points with a "
            "black rim. Middle: tinted are the regions of the SVM. Right: those of the "
            f"SVM with {case.added}, still linear in its features."
        )
    path = run.folder.write_figure(name, figure)
    shown = report.picture(path, caption=caption, alt=case.title)
    blocks: list[Block] = [Paragraph(findings.of_case(name, one)), shown]
    blocks.append(_certificates(one))
    if "proof" in one and not one["proof"]["separable"]:
        blocks.append(Details("The proof, digit by digit", [_proof(measured, one)]))
    return blocks


def _certificates(one: Mapping[str, Any]) -> Table:
    rows = []
    kinds = [("x1, x2", one["fits"]), ("with the one added", one["lifted_fits"])]
    for where, fits in kinds:
        for loss, fit in fits.items():
            rows.append(
                (
                    loss,
                    where,
                    fit["l2"],
                    fit["at_zero"],
                    f"{fit['primal']:.6g}",
                    f"{fit['relative_gap']:.1e}",
                    f"{fit['weights_norm']:.3g}",
                    fit["evaluations"],
                    percent(fit["accuracy"]),
                    findings.of_optimum(fit["optimum"]),
                    percent(fit["optimum"]["certified"]),
                )
            )
    return Table(
        (
            "loss",
            "features",
            "l2",
            "at W = 0",
            "objective",
            "relative gap",
            "norm of W",
            "evaluations",
            "right",
            "exact optimum",
            "labels proven",
        ),
        rows,
        caption="Certificates: no W has an objective that is smaller by more than the "
        "relative gap. That bounds how far away the exact optimum can be; labels that "
        "nothing so near would change are proven, and bound its accuracy.",
    )


def _proof(measured: Measured, one: Mapping[str, Any]) -> Table:
    proof, features = one["proof"], measured.points.features
    names = CASES[measured.name].class_names
    rows = [
        (
            row,
            names[measured.points.labels[row]],
            *(f"{value:.9g}" for value in features[row]),
            weight,
            f"{float(Fraction(weight)):.6f}",
        )
        for row, weight in zip(proof["rows"], proof["weights"], strict=True)
    ]
    point = ", ".join(f"{float(Fraction(part)):.6f}" for part in proof["point"])
    return Table(
        ("point", "class", "x1", "x2", "weight, exact", "about"),
        rows,
        caption=f"The weights of each class sum to 1 and make the point ({point}), the "
        "same for both classes to the last digit.",
    )


def _method(run: Run) -> list[Block]:
    return [
        Paragraph(
            "Two finite sets can be separated by a hyperplane exactly if their convex "
            "hulls have no point in common. Weights of such a point are worked out in "
            "whole numbers; they, or a plane, are checked from the points alone in "
            "fractions: nothing is rounded there. In the plane four points are always "
            "enough."
            "\n\n"
            "The best line is found by turning a line about every point and counting "
            "what changes as it passes the others; places that float64 could confuse "
            "are told apart in fractions. Its count is checked in fractions too."
            "\n\n"
            "Fits minimise mean loss plus l2 / 2 times the sum of squares of W, bias "
            "included, until the duality gap is below the share asked for; where that "
            "takes more digits than float32 has, in float64. With the "
            "added feature l2 is small, as it takes large weights to give a small "
            "feature a margin."
        ),
        *record.details(run.folder, run.config),
    ]
