"""The page of a run: what was found, how, and the pictures that show it."""

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
from experiments.common.run_folder import RunFolder
from experiments.common.timing import Clock
from experiments.svm_vs_softmax import pictures, sections
from experiments.svm_vs_softmax.config import MOMENTUM, Config
from experiments.svm_vs_softmax.protocol import Chosen, Method
from experiments.svm_vs_softmax.sections import Shown, draw, interval, percent
from experiments.svm_vs_softmax.verdict import Tested
from jaxlin import data


class Run(NamedTuple):
    """Everything a page is made of; the lists are in the order of the methods."""

    folder: RunFolder
    config: Config
    dataset: data.Dataset
    methods: list[Method]
    chosen: list[Chosen]
    tested: list[Tested]
    results: dict[str, Any]
    data_summary: dict[str, Any]
    clock: Clock


def build(run: Run) -> Report:
    """Draws every picture into the run folder and puts the page together."""
    shown = Shown(
        run.folder,
        run.dataset,
        run.methods,
        run.tested,
        [np.asarray(one.refit.params.weights[0]) for one in run.chosen],
        run.results,
        run.data_summary,
        run.clock,
        which=" (first seed)",
    )
    return Report(
        f"Multiclass SVM against softmax on {run.dataset.name}",
        f"Linear classifiers, {run.results['num_train']:,} training and "
        f"{run.results['num_test']:,} test examples",
        [
            Section("Verdict", _verdict(run)),
            Section("Protocol", _protocol(run)),
            Section("Tuning", _tuning(run)),
            Section("Learning curves", _learning_curves(run)),
            *sections.of_models(shown),
        ],
        footer="python -m experiments.svm_vs_softmax --solver minibatch, run "
        f"{run.folder.path.name}",
        source=slides.LECTURE,
    )


def _verdict(run: Run) -> list[Block]:
    paired = run.results["comparison"]
    cards = []
    for method in run.methods:
        one = run.results["losses"][method.name]
        spread = one["test_accuracy_standard_deviation"]
        seeds = "one seed"
        if spread is not None:
            seeds = f"±\N{NO-BREAK SPACE}{100 * spread:.2f} over seeds"
        cards.append(
            Card(
                percent(one["test_accuracy"]),
                f"{method.title}, test accuracy",
                f"95 % over images {interval(one['test_accuracy_interval'])}; {seeds}",
            )
        )
    note = (
        "The paired comparison is of the first seed's models, fixed before the run. "
        "The validation accuracy of a chosen setting, being the best of many, is "
        "optimistic; its test accuracy is not. "
        "Intervals over images say what another test set of this size would give; the "
        "spread over seeds says what another training run would give."
    )
    return [
        Cards([*cards, sections.difference_card(paired)]),
        Paragraph(sections.finding(paired), lead=True),
        Paragraph(note),
    ]


def _protocol(run: Run) -> list[Block]:
    config = run.config
    tried = " and ".join(f"{len(method.settings)}" for method in run.methods)
    text = (
        f"Both losses see the same split ({percent(config.validation_fraction, 0)} of "
        "the training set held out, stratified), the same first weights and the same "
        f"minibatches in the same order. The grids of the SVM and of softmax have "
        f"{tried} settings, each trained with {config.seeds} seeds. The setting with "
        "the best mean validation accuracy is trained again on all training examples. "
        "The test set is read once, after that."
    )
    rows = []
    for method in run.methods:
        one = run.results["losses"][method.name]
        rows.append(
            [
                method.title,
                f"{one['first_loss']:.4f}",
                f"{method.first_loss_formula} = {method.first_loss:.4f}",
                f"{one['l2']:g}",
                f"{one['learning_rate']:.3g}",
                percent(one["validation_accuracy"]),
                f"{one['training_objective']:.4f}",
            ]
        )
    table = Table(
        (
            "Loss",
            "Loss at step 0",
            "Expected",
            "l2",
            "Learning rate",
            "Validation",
            "Objective",
        ),
        rows,
        caption="A first loss not within 10 % of the expected one would have stopped "
        "the run. Learning rates are absolute; the flags give them in units of "
        f"{run.results['learning_rate_unit']:.4g}, which is 1 / mean squared norm of "
        "an example. The last column is the training objective of the refitted "
        "models; the units of the two losses differ.",
    )
    pixels = "value / maximum, minus the mean training image (raw pixels)"
    how = Facts(
        {
            "Features": pixels if run.dataset.image_shape else "minus the mean row",
            "Bias": "penalised like the weights, as by the bias trick",
            "Penalty": "l2 / 2 times the sum of squares",
            "Optimiser": f"SGD, momentum {MOMENTUM}, learning rate down a half cosine",
            "Epochs and batch": f"{config.epochs} epochs, {config.batch_size} examples",
        }
    )
    return [Paragraph(text), table, how]


def _tuning(run: Run) -> list[Block]:
    blocks: list[Block] = [
        draw(
            run.folder,
            "tuning",
            pictures.tuning(run.methods, run.chosen),
            f"Validation accuracy in percent, mean of {run.config.seeds} seeds. The "
            "outlined setting was chosen. Where its neighbours are as good, the choice "
            "hardly matters.",
            "Two heat maps of validation accuracy over l2 and learning rate.",
        )
    ]
    for method, one in zip(run.methods, run.chosen, strict=True):
        if one.at_edge:
            text = (
                f"{method.title}: the choice lies at an end of the grid of "
                f"{' and of '.join(one.at_edge)}; a wider grid might do better."
            )
            blocks.append(Paragraph(text))
    return blocks


def _learning_curves(run: Run) -> list[Block]:
    return [
        draw(
            run.folder,
            "learning_curves",
            pictures.learning_curves(run.methods, run.chosen),
            "The chosen setting of each loss while the grid was trained: mean over "
            "seeds, in a band from the least to the greatest. Each loss has its own "
            "unit: compare shapes on the left, heights only on the right.",
            "Training loss of both methods by epoch, and validation accuracy.",
        )
    ]
