"""A certified run, from prepared data to the report."""

from typing import Any

import jax
import numpy as np

import jaxlin
from experiments.common import report
from experiments.common.report import Report
from experiments.svm_vs_softmax.certified import distance, fits, verdict
from experiments.svm_vs_softmax.certified import report as pages
from experiments.svm_vs_softmax.certified.verdict import Outcome, Proven
from experiments.svm_vs_softmax.start import Started


def conclude(started: Started) -> tuple[str, Report]:
    """Fits, tests, writes everything but STATUS; returns verdict in words, and page."""
    folder, clock, dataset = started.folder, started.clock, started.dataset
    outcomes = _fit(started)
    with clock.part("test"):
        proven = [
            verdict.evaluate(
                method, one.optimum, started.prepared.all_train.examples, dataset.test
            )
            for method, one in zip(started.methods, outcomes, strict=True)
        ]
        results = verdict.results(started, outcomes, proven)
    folder.write_npz(
        "per_example.npz", verdict.per_example(dataset, started.methods, proven)
    )
    folder.write_csv("results.csv", verdict.rows(started, outcomes, proven))
    _save_models(started, outcomes)
    # The conclusions first: they must not be lost if a picture cannot be drawn.
    results["timing"] = {**clock.total(), "parts": clock.seconds}
    folder.write_json("results.json", results)
    run = pages.Run(started, outcomes, proven, results)
    with clock.part("report"):
        page = pages.build(run)
        folder.write_text("report.html", report.render(page))
    results["timing"] = {**clock.total(), "parts": clock.seconds}
    folder.write_json("results.json", results)
    return _summary(results, proven), page


def _fit(started: Started) -> list[Outcome]:
    """Path, optimum and SGD's distance of each method."""
    folder, config, clock = started.folder, started.config, started.clock
    prepared = started.prepared
    search, all_train = prepared.search, prepared.all_train
    if not fits.are_finished(folder, config, started.methods):
        with clock.part("second moments"):
            jax.block_until_ready((search.prepared(), all_train.prepared()))
    one_seed = jax.tree.map(lambda leaf: leaf[:1], started.params)
    outcomes = []
    for method in started.methods:
        with clock.part(f"{method.name}: path"):
            path = fits.fit_path(folder, config, method, search, prepared.held_out)
        with clock.part(f"{method.name}: optimum"):
            l2 = path.chosen.l2
            optimum = fits.fit_chosen(folder, config, method, l2, all_train)
        with clock.part(f"{method.name}: SGD"):
            measured = distance.measure(
                folder, config, method, optimum, one_seed, prepared
            )
        outcomes.append(Outcome(path, optimum, measured))
    return outcomes


def _save_models(started: Started, outcomes: list[Outcome]) -> None:
    problem, names = started.prepared.all_train, started.dataset.class_names
    for method, one in zip(started.methods, outcomes, strict=True):
        fit = jaxlin.certify(
            problem, verdict.model(one.optimum), loss=method.loss, l2=one.optimum.l2
        )
        path = started.folder.path / f"model-{method.name}.npz"
        jaxlin.save(path, fit._replace(classes=np.array(names)))


def _summary(results: dict[str, Any], proven: list[Proven]) -> str:
    """The verdict in a few lines of plain text."""
    lines = []
    for (name, one), found in zip(results["losses"].items(), proven, strict=True):
        low, high = one["test_accuracy_interval"]
        lines.append(
            f"{name}: test accuracy {100 * one['test_accuracy']:.2f} % "
            f"[{100 * low:.2f}, {100 * high:.2f}] at l2 {one['l2']:g}; objective "
            f"{one['training_objective']:.6g}, at most {one['relative_gap']:.1e} of it "
            f"above the optimum; test accuracy of the exact optimum: {found.accuracy}"
        )
    paired = results["comparison"]
    low, high = paired["interval"]
    lines.append(
        f"softmax less SVM: {100 * paired['difference']:+.2f} points "
        f"[{100 * low:+.2f}, {100 * high:+.2f}], "
        f"McNemar p = {paired['mcnemar_p']:.2g}, "
        f"{paired['discordant']} discordant examples"
    )
    spent = results["timing"]
    lines.append(f"compiled for {spent['compile']:.1f} s, ran {spent['run']:.1f} s")
    return "\n".join(lines)
