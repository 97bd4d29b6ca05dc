"""The page of a certified run."""

from typing import Any, NamedTuple

import numpy as np

from experiments.common import slides
from experiments.common.report import (
    Block,
    Card,
    Cards,
    Facts,
    Paragraph,
    Report,
    Section,
    Table,
)
from experiments.svm_vs_softmax import sections
from experiments.svm_vs_softmax.certified import pictures, verdict
from experiments.svm_vs_softmax.certified.verdict import Outcome, Proven
from experiments.svm_vs_softmax.config import MOMENTUM
from experiments.svm_vs_softmax.sections import Shown, draw, interval, percent
from experiments.svm_vs_softmax.start import Started
from jaxlin.certificates.label_certificates import UNINFORMATIVE_WIDTH


class Run(NamedTuple):
    """Everything a page is made of; the lists are in the order of the methods."""

    started: Started
    outcomes: list[Outcome]
    proven: list[Proven]
    results: dict[str, Any]


def build(run: Run) -> Report:
    """Draws every picture into the run folder and puts the page together."""
    started = run.started
    shown = Shown(
        started.folder,
        started.dataset,
        started.methods,
        [one.tested for one in run.proven],
        [np.asarray(verdict.model(one.optimum).weights) for one in run.outcomes],
        run.results,
        started.facts,
        started.clock,
    )
    return Report(
        f"Multiclass SVM against softmax on {started.dataset.name}, certified",
        "Linear classifiers and the proof of their optimum, "
        f"{run.results['num_train']:,} "
        f"training and {run.results['num_test']:,} test examples",
        [
            Section("Verdict", _verdict(run)),
            Section("What is proven", _proofs(run)),
            Section("Protocol", _protocol(run)),
            Section("The path over l2", _path(run)),
            Section("How far SGD stays from the optimum", _distance(run)),
            *sections.of_models(shown),
        ],
        footer=f"python -m experiments.svm_vs_softmax, run {started.folder.path.name}",
        source=slides.LECTURE,
    )


def _verdict(run: Run) -> list[Block]:
    paired = run.results["comparison"]
    cards = []
    for method, outcome in zip(run.started.methods, run.outcomes, strict=True):
        one = run.results["losses"][method.name]
        gap = f"{outcome.optimum.relative_gap:.1e}".replace("-", "-\N{WORD JOINER}")
        cards.append(
            Card(
                percent(one["test_accuracy"]),
                f"{method.title}, test accuracy",
                f"95 % over images {interval(one['test_accuracy_interval'])}; proven "
                f"relative gap of the objective {gap}",
            )
        )
    note = (
        "How far each model is from the optimum is proven, so this "
        "compares the losses, not how well they were trained: no learning rate, number "
        "of epochs or first weights are to blame. Intervals over images say "
        "what another test set of this size would give."
    )
    return [
        Cards([*cards, sections.difference_card(paired)]),
        Paragraph(sections.finding(paired), lead=True),
        Paragraph(note),
    ]


def _proofs(run: Run) -> list[Block]:
    config = run.started.config
    fits, optima = [], []
    for method, outcome, proven in zip(
        run.started.methods, run.outcomes, run.proven, strict=True
    ):
        optimum, proof = outcome.optimum, outcome.optimum.certificate
        one = run.results["losses"][method.name]
        to_gap = one["evaluations_to_relative_gap"]
        fits.append(
            [
                method.title,
                f"{optimum.l2:g}",
                f"{optimum.objective:.6g}",
                f"{optimum.relative_gap:.1e}",
                f"{proof.rounding / optimum.objective:.1e}",
                "not reached" if to_gap is None else to_gap,
                optimum.evaluations,
                optimum.float64_evaluations,
            ]
        )
        optima.append(
            [
                method.title,
                percent(one["test_accuracy"]),
                str(proven.accuracy),
                f"{proven.radius:.1e}",
            ]
        )
    text = " ".join(
        _reached(method.title, outcome, config.polished_gap)
        for method, outcome in zip(run.started.methods, run.outcomes, strict=True)
    )
    low, high = run.results["comparison"]["difference_of_exact_optima"]
    between = (
        "So the accuracy of softmax's exact optimum on this test set, less that of the "
        f"SVM's, is proven to be in [{100 * low:+.2f}, {100 * high:+.2f}] points."
        if high - low <= UNINFORMATIVE_WIDTH
        else "The two intervals together say nothing useful of the difference between "
        "the exact optima."
    )
    return [
        Table(
            (
                "Loss",
                "l2",
                "Objective",
                "Gap",
                "Rounding",
                f"To {config.relative_gap:g}",
                "Evaluations",
                "In float64",
            ),
            fits,
            caption="The chosen l2, fitted to all training examples from weights 0. "
            "Gap: what the optimum can be below the objective at most, relative to "
            "it, with what floating-point rounding may hide, which is in the next "
            "column alone. An evaluation is one pass over the examples: how many a gap "
            f"of {config.relative_gap:g} took, how many there were, how many of these "
            "in float64.",
        ),
        Paragraph(text),
        Table(
            (
                "Loss",
                "Test accuracy",
                "Test accuracy of the exact optimum",
                "Parameters within",
            ),
            optima,
            caption="By strong convexity the parameters are within the last column of "
            "the optimum's, so test examples with a large enough margin get its label "
            "for certain. The interval is a proof about this test set, not a "
            "statement about sampling.",
        ),
        Paragraph(between),
    ]


def _reached(title: str, outcome: Outcome, asked: float) -> str:
    optimum = outcome.optimum
    if optimum.converged:
        how = "in float64" if optimum.float64_evaluations else "in float32"
        return f"{title}: the gap of {asked:g} that was asked for is proven, {how}."
    return (
        f"{title}: asked for a gap of {asked:g}, the fit reached "
        f"{optimum.relative_gap:.1e} in {optimum.evaluations:,} evaluations, of which "
        f"{optimum.float64_evaluations:,} in float64, and stopped there."
    )


def _protocol(run: Run) -> list[Block]:
    config = run.started.config
    text = (
        "Both losses see the same split "
        f"({percent(config.validation_fraction, 0)} of the training set held out, "
        f"stratified) and the same {len(config.path_l2)} penalties, from the largest "
        "to the smallest, each fit starting from the one before. The penalty with the "
        "best validation accuracy (of equal ones the larger) is fitted again to all "
        "training examples, from weights 0. The test set is read once, after that. "
        "Every evaluation uses all examples, so the fits depend on the split alone: "
        "there are no runs to average over."
    )
    rows = []
    for method in run.started.methods:
        one = run.results["losses"][method.name]
        rows.append(
            [
                method.title,
                f"{one['first_loss']:.4f}",
                f"{method.first_loss_formula} = {method.first_loss:.4f}",
                f"{one['l2']:g}",
                percent(one["validation_accuracy"]),
            ]
        )
    pixels = "value / maximum, minus the mean training image (raw pixels)"
    images = run.started.dataset.image_shape
    return [
        Paragraph(text),
        Table(
            ("Loss", "Loss at step 0", "Expected", "l2", "Validation"),
            rows,
            caption="A first loss not within 10 % of the expected one would have "
            "stopped the run.",
        ),
        Facts(
            {
                "Features": pixels if images else "minus the mean row",
                "Bias": "penalised like the weights, as by the bias trick",
                "Penalty": "l2 / 2 times the sum of squares",
                "Solver": "preconditioned L-BFGS, certified by duality; the SVM with "
                "duals",
                "Gap asked for": f"{config.relative_gap:g} on the path, "
                f"{config.polished_gap:g} for the model that is tested, relative",
                "Evaluations at most": f"{config.max_evaluations:,} a fit",
                "Saved and tested": "the polished parameters, rounded to float32; the "
                "proofs include that rounding",
            }
        ),
    ]


def _path(run: Run) -> list[Block]:
    started, config = run.started, run.started.config
    blocks: list[Block] = [
        draw(
            started.folder,
            "path",
            pictures.path(started.methods, run.outcomes),
            "Left: validation accuracy of each penalty; the large dot was chosen. "
            f"Right: evaluations until a relative gap of {config.relative_gap:g} was "
            "proven (or given up), each fit from the one before it, on its right.",
            "Validation accuracy and evaluations over l2 for both losses.",
        ),
        Paragraph(
            "Fits of the path stay in float32. Where they end with a gap larger than "
            f"{config.relative_gap:g}, its rounding or the number of evaluations lets "
            "no more be proven."
        ),
    ]
    for method, outcome in zip(started.methods, run.outcomes, strict=True):
        path = outcome.path
        rows = [
            [
                f"{one.l2:g}",
                f"{one.certificate.primal:.5g}",
                f"{one.relative_gap:.1e}",
                one.converged,
                one.evaluations,
                percent(one.validation_accuracy),
            ]
            for one in path.tried
        ]
        blocks.append(
            Table(
                ("l2", "Objective", "Gap", "As asked for", "Evaluations", "Validation"),
                rows,
                caption=f"{method.title}, on the training split.",
                chosen=[path.choice],
            )
        )
        if path.at_edge:
            text = (
                f"{method.title}: the choice lies at an end of the grid of l2; a wider "
                "grid might do better."
            )
            blocks.append(Paragraph(text))
    return blocks


def _distance(run: Run) -> list[Block]:
    started, config = run.started, run.started.config
    return [
        Paragraph(
            "Minibatch SGD at the chosen penalty, on the same training examples. Its "
            "objective after each epoch, less the lower bound that the certified fit "
            "has proven, as a share of the optimum: how far above the optimum it still "
            "is at most, and less than that by no more than the proven gap."
        ),
        draw(
            started.folder,
            "distance",
            pictures.distance(
                started.methods, run.outcomes, relative_gap=config.relative_gap
            ),
            f"Blue: SGD (momentum {MOMENTUM}, learning rate down a half cosine over "
            f"{config.epochs} epochs, batches of {config.batch_size}, one run each), "
            "measured after each epoch. Orange: the certified fit of the same "
            "examples after each evaluation, dotted how far it is (as long as float32 "
            "objectives tell), solid what it can prove of that by then. An epoch and "
            "an evaluation read each example once; the preparation of the certified "
            "fits, a second moment of the examples, is not on the axis but in the "
            "table of times below. Dashed: the gap that "
            f"fits of the path are asked for, {config.relative_gap:g}.",
            "Relative distance from the optimum by pass over the examples.",
        ),
        _distances(run),
    ]


def _distances(run: Run) -> Table:
    epochs = run.outcomes[0].distance.epochs
    shares = (0.1, 0.5, 1.0)
    marks = sorted({1, *(max(1, round(share * len(epochs))) for share in shares)})
    rows = []
    for method, outcome in zip(run.started.methods, run.outcomes, strict=True):
        found, optimum = outcome.distance, outcome.optimum
        for rate, relative in zip(found.learning_rates, found.relative.T, strict=True):
            last = float(relative[-1])
            as_close = None
            if np.isfinite(last):
                as_close = optimum.evaluations_to(last)
            rows.append(
                [
                    method.title,
                    f"{rate:.3g}",
                    *(_distance_text(relative[mark - 1]) for mark in marks),
                    as_close,
                ]
            )
    return Table(
        (
            "Loss",
            "Learning rate",
            *(f"Epoch {mark}" for mark in marks),
            "Certified fit as close after",
        ),
        rows,
        caption="Relative distance of SGD from the optimum after its epochs, and the "
        "evaluations after which the certified fit had proven to be no further than "
        "SGD is at the end.",
    )


def _distance_text(value: float) -> str:
    return f"{value:.1e}" if np.isfinite(value) else "diverged"
