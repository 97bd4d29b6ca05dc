"""The page of a run: what was found, how, and the pictures that show it."""

from typing import Any, NamedTuple

from experiments.common.report import (
    Block,
    Card,
    Cards,
    Code,
    Details,
    Facts,
    Paragraph,
    Picture,
    Report,
    Section,
    Table,
    picture,
)
from experiments.common.run_folder import RunFolder
from experiments.common.timing import Clock
from experiments.svm_vs_softmax import pictures
from experiments.svm_vs_softmax.config import MOMENTUM, Config
from experiments.svm_vs_softmax.protocol import Chosen, Method
from experiments.svm_vs_softmax.verdict import Tested
from jaxlin import data

# Level of the test that the verdict is worded by.
SIGNIFICANCE = 0.05


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
    sections = [
        Section("Verdict", _verdict(run)),
        Section("Protocol", _protocol(run)),
        Section("Tuning", _tuning(run)),
        Section("Learning curves", _learning_curves(run)),
        Section("What happens per class", _per_class(run)),
        Section("Calibration", _calibration(run)),
    ]
    if pictures.can_be_shown(run.dataset):
        sections.insert(4, Section("Templates", _templates(run)))
        sections.append(Section("Where the two disagree", _disagreements(run)))
    sections.append(Section("Data and machine", _record(run)))
    return Report(
        f"Multiclass SVM against softmax on {run.dataset.name}",
        f"Linear classifiers, {run.results['num_train']:,} training and "
        f"{run.results['num_test']:,} test examples",
        sections,
        footer=f"python -m experiments.svm_vs_softmax, run {run.folder.path.name}",
    )


def _verdict(run: Run) -> list[Block]:
    paired = run.results["comparison"]
    low, high = paired["interval"]
    cards = []
    for method in run.methods:
        one = run.results["losses"][method.name]
        spread = one["test_accuracy_standard_deviation"]
        seeds = "one seed"
        if spread is not None:
            seeds = f"±\N{NO-BREAK SPACE}{100 * spread:.2f} over seeds"
        cards.append(
            Card(
                _percent(one["test_accuracy"]),
                f"{method.title}, test accuracy",
                f"95 % over images {_interval(one['test_accuracy_interval'])}; {seeds}",
            )
        )
    cards.append(
        Card(
            f"{100 * paired['difference']:+.2f}",
            "points, softmax less SVM",
            f"95 % {_interval(paired['interval'])}; McNemar p = "
            f"{paired['mcnemar_p']:.2g}",
        )
    )
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
    text = (
        f"{finding} (exact McNemar test, p = {paired['mcnemar_p']:.2g}; the interval "
        f"of the paired difference {zero} zero{trust}). The two give the same label to "
        f"{_percent(paired['agreement'], 1)} of the test examples. On "
        f"{paired['discordant']:,} exactly one of them is right: the SVM alone on "
        f"{paired['only_svm_right']:,}, softmax alone on "
        f"{paired['only_softmax_right']:,}."
    )
    note = (
        "The paired comparison is of the first seed's models, fixed before the run. "
        "The validation accuracy of a chosen setting, being the best of many, is "
        "optimistic; its test accuracy is not. "
        "Intervals over images say what another test set of this size would give; the "
        "spread over seeds says what another training run would give."
    )
    return [Cards(cards), Paragraph(text, lead=True), Paragraph(note)]


def _protocol(run: Run) -> list[Block]:
    config = run.config
    tried = " and ".join(f"{len(method.settings)}" for method in run.methods)
    text = (
        f"Both losses see the same split ({_percent(config.validation_fraction, 0)} of "
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
                _percent(one["validation_accuracy"]),
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
        _draw(
            run,
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
        _draw(
            run,
            "learning_curves",
            pictures.learning_curves(run.methods, run.chosen),
            "The chosen setting of each loss while the grid was trained: mean over "
            "seeds, in a band from the least to the greatest. Each loss has its own "
            "unit: compare shapes on the left, heights only on the right.",
            "Training loss of both methods by epoch, and validation accuracy.",
        )
    ]


def _templates(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            f"templates-{method.name}",
            pictures.templates(one, run.dataset),
            f"{method.title}: the rows of W as pictures (first seed). Zero is mid-grey "
            "and each template uses its whole range. Of all inputs of one norm, the "
            "template is the one that its class scores highest.",
            f"One picture a class: the templates of {method.title}.",
        )
        for method, one in zip(run.methods, run.chosen, strict=True)
    ]


def _per_class(run: Run) -> list[Block]:
    return [
        _draw(
            run,
            "per_class",
            pictures.per_class(run.methods, run.results["per_class"]),
            "Share of each class that is recognised (first seed), with 95 % Wilson "
            "intervals. Where the bars of a class differ, the two losses trade classes "
            "against each other.",
            "Accuracy per class of both methods, as bars with intervals.",
        ),
        _draw(
            run,
            "confusion",
            pictures.confusion(run.methods, run.tested, run.dataset),
            "Of the examples of a class (row), the percentage given each label "
            "(column), first seed. Off the diagonal are the confusions; compare the "
            "same cell on both sides.",
            "Two confusion matrices side by side.",
        ),
    ]


def _calibration(run: Run) -> list[Block]:
    errors = ", ".join(
        f"{method.title} {run.results['losses'][method.name]['calibration_error']:.3f}"
        for method in run.methods
    )
    return [
        _draw(
            run,
            "calibration",
            pictures.calibration(run.methods, run.tested, run.dataset),
            "Share of right answers among test examples of like confidence, the "
            "largest softmax probability (first seed). On the diagonal, confidence "
            "can be taken at its word; bins of fewer than ten are left out. Expected "
            f"calibration error: {errors}. The SVM's loss does not make its scores "
            "log-probabilities; its curve shows "
            "what happens if they are used as such.",
            "Reliability diagram of both methods.",
            width=600,
        )
    ]


def _disagreements(run: Run) -> list[Block]:
    blocks: list[Block] = []
    for right, wrong in ((0, 1), (1, 0)):
        drawn = pictures.only_one_right(
            run.tested[right], run.tested[wrong], run.dataset
        )
        if drawn is None:
            continue
        figure, shown, found = drawn
        title = run.methods[right].title
        blocks.append(
            _draw(
                run,
                f"only-{run.methods[right].name}",
                figure,
                f"{title} alone is right on {found:,} test examples; these are the "
                f"{shown} on which the two disagree most. Above each, the true class "
                "and what the other classifier said.",
                f"Images that only {title} recognises.",
            )
        )
    return blocks or [Paragraph("On no test example is exactly one of the two right.")]


def _record(run: Run) -> list[Block]:
    environment = run.folder.read_json("environment.json")
    seconds = {**run.clock.seconds, "all": run.clock.total()}
    parts = [
        [name, f"{part['compile']:.1f} s", f"{part['run']:.1f} s"]
        for name, part in seconds.items()
    ]
    return [
        Code(environment["command"]),
        Table(
            ("Part", "Compiling", "Running"),
            parts,
            caption="Where the time of "
            "this process went (a resumed run counts from its last start).",
        ),
        Details("Data: counts and hashes", [Facts(_flat(run.data_summary))]),
        Details("Versions and machine", [Facts(_flat(environment))]),
    ]


def _draw(
    run: Run, name: str, figure: Any, caption: str, alt: str, width: int | None = None
) -> Picture:
    path = run.folder.write_figure(name, figure)
    return picture(path, caption=caption, alt=alt, width=width)


def _percent(value: float, digits: int = 2) -> str:
    return f"{100 * value:.{digits}f} %"


def _interval(interval: Any) -> str:
    low, high = interval
    return f"[{100 * low:.2f}, {100 * high:.2f}]"


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots."""
    flat: dict[str, Any] = {}
    for name, entry in value.items():
        if isinstance(entry, dict):
            flat.update(_flat(entry, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = entry
    return flat
