"""The page of a run."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common import record, report, slides
from experiments.common.report import Block, Card, Cards, Paragraph, Section, Table
from experiments.common.run_folder import RunFolder
from experiments.viewpoints import findings, pictures
from experiments.viewpoints.config import Config
from experiments.viewpoints.findings import percent
from experiments.viewpoints.measure import Explained, Plane, Trained
from experiments.viewpoints.radii import Radii
from jaxlin import data


class Run(NamedTuple):
    """Everything a page is made of.

    Attributes:
      folder: where pictures go.
      config: of the run.
      dataset: what was fitted and tested on.
      classifier: the one W.
      plane: two principal axes.
      images: what is explained pixel by pixel.
      radii: by norm.
      example: the worked example.
      results: results.json.
      facts: data.json.
    """

    folder: RunFolder
    config: Config
    dataset: data.Dataset
    classifier: Trained
    plane: Plane
    images: Sequence[Explained]
    radii: dict[str, Radii]
    example: dict[str, np.ndarray]
    results: Mapping[str, Any]
    facts: Mapping[str, Any]


def build(run: Run) -> report.Report:
    """Draws the pictures into the run folder and puts the page together."""
    name = run.facts["name"]
    return report.Report(
        f"One linear classifier of {name}, seen three ways",
        f"{run.config.loss}, l2 {run.config.l2:g}",
        [
            Section("What was found", _found(run)),
            Section("Algebra: W x + b", _algebra(run)),
            Section("Pictures: one template a class", _templates(run)),
            Section("Geometry: hyperplanes cutting up space", _plane(run)),
            Section("Which pixels count", _contributions(run)),
            Section("The smallest change of a label", _changes(run)),
            Section("Accuracy against the size of a perturbation", _accuracy(run)),
            Section("Method", _method(run)),
        ],
        footer=f"python -m experiments.viewpoints, run {run.folder.path.name}",
        source=slides.LECTURE,
    )


def _draw(run: Run, name: str, figure: Any, caption: str, alt: str, width: int):
    path = run.folder.write_figure(name, figure)
    return report.picture(path, caption=caption, alt=alt, width=width)


def _found(run: Run) -> list[Block]:
    cards = [
        Card(
            f"{one['free']['median']:.3g}",
            f"median radius in {name}, without bounds",
            f"half lie in [{one['free']['quartiles'][0]:.3g}, "
            f"{one['free']['quartiles'][1]:.3g}]",
        )
        for name, one in run.results["radii"].items()
    ]
    accuracy = run.results["radii"]["L2"]["free"]
    cards.insert(0, Card(percent(accuracy["accuracy"]), "test accuracy"))
    return [Paragraph(findings.lead(run.results), lead=True), Cards(cards)]


def _algebra(run: Run) -> list[Block]:
    parts, scores = run.example["contributions"], run.example["scores"]
    names = ("cat", "dog", "ship")
    rows = [
        (
            name,
            *(f"{value:.2f}" for value in parts[c]),
            f"{slides.BIAS[c]:.1f}",
            f"{scores[c]:.2f}",
        )
        for c, name in enumerate(names)
    ]
    error = run.classifier.folding_error
    largest = float(np.abs(run.classifier.scores).max())
    return [
        Table(
            (
                "class",
                *(f"pixel {value}" for value in slides.PIXELS),
                "bias",
                "score",
            ),
            rows,
            caption="The lecture's image of four pixels: what each adds to each score. "
            "The slide prints 61.95 for the ship, which is the sum without its bias.",
        ),
        Paragraph(
            "An affine map of an affine map is affine: the normalisation (pixel / "
            f"{run.dataset.max_value:g}, less the mean image) folded into W and b "
            f"gives the same scores on raw pixels. Over all "
            f"{len(run.classifier.scores):,} test images and classes the largest "
            f"difference is {error:.1e}, in float64, of scores up to {largest:.3g}."
        ),
    ]


def _templates(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "templates",
            pictures.templates(
                np.asarray(run.classifier.fit.params.weights), run.dataset
            ),
            "The rows of W; mid-grey is 0. Above, each on a scale of its own: black "
            "and white are its largest weight. Below, all on one scale, so that they "
            "can be compared. Of all inputs of one L2 norm (normalised, the mean image "
            "taken off) it is those along its template that a class scores highest.",
            "templates of all classes, on their own and on a shared scale",
            900,
        )
    ]


def _plane(run: Run) -> list[Block]:
    return [
        Paragraph(findings.of_plane(run.results)),
        _draw(
            run,
            "plane",
            pictures.plane(run.plane, run.dataset),
            "A plane through all dimensions, cut by the hyperplanes along lines: exact "
            "convex regions, tinted. Points are training images projected on the "
            "plane, in the colour of their right class.",
            "decision regions on the plane of two principal axes",
            820,
        ),
    ]


def _contributions(run: Run) -> list[Block]:
    names = run.dataset.class_names
    rows = [
        (
            names[one.label],
            names[one.first],
            names[one.second],
            f"{one.lead:.4f}",
            f"{one.parts.sum():.4f}",
            f"{one.constant:+.4f}",
        )
        for one in run.images
    ]
    return [
        _draw(
            run,
            "contributions",
            pictures.contributions(run.images, run.dataset),
            "Above: test images under their right class. Below: what each pixel (its "
            "colours summed) adds to the lead of the predicted class over the second, "
            "against the mean image: red for, blue against, on one scale.",
            "images and the contributions of their pixels",
            180 * len(run.images),
        ),
        Table(
            ("right class", "predicted", "second", "lead", "sum of pixels", "and bias"),
            rows,
            caption="The pixels and the bias sum to the lead. How it is shared out "
            "depends on what counts as zero, here the mean image: from another zero "
            "each pixel adds something else.",
        ),
    ]


def _changes(run: Run) -> list[Block]:
    number = run.radii["L2"].shown
    names, test = run.dataset.class_names, run.dataset.test
    shape = run.dataset.image_shape
    assert shape is not None
    return [
        _draw(
            run,
            "changes",
            pictures.perturbed(
                run.radii,
                test.features[number].reshape(shape),
                names[int(run.classifier.scores[number].argmax())],
                run.dataset,
            ),
            f"The first test image that is right (number {number}, counted from 0), as "
            "it is and with the smallest change, in each norm and within the pixel "
            "range, at which its label ties with another. Below: the size of the "
            "change in each pixel, largest of its colours, in units of the pixel "
            "range, each on a scale of its own. L1 takes few pixels to the end of "
            "their range; Linf moves all by the same, but for pixels that reach that "
            "end before.",
            "one image before and after its smallest perturbations",
            900,
        )
    ]


def _accuracy(run: Run) -> list[Block]:
    rows = []
    count, total = len(run.radii["L2"].boxed), len(run.dataset.test.labels)
    of_images = (
        "the test images" if count == total else f"the first {count:,} test images"
    )
    for name, one in run.results["radii"].items():
        kinds = [("first_free", "any"), ("boxed", "within the range")]
        if one["free"]["images"] > one["boxed"]["images"]:
            kinds.append(("free", "any"))
        for kind, where in kinds:
            found = one[kind]
            images = f"{found['images']:,}"
            rows.append(
                (
                    name,
                    where,
                    f"the first {images}"
                    if found["images"] < total
                    else f"all {images}",
                    percent(found["accuracy"]),
                    f"{found['median']:.5g}",
                    f"{found['quartiles'][0]:.4g} to {found['quartiles'][1]:.4g}",
                    percent(found["never"]),
                )
            )
    return [
        Paragraph(findings.of_radii(run.results)),
        _draw(
            run,
            "accuracy",
            pictures.accuracy(run.radii, run.config.sizes),
            f"Share of {of_images} that are right under every perturbation up to a "
            "size: exact, as the radius of each image is. Both curves are of the same "
            "images.",
            "accuracy against perturbation size in L1, L2 and Linf",
            940,
        ),
        Table(
            (
                "norm",
                "pixel values",
                "images",
                "right",
                "median radius",
                "quartiles",
                "no change suffices",
            ),
            rows,
            caption="Radii of the images that are right, in units of the pixel range. "
            "Without and within bounds, the first rows of each norm are of the same "
            "images. Last column: share of the right images whose label no change, "
            "however large, makes another.",
        ),
    ]


def _method(run: Run) -> list[Block]:
    fit = run.results["fit"]
    return [
        Paragraph(
            f"Fitted on all {len(run.dataset.train.labels):,} training images, pixel / "
            f"{run.dataset.max_value:g} less the mean image, bias penalised: objective "
            f"{fit['primal']:.6f}, proven to be within a relative "
            f"{fit['relative_gap']:.1e} of the least after {fit['evaluations']} "
            "evaluations"
            + (". " if fit["converged"] else ", which was not what was asked for. ")
            + f"No W has less than {fit['dual']:.6f}: that bound is lower still than "
            "the gap says, by what rounding may have added to the objective itself."
            "\n\n"
            "A radius is the least over all other classes of the least change that "
            "makes up the lead. Without bounds that is the lead over the dual norm of "
            "the difference of two templates; within the pixel range the pixels that "
            "have reached its end leave the rest to the others, which is solved "
            "exactly piece by piece."
        ),
        *record.details(run.folder, run.config, data=run.facts),
    ]
