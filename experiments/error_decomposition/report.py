"""The page: the slide drawn from measurements, every term, curves; then `sections`."""

import math
from collections.abc import Mapping
from typing import Any

from experiments.common import report, slides
from experiments.common.report import Block, Card, Cards, Paragraph, Section, Table
from experiments.error_decomposition import config as settings
from experiments.error_decomposition import findings, pictures, sections
from experiments.error_decomposition.findings import estimate, nats, percent, write
from experiments.error_decomposition.pictures import KINDS, TITLES
from experiments.error_decomposition.sections import Run, draw
from experiments.error_decomposition.verdict import MEASURED, TERMS


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    classes = run.results["classes"]
    found = [
        Section("What the error is made of", _bars(run)),
        Section("Every term", _terms(run)),
        Section(
            "Optimisation: on the objective, and on the test set", _optimisation(run)
        ),
        Section("Learning curves", _curves(run)),
    ]
    if "patches" in classes:
        found.append(Section("Filters", sections.filters(run)))
    if "network" in classes:
        found.append(Section("The network and its head", sections.network(run)))
    found.append(Section("Method", sections.method(run)))
    return report.Report(
        f"Whose error is it? {run.facts['name']}: modelling, estimation, optimisation",
        f"{run.examples:,} training examples, {len(classes)} model classes, two losses",
        found,
        footer=f"python -m experiments.error_decomposition, run {run.folder.path.name}",
        source=slides.LECTURE,
    )


def _bars(run: Run) -> list[Block]:
    classes = run.results["classes"]
    split = any(one["zero_one"]["split"] != MEASURED for one in classes.values())
    return [
        Cards([_card(name, one["zero_one"]) for name, one in classes.items()]),
        *(Paragraph(text) for text in findings.of_classes(run.results)),
        draw(
            run,
            "stacked",
            pictures.stacked(run.results, "zero_one"),
            caption="From below: the middle of where the Bayes error (the least that "
            "any function has) may lie, then modelling, estimation and optimisation "
            "error, which add up to the test error. A term below 0 is drawn downwards. "
            "Black: the 95 % interval of each term, from its own foot. "
            + ("Hatched: only the sum of the two is measured. " if split else "")
            + _reference(run),
            alt="stacked bars of error terms for each model class",
            width=760,
        ),
        draw(
            run,
            "stacked-surrogate",
            pictures.stacked(run.results, "surrogate"),
            caption="The same for the loss that was minimised, cross-entropy."
            + _fano(run),
            alt="stacked bars of cross-entropy terms for each model class",
            width=760,
        ),
    ]


def _card(name: str, terms: Mapping[str, Any]) -> Card:
    said = f"estimation {estimate(terms['estimation'], 'zero_one')}"
    if terms["split"] != MEASURED:
        said = f"modelling and estimation together {findings.both(terms, 'zero_one')}"
    error = percent(terms["error"]["value"])
    return Card(error, f"test error, {TITLES[name]}", f"{said} points of it")


def _reference(run: Run) -> str:
    """Where the Bayes error lies, and who says so."""
    high = run.results["reference"]["zero_one"][1]
    if high == 0:
        text = (
            "The reference is an error of 0: no better bound of the Bayes error was "
            "given (`--published-error` takes one), so what is called modelling is an "
            "upper bound of it."
        )
    else:
        by = settings.source(run.config, "published_error")
        text = (
            f"The reference: the Bayes error lies between 0 and {percent(high)}, the "
            + (f"least that has been published ({by})." if by else "bound given.")
        )
    if run.results["human_error"]:
        by = settings.source(run.config, "human_error")
        text += f" Dashed: the error of a human ({by or 'as given'})."
    return text


def _fano(run: Run) -> str:
    if run.results["reference"]["zero_one"][1] == 0:
        return ""
    return (
        " By Fano's inequality the reference bounds the least cross-entropy of any "
        f"function too, to {run.results['reference']['surrogate'][1]:.4f} nats."
    )


def _terms(run: Run) -> list[Block]:
    classes = run.results["classes"]
    tables = [
        Table(
            ("class", "test error", *TERMS),
            [
                (
                    TITLES[name],
                    estimate(one[kind]["error"], kind),
                    *(findings.term(one[kind], term, kind) for term in TERMS),
                )
                for name, one in classes.items()
            ],
            caption=f"{title.capitalize()}, in {unit}, with 95 % intervals; networks: "
            "bounds.",
        )
        for (kind, title), unit in zip(KINDS.items(), ("points", "nats"), strict=True)
    ]
    drawn = [
        (
            TITLES[name],
            title,
            estimate(one[kind]["estimation"], kind),
            estimate(one[kind]["bootstrap"], kind),
        )
        for name, one in classes.items()
        for kind, title in KINDS.items()
        if one[kind]["bootstrap"]
    ]
    blocks: list[Block] = [
        draw(
            run,
            "terms",
            pictures.terms(run.results),
            caption="Every term with its 95 % interval; dashed: bounds alone; none "
            "where nothing is measurable. What leaves the picture goes on.",
            alt="error terms as points with intervals",
            width=900,
        ),
        *tables,
    ]
    if drawn:
        blocks.append(
            Table(
                ("class", "loss", "estimation", "estimation by bootstrap"),
                drawn,
                caption="Bootstrap refits (on as many examples, drawn with "
                "replacement) estimate the same term to first order. Where there are "
                "not many more examples than parameters they say too much, since a "
                "resample has only 63 % of the examples.",
            )
        )
    return blocks


def _optimisation(run: Run) -> list[Block]:
    rows = []
    for name, one in run.results["classes"].items():
        found = one["measured"]
        low, high = found["optimisation_on_objective"]
        rows.append(
            (
                TITLES[name],
                nats(found["objective_trained"]),
                findings.apart(low, high),
                estimate(one["surrogate"]["optimisation"], "surrogate"),
                estimate(one["zero_one"]["optimisation"], "zero_one"),
            )
        )
    slip = findings.of_slip(run.results)
    return [
        *([Paragraph(slip)] if slip else []),
        Table(
            (
                "class",
                "training objective",
                "above its minimum",
                "test cross-entropy",
                "test error, points",
            ),
            rows,
            caption="What was trained (minibatch SGD; for the network AdamW) against "
            "the best on the sample. Of linear classes the third column is proven: "
            "from the certified fit's objective and its dual value. Of the network the "
            "minimum is unknown: a certified head shows how much is lost at least, and "
            "no loss is below 0.",
        ),
    ]


def _curves(run: Run) -> list[Block]:
    rows = [
        (
            TITLES[name],
            title,
            *(write(x, kind) for x in one[kind]["curve"]),
            write(one[kind]["train"], kind),
            findings.term(one[kind], "best_of_class", kind),
            "none"
            if math.isnan(one[kind]["exponent"])
            else f"{one[kind]['exponent']:.2f}",
        )
        for name, one in run.results["classes"].items()
        for kind, title in KINDS.items()
    ]
    doubts = findings.of_exponents(run.results)
    return [
        draw(
            run,
            "curves",
            pictures.curves(run.results, run.examples),
            caption="Test error of the best on the sample against its size; at the "
            "end of the dotted line, with its 95 % interval: the best of the class, "
            "where the curve of an infinite sample ends (dashed: bounds alone). The "
            "triangle is the error on the training examples themselves.",
            alt="learning curves of each class with extrapolation",
            width=900,
        ),
        Table(
            (
                "class",
                "loss",
                "n / 4",
                "n / 2",
                "n",
                "on training",
                "best of class",
                "exponent",
            ),
            rows,
            caption="Zero-one errors in percent, cross-entropies in nats. The exponent "
            "is the c of a + b / n^c through the three means, without an interval; in "
            "linear classes theory says 1 where n is large, of networks it says "
            "nothing.",
        ),
        *([Paragraph(doubts)] if doubts else []),
    ]
