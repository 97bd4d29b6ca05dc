"""Runs the experiment: ``python -m experiments.cross_validation --help``."""

import dataclasses

import experiments.cross_validation as experiment
from experiments.common import cli, interrupts, run_folder, same_data, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.common.progress import progress
from experiments.common.run_folder import RunFolder
from experiments.common.timing import Clock
from experiments.cross_validation import findings, protocol, report, verdict
from experiments.cross_validation.config import (
    DIGITS,
    SMOKE,
    Config,
    check_fits,
    checked,
)
from experiments.cross_validation.ideas import Record
from experiments.cross_validation.protocol import Pool
from jaxlin import data
from jaxlin.selection.plans import Plan


def run(config: Config, options: cli.RunOptions) -> pages.Report:
    """Makes one run folder, or completes the one to be resumed; returns its page."""
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        check_fits(config, dataset)
        facts = data.summary(dataset)
        population = protocol.pool(dataset)
    plan = protocol.planned(config, population)
    # Kept, so that a run with --config takes the same steps whatever the rule is then.
    config = dataclasses.replace(
        config, slots=sum(plan.slots), block_size=plan.block_size
    )
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="cross_validation",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    same_data.check(folder, facts)
    with folder.running():
        folder.write_json("data.json", facts)
        print(
            f"{dataset.name}: {config.samples} samples of {config.examples:,} of "
            f"{len(population.labels):,} examples; of each "
            f"{protocol.models_of(config).size} fits, {plan}"
        )
        records = _sampled(config, population, plan, folder, clock)
        with clock.part("conclusions"):
            results = verdict.results(config, records)
        folder.write_csv("results.csv", verdict.rows(records))
        # The conclusions first: they must not be lost if a picture cannot be drawn.
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        page = report.build(
            report.Run(
                folder, config, records, results, facts, str(plan), clock.seconds
            )
        )
        folder.write_text("report.html", pages.render(page))
        print("\n".join(findings.lines(results)))
        spent = clock.total()
        print(f"compiled for {spent['compile']:.1f} s, ran {spent['run']:.1f} s")
    print(folder.path / "report.html")
    return page


def _sampled(
    config: Config, population: Pool, plan: Plan, folder: RunFolder, clock: Clock
) -> list[Record]:
    """The records of all samples; those of an earlier start are read."""
    done = len(_read(folder))
    with (
        interrupts.held_back() as stop_if_asked,
        progress("samples", total=config.samples, unit="samples", done=done) as advance,
    ):
        for number in range(done, config.samples):
            with clock.part("first sample" if number == done else "other samples"):
                record = protocol.measured(config, population, plan, number)
            folder.append_metrics(record)
            advance()
            stop_if_asked()
    # From the file in any case, so that a resumed run has the same numbers.
    return _read(folder)


def _read(folder: RunFolder) -> list[Record]:
    """The records of a run so far; a ValueError if one is missing."""
    records = folder.read_metrics()
    numbers = [record.get("sample") for record in records]
    if numbers != list(range(len(records))):
        raise ValueError(
            f"{folder.path / 'metrics.jsonl'} must hold samples 0, 1, ... in order, "
            f"got {numbers}; restore it or start a new run"
        )
    return records


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
