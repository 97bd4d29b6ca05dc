"""The page of a run: what came out, each loss, gradient, growth, method."""

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.benchmark_solvers import (
    conclusions,
    gradient,
    growth,
    pictures,
    tables,
)
from experiments.benchmark_solvers.conclusions import Conclusion
from experiments.benchmark_solvers.config import Config
from experiments.common import text
from experiments.common.report import (
    Block,
    Card,
    Cards,
    Code,
    Details,
    Facts,
    Paragraph,
    Report,
    Section,
    Table,
    picture,
)
from experiments.common.run_folder import RunFolder

_TIMES = "\N{MULTIPLICATION SIGN}"

_NOTES = (
    "All minimise the same objective, mean loss plus l2 / 2 times the sum of squares "
    "of all weights, on the same normalised float32 rows (value / maximum, minus the "
    "mean training row) with a constant feature 1 as the last column: the bias is "
    "penalised for all (bias trick), no peer fits an intercept. Constants are "
    "converted: C = 1 / (l2 n) for scikit-learn and LIBLINEAR (of two classes "
    "LogisticRegression's is 2 / (l2 n)); PyTorch's multi-margin "
    "loss times the number of classes. Ours reads the rows as they are stored and "
    "normalises them in its pass."
    "\n\n"
    "Whatever a solver says of itself counts for nothing: the weights of each point "
    "of a peer, and of our answer, are put into our objective in float64. (The points "
    "of ours on the way to its answer are by its own float32 objective, which the "
    "table of answers lets you check.) The best known objective is the lowest that "
    "anybody reached, in general the float64 reference of ours; the lower bound of "
    "the optimum is our highest dual value less its rounding allowance. So the "
    "certified gap of an answer, (objective - bound) / objective, holds for it "
    "whoever found it."
    "\n\n"
    "Each solver runs in a process of its own with all cores that this one may use, "
    "and nothing else at work. Imports, conversion of the rows to the library's own "
    "kind and the time to look at points are charged to nobody; ours is charged for "
    "its preparation in every fit. Seconds of ours are medians of {repeats} fits "
    "after one that compiles; a peer runs once. Compiling is reported apart, for ours "
    "as what the first fit took beyond that median, tracing included; in the ratio "
    "that includes it, both sides have what they compiled added. Peers' tolerances "
    "are too small to be met, so that they go on until {stop}, until their arithmetic "
    "makes no more progress, or until {deadline:g} s have passed; their settings are "
    "below."
    "\n\n"
    "An evaluation is a point at which value or gradient was asked for (an epoch for "
    "saga); products with a Hessian (H), each about as much work, come on top. A "
    "method that says nothing on the way is run again and again with more iterations: "
    "its seconds to a level lie between those of the last run that was not enough and "
    "those of the first that was, and its ratio is by the lower end."
)


def build(
    folder: RunFolder,
    config: Config,
    results: Mapping[str, Any],
    cells: Sequence[dict[str, Any]],
) -> Report:
    """Draws the pictures and puts the page of what has been measured together.

    Args:
      folder: of the run.
      config: of the run.
      results: content of results.json; ``compare`` still as conclusions.
      cells: the measured cells, in the order of ``results["compare"]``.
    """
    compared: list[Conclusion] = results["compare"]
    headlines = _headlines(results)
    sections = [Section("What came out", headlines)] if headlines else []
    for loss in dict.fromkeys(one.loss for one in compared):
        found = [
            (one, cell)
            for one, cell in zip(compared, cells, strict=True)
            if one.loss == loss
        ]
        sections.append(Section(loss, _loss(folder, loss, found)))
    if "gradient" in results:
        sections.append(Section("One gradient", _gradient(results["gradient"])))
    if results.get("growth"):
        sections.append(Section("Growth", _growth(folder, results["growth"])))
    if compared:
        sections.append(Section("How it was measured", _method(config, compared)))
    sections.append(Section("Data and machine", _record(folder)))
    return Report(
        f"Solvers of linear classifiers on {config.dataset}",
        "Time to the optimum, ours with proof, peers by our objective",
        sections,
        footer=f"python -m experiments.benchmark_solvers, run {folder.path.name}",
    )


def _headlines(results: Mapping[str, Any]) -> list[Block]:
    compared: list[Conclusion] = results["compare"]
    cards = []
    for loss in dict.fromkeys(one.loss for one in compared):
        known = [
            ratio
            for one in compared
            if one.loss == loss
            and (finest := conclusions.finest(one)) is not None
            and (peer := conclusions.nearest(one, finest)) is not None
            and (ratio := peer.ratios_certified[finest]) is not None
        ]
        if known:
            ends = dict.fromkeys((f"{min(known):.3g}", f"{max(known):.3g}"))
            cards.append(
                Card(
                    "–".join(ends) + f" {_TIMES}",
                    f"the speed of the nearest peer, {loss}",
                    "range over l2; ours with proof, the peer without",
                )
            )
    if "gradient" in results:
        figures = results["gradient"]
        cards.append(
            Card(
                f"{figures['times_floor'][gradient.OURS]:.2f} {_TIMES}",
                "the machine's floor, one gradient of ours",
                f"jax.grad with W stored (D, C) takes "
                f"{figures['times_ours'][gradient.PLAIN]:.1f} times ours",
            )
        )
    blocks: list[Block] = [Cards(cards)] if cards else []
    if compared:
        blocks.append(tables.overview(compared))
    return blocks


def _loss(
    folder: RunFolder, loss: str, found: list[tuple[Conclusion, dict[str, Any]]]
) -> list[Block]:
    path = folder.write_figure(f"distances-{loss}", pictures.distances(found))
    blocks: list[Block] = [
        picture(
            path,
            caption="Objective above the best known one, relative, the lowest so far, "
            "against seconds without compiling. Dashed: what ours had proven by then. "
            "Dotted with marks: methods that are run again with more iterations. "
            "Distances below 1e-6 are drawn there.",
            alt=f"Distance to the optimum over time of every solver of {loss}.",
        )
    ]
    for one, _ in found:
        blocks += [tables.times(one), tables.answers(one)]
    return blocks


def _gradient(figures: Mapping[str, Any]) -> list[Block]:
    seconds = figures["seconds"]
    table = [
        [
            name,
            f"{1e3 * seconds[name]:.4g}",
            f"{figures['times_floor'][name]:.2f}",
            f"{figures['times_ours'][name]:.2f}",
            f"{figures['differences'][name]:.0e}",
        ]
        for name in gradient.ORDER
        if name in seconds
    ]
    rates = {
        f"{name}, {what}": f"{rate:.4g} {unit}"
        for what, unit, found in (
            ("reading", "GB/s", figures["read_gb_per_s"]),
            (
                f"{figures['matrix_size']} x {figures['matrix_size']} float32 product",
                "GFLOP/s",
                figures["matrix_gflop_per_s"],
            ),
        )
        for name, rate in found.items()
    }
    return [
        Table(
            ("Gradient of one softmax model", "ms", "floors", "ours", "difference"),
            table,
            caption="Medians of rounds in which all had their turn. Ours gives the "
            "objective and its certified gap too. The last column is the relative "
            "distance of the gradient from ours.",
            chosen=(0,),
        ),
        Paragraph(f"The {gradient.lines(figures)[2]}."),
        Facts(rates),
    ]


def _growth(folder: RunFolder, measured: list[dict[str, Any]]) -> list[Block]:
    path = folder.write_figure("growth", pictures.growths(measured))
    header = ("loss", *growth.DIMENSIONS, "s", "to prepare", "first", "evaluations")
    keys = (*header[:5], "seconds", "prepare_seconds", "first_seconds", "evaluations")
    table = [
        [*(one[key] for key in keys), f"{one['relative_gap']:.1e}"] for one in measured
    ]
    missed = [one for one in measured if not one["relative_gap"] <= growth.RELATIVE_GAP]
    blocks: list[Block] = [
        picture(
            path,
            caption="Seconds of a fit to a proven gap of "
            f"{growth.RELATIVE_GAP:g}, preparation included, and of one of its "
            "evaluations (of all models at once), as one dimension of the problem "
            "grows and the others stay. Slopes are exponents of the power law that "
            "fits best.",
            alt="Four log-log panels: seconds against examples, features, classes and "
            "models.",
        )
    ]
    if missed:
        blocks.append(
            Paragraph(f"{len(missed)} of {len(measured)} fits did not prove that gap.")
        )
    return [*blocks, Details("All sizes", [Table((*header, "worst gap"), table)])]


def _method(config: Config, compared: Sequence[Conclusion]) -> list[Block]:
    stop = "their own rule ends them"
    if config.stop_at:
        stop = f"they are {config.stop_at:g} above the float64 reference"
    settings = [
        [one.loss, peer.name, peer.settings] for one in compared for peer in one.theirs
    ]
    distinct = list(dict.fromkeys(map(tuple, settings)))
    blocks: list[Block] = [
        Paragraph(
            _NOTES.format(stop=stop, deadline=config.deadline_s, repeats=config.repeats)
        )
    ]
    if distinct:
        blocks.append(
            Details(
                "Settings of the peers", [Table(("Loss", "Peer", "Settings"), distinct)]
            )
        )
    return blocks


def _record(folder: RunFolder) -> list[Block]:
    environment = folder.read_json("environment.json")
    facts = folder.read_json("data.json")
    return [
        Code(environment["command"]),
        Details("Data: counts and hashes", [Facts(text.flat(facts))]),
        Details("Versions and machine", [Facts(text.flat(environment))]),
    ]
