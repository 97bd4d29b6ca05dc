"""What a page is made of, and its later sections: filters, the network, method."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from experiments.common import record, report
from experiments.common.report import Block, Facts, Paragraph, Picture, Table
from experiments.common.run_folder import RunFolder
from experiments.error_decomposition import pictures
from experiments.error_decomposition.config import Config
from experiments.error_decomposition.findings import percent
from experiments.error_decomposition.pictures import TITLES
from experiments.error_decomposition.saved import Found


class Run(NamedTuple):
    """What a page is made of.

    Attributes:
      folder: of the run.
      config: settings.
      results: as of results.json.
      found: what was measured, by class.
      facts: of the data.
      examples: n.
      seconds: of the parts of the run.
    """

    folder: RunFolder
    config: Config
    results: Mapping[str, Any]
    found: Mapping[str, Found]
    facts: Mapping[str, Any]
    examples: int
    seconds: Mapping[str, Mapping[str, float]]


def draw(
    run: Run, name: str, figure: Any, *, caption: str, alt: str, width: int
) -> Picture:
    """A picture into the run folder and onto the page."""
    path = run.folder.write_figure(name, figure)
    return report.picture(path, caption=caption, alt=alt, width=width)


def filters(run: Run) -> list[Block]:
    """What k-means found in patches."""
    found = run.found["patches"]
    first, *_, last = found.numbers["clustering"]
    return [
        draw(
            run,
            "filters",
            pictures.filters(found.arrays["filters"], run.config.patch_size),
            caption=f"Some of {run.config.filters} filters, found in whitened patches "
            f"of {run.config.patch_size} by {run.config.patch_size} pixels by k-means, "
            "without labels. Mean distance of a patch from its nearest filter (1 less "
            f"the cosine of the angle between the two): {first:.3f} at the start, "
            f"{last:.3f} at the end.",
            alt="learned filters as small pictures",
            width=760,
        )
    ]


def network(run: Run) -> list[Block]:
    """The network's own heads against certified ones, and how it was trained."""
    one = run.results["classes"]["network"]
    heads, found = one["heads"], one["measured"]
    rows = [
        (seed, percent(own), percent(other), f"{p:.3g}")
        for seed, (own, other, p) in enumerate(
            zip(
                heads["own_error"],
                heads["certified_error"],
                heads["p_values"],
                strict=True,
            )
        )
    ]
    return [
        Paragraph(
            f"{found['parameters']:,} parameters, of which the head is a linear "
            "classifier like any other here. With the body frozen, its optimum is "
            f"found with a proof: all {found['fits']} heads to a relative gap of "
            f"{found['largest_relative_gap']:.1e} or less. On training images the "
            f"networks are wrong on {percent(found['own_train_zero_one'])} with their "
            f"own heads and on {percent(found['train_zero_one'])} with certified ones."
        ),
        Table(
            ("seed", "own head", "certified head", "p"),
            rows,
            caption="Test errors of the networks on all examples; exact McNemar tests "
            "of the two heads, adjusted by Holm's method for there being several.",
        ),
        draw(
            run,
            "training",
            pictures.training(found["training_loss"]),
            caption="Mean over seeds, band from the least to the greatest.",
            alt="training loss of the networks against the epoch",
            width=620,
        ),
    ]


def method(run: Run) -> list[Block]:
    """What was done, on what, and where the time went."""
    parts = [
        (name, f"{one['compile']:.1f} s", f"{one['run']:.1f} s")
        for name, one in run.seconds.items()
    ]
    text = (
        "What was trained less Bayes = modelling (best of the class less Bayes) + "
        "estimation (best on the training sample less best of the class) + "
        "optimisation (what was trained less best on the sample). The best of a linear "
        "class is the minimum of the penalised objective on all examples that there "
        "could be, at an l2 that was chosen once on a held-out fifth and kept. (So are "
        "filters and scales of patches, learned once from all training images: what "
        "learning them costs is not in the estimation term.) All its "
        "refits, on halves, quarters and bootstrap resamples, are one certified sweep "
        "with example weights."
        "\n\n"
        "The estimation term is what the halves lose against the whole, corrected by "
        "half of the curve's next term; the spread over random splits tells how much "
        "this one sample may deviate. Intervals are over paired test images and over "
        "training samples. Networks on fewer images make as many epochs, so that they "
        "have fewer updates: part of what their curve shows is that."
    )
    facts = {}
    for name, one in run.results["classes"].items():
        found = one["measured"]
        told = f"{found['certified']} of {found['fits']} certified fits"
        if "l2" in found:
            edge = ", at an end of the grid" if found["l2_at_edge"] else ""
            told += f", {found['features']:,} features, l2 {found['l2']:g}{edge}"
        facts[TITLES[name]] = told
    return [
        Paragraph(text),
        Facts(facts),
        Table(
            ("part", "compiling", "running"),
            parts,
            caption="Where the time of this process went (a resumed run counts from "
            "its last start).",
        ),
        *record.details(run.folder, run.config, data=run.facts),
    ]
