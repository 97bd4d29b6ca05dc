"""Runs the comparison: ``python -m experiments.svm_vs_softmax --help``."""

import jax
import numpy as np

import experiments.svm_vs_softmax as experiment
import jaxlin
from experiments.common import cli, report, run_folder, same_data, timing
from experiments.common.config import to_dict
from experiments.svm_vs_softmax import protocol, training, verdict
from experiments.svm_vs_softmax import report as pages
from experiments.svm_vs_softmax.certified import run as certified
from experiments.svm_vs_softmax.certified import saved as saved_fits
from experiments.svm_vs_softmax.config import (
    DIGITS,
    SMOKE,
    Config,
    check_fits,
    checked,
    ignored,
)
from experiments.svm_vs_softmax.start import Started, start
from jaxlin import data


def run(config: Config, options: cli.RunOptions) -> report.Report:
    """Makes one run folder, or completes the one to be resumed; returns its page."""
    checked(config)
    for name in ignored(config):
        print(
            f"note: {name} changes nothing, because solver is {config.solver}; see "
            "--help"
        )
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        facts = data.summary(dataset)
    check_fits(dataset.train.labels, config)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="svm_vs_softmax",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    same_data.check(folder, facts)
    training.check_checkpoints(folder)
    saved_fits.check(folder)
    with folder.running():
        started = start(folder, config, dataset, facts, clock)
        conclude = certified.conclude if config.solver == "certified" else _conclude
        summary, page = conclude(started)
        print(summary)
    print(folder.path / "report.html")
    return page


def _conclude(started: Started) -> tuple[str, report.Report]:
    """Trains by SGD, tests and writes everything but STATUS."""
    folder, config, dataset, facts, clock, prepared, methods, params, first = started
    chosen = []
    for method in methods:
        with clock.part(method.name):
            chosen.append(
                protocol.tune_and_refit(folder, config, method, params, prepared)
            )
    with clock.part("test"):
        tested = [
            verdict.evaluate(method, one, prepared, dataset.test)
            for method, one in zip(methods, chosen, strict=True)
        ]
        unit = prepared.learning_rate_unit
        results = verdict.results(config, dataset, methods, chosen, tested, first, unit)
    folder.write_npz("per_example.npz", verdict.per_example(dataset, methods, tested))
    folder.write_csv("results.csv", verdict.rows(config, methods, chosen, tested))
    _save_models(folder, config, dataset, methods, chosen, prepared)
    # The conclusions first: they must not be lost if a picture cannot be drawn.
    results["timing"] = {**clock.total(), "parts": clock.seconds}
    folder.write_json("results.json", results)
    made = pages.Run(
        folder, config, dataset, methods, chosen, tested, results, facts, clock
    )
    with clock.part("report"):
        page = pages.build(made)
        folder.write_text("report.html", report.render(page))
    results["timing"] = {**clock.total(), "parts": clock.seconds}
    folder.write_json("results.json", results)
    return _summary(results), page


def _save_models(folder, config, dataset, methods, chosen, prepared):
    for method, one in zip(methods, chosen, strict=True):
        for seed in range(config.seeds):
            params = jax.tree.map(lambda leaf, seed=seed: leaf[seed], one.refit.params)
            l2 = method.settings[one.choice][0]
            fit = verdict.model(method, params, l2, prepared.all_train)
            path = folder.path / f"model-{method.name}-{seed}.npz"
            jaxlin.save(path, fit._replace(classes=np.array(dataset.class_names)))


def _summary(results):
    """The verdict in a few lines of plain text."""
    lines = []
    for name, one in results["losses"].items():
        low, high = one["test_accuracy_interval"]
        lines.append(
            f"{name}: test accuracy {100 * one['test_accuracy']:.2f} % "
            f"[{100 * low:.2f}, {100 * high:.2f}], mean of {one['seeds']} seeds "
            f"(l2 {one['l2']:g}, learning rate {one['learning_rate']:.3g})"
        )
    paired = results["comparison"]
    low, high = paired["interval"]
    lines.append(
        f"softmax less SVM, first seed: {100 * paired['difference']:+.2f} points "
        f"[{100 * low:+.2f}, {100 * high:+.2f}], "
        f"McNemar p = {paired['mcnemar_p']:.2g}, "
        f"{paired['discordant']} discordant examples"
    )
    spent = results["timing"]
    lines.append(f"compiled for {spent['compile']:.1f} s, ran {spent['run']:.1f} s")
    return "\n".join(lines)


def main() -> None:
    """Parses the command line and runs."""
    config, options = cli.parse(
        Config(),
        smoke=SMOKE,
        of_dataset={DIGITS.dataset: DIGITS},
        description=experiment.__doc__,
    )
    run(config, options)


if __name__ == "__main__":
    cli.main(main)
