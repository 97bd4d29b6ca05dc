"""Runs the probe: ``python -m experiments.probe --help``."""

import dataclasses
from typing import Any

import jax

import experiments.probe as experiment
import jaxlin
from experiments.common import cli, interrupts, run_folder, same_data, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.common.losses import CERTIFIED
from experiments.common.progress import progress
from experiments.probe import report, source, verdict
from experiments.probe.config import CHOICES, DEFAULT, SMOKE, Config, checked
from jaxlin import data
from jaxlin.objective import penalties
from jaxlin.selection import grids, plans
from jaxlin.selection.plans import Plan
from jaxlin.solvers.interface import Examples


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder, or completes the one to be resumed."""
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset, coverage = source.load(config, options.data_dir)
        facts = data.summary(dataset)
        source.check_parts(config, dataset)
    plan = planned(config, dataset)
    # Kept, so that a run with --config takes the same steps whatever the rule is then.
    config = dataclasses.replace(
        config, slots=sum(plan.slots), block_size=plan.block_size
    )
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="probe",
        dataset=config.features,
        out=options.out,
        resume=options.resume,
    )
    same_data.check(folder, facts)
    with folder.running():
        folder.write_json("data.json", facts)
        print(f"{dataset.name}: {len(config.cs)} values of C, {plan}")
        for name in data.absent_classes(dataset):
            print(f"note: class {name!r} has no training example")
        if coverage is not None:
            print(coverage)
        answer = fitted(config, dataset, folder, clock)
        with clock.part("test"):
            tested = verdict.test(answer, dataset)
            results = verdict.results(config, answer, tested, dataset, coverage)
        rows = verdict.rows(answer, num_examples=results["num_train"])
        folder.write_csv("results.csv", rows)
        jaxlin.save(folder.path / "model.npz", tested.model)
        folder.write_npz(
            "per_example.npz",
            {
                "label": dataset.test.labels,
                "prediction": tested.predictions,
                "probability": tested.probabilities,
            },
        )
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        page = report.Run(
            folder,
            config,
            dataset,
            coverage,
            tested,
            results,
            rows,
            str(plan),
            clock.total(),
        )
        folder.write_text("report.html", pages.render(report.build(page)))
        print(verdict.line(results))
        for note in answer.notes:
            print(f"note: {note}")
    print(folder.path / "report.html")


def planned(config: Config, dataset: data.Dataset) -> Plan:
    """How many models run at once; by shapes, before anything is computed."""
    models = grids.product(
        losses=(CERTIFIED[config.loss],),
        l2s=config.cs,
        num_weight_sets=config.folds or 1,
    )
    rows: tuple[Any, Any] = dataset.train
    return plans.plan(
        models,
        Examples(*rows),
        num_classes=dataset.num_classes,
        slots=config.slots,
        block_size=config.block_size,
    )


def fitted(
    config: Config,
    dataset: data.Dataset,
    folder: run_folder.RunFolder,
    clock: timing.Clock,
) -> jaxlin.ProbeResult:
    """The answer, from the turn on at which an earlier start was stopped."""
    num_models = len(config.cs) * (config.folds or 1)
    with (
        clock.part("probe"),
        interrupts.held_back() as stop_if_asked,
        progress("fits", total=num_models, unit="models") as advance,
    ):
        done = 0

        def callback(state):
            nonlocal done
            advance(len(state.finished) - done)
            done = len(state.finished)
            stop_if_asked()

        return jaxlin.probe(
            jax.random.key(config.seed),
            *dataset.train,
            *dataset.test,
            loss=CERTIFIED[config.loss],
            l2s=penalties.l2_of_c(
                config.cs,
                total_weight=len(dataset.train.labels),
                num_classes=dataset.num_classes,
            ),
            classes=range(dataset.num_classes),
            normalization=source.normalized(dataset, config),
            validation_fraction=config.validation_fraction,
            num_folds=config.folds,
            choose=CHOICES[config.choose],
            stop=jaxlin.Stop(config.relative_gap, config.max_evaluations),
            slots=config.slots,
            block_size=config.block_size,
            checkpoint=folder.path / "sweep.npz",
            callback=callback,
        )


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(DEFAULT, smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
