"""Runs the comparison: ``python -m experiments.svm_vs_softmax --help``."""

import jax
import numpy as np

import experiments.svm_vs_softmax as experiment
from experiments.common import cli, report, run_folder, timing
from experiments.common.config import to_dict
from experiments.svm_vs_softmax import protocol, training, verdict
from experiments.svm_vs_softmax import report as pages
from experiments.svm_vs_softmax.config import DIGITS, SMOKE, Config, checked
from jaxlin import classifier, data


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder, or completes the one to be resumed."""
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        facts = data.summary(dataset)
    protocol.check_fits(dataset.train.labels, config)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="svm_vs_softmax",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    _check_resumable(folder, facts)
    with folder.running():
        conclusions = _conclude(folder, config, dataset, facts, clock)
        page = folder.path / "report.html"
        print(_summary(conclusions))
    print(page)


def _check_resumable(folder, facts):
    """Refuses what an earlier start left if it was of other data or is damaged."""
    if (folder.path / "data.json").exists():
        saved = folder.read_json("data.json")
        for split in ("train", "test"):
            if saved.get(split) != facts[split]:
                raise ValueError(
                    f"--resume must keep the data of {folder.path}, but the {split} "
                    f"split of {facts['name']} is not the one that its data.json "
                    "describes; start a new run"
                )
    training.check_checkpoints(folder)


def _conclude(folder, config, dataset, facts, clock):
    """Trains, tests and writes everything but STATUS."""
    folder.write_json("data.json", facts)
    with clock.part("preparation"):
        prepared = protocol.prepare(dataset, config)
    print(
        f"{dataset.name}: {len(dataset.train.labels):,} training and "
        f"{len(dataset.test.labels):,} test examples, {dataset.num_features:,} "
        f"features, {dataset.num_classes} classes; held out for choices: "
        f"{len(prepared.held_out.targets):,}"
    )
    absent = np.flatnonzero(
        np.bincount(dataset.train.labels, minlength=dataset.num_classes) == 0
    )
    for label in absent:
        print(f"note: class {dataset.class_names[label]!r} has no training example")
    methods = protocol.methods(config, prepared, num_classes=dataset.num_classes)
    params = protocol.first_params(config, prepared, num_classes=dataset.num_classes)
    first = protocol.first_losses(methods, params, prepared)
    for method in methods:
        print(
            f"step 0: {method.name} {first[method.name]:.4f}, expected "
            f"{method.first_loss_formula} = {method.first_loss:.4f}"
        )
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
    page = pages.Run(
        folder, config, dataset, methods, chosen, tested, results, facts, clock
    )
    with clock.part("report"):
        folder.write_text("report.html", report.render(pages.build(page)))
    results["timing"] = {**clock.total(), "parts": clock.seconds}
    folder.write_json("results.json", results)
    return results


def _save_models(folder, config, dataset, methods, chosen, prepared):
    for method, one in zip(methods, chosen, strict=True):
        for seed in range(config.seeds):
            classifier.save(
                folder.path / f"model-{method.name}-{seed}.npz",
                classifier.Classifier(
                    jax.tree.map(lambda leaf, seed=seed: leaf[seed], one.refit.params),
                    prepared.all_train.normalization,
                    dataset.class_names,
                    method.name,
                    method.settings[one.choice][0],
                ),
            )


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

    def parse(default: Config) -> tuple[Config, cli.RunOptions]:
        return cli.parse(default, smoke=SMOKE, description=experiment.__doc__)

    config, options = parse(Config())
    start_is_given = options.smoke or options.config or options.resume
    if config.dataset == DIGITS.dataset and not start_is_given:
        config, options = parse(DIGITS)
    run(config, options)


if __name__ == "__main__":
    cli.main(main)
