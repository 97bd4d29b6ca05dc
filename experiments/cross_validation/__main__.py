"""Runs the experiment: ``python -m experiments.cross_validation --help``."""

import dataclasses

import experiments.cross_validation as experiment
from experiments.common import cli, interrupts, run_folder, same_data, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.common.progress import progress
from experiments.cross_validation import protocol, report, verdict
from experiments.cross_validation.config import (
    DIGITS,
    SMOKE,
    Config,
    check_fits,
    checked,
)
from jaxlin import data


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder, or completes the one to be resumed."""
    checked(config)
    clock = timing.Clock()
    with clock.part("data"):
        dataset = data.load(
            config.dataset, str(options.data_dir) if options.data_dir else None
        )
        facts = data.summary(dataset)
        check_fits(config, dataset)
        population = protocol.pool(dataset)
    plan = protocol.planned(config, population)
    # Kept, so that a run with --config has the same slots whatever the rule is then.
    config = dataclasses.replace(config, slots=sum(plan.slots))
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
        print(f"{config.samples} samples of {config.examples} examples; {plan}")
        with clock.part("samples"):
            records = _sampled(config, population, plan, folder)
        results = verdict.results(records)
        folder.write_csv("results.csv", verdict.rows(records))
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        page = report.build(folder, config, records, results, str(plan))
        folder.write_text("report.html", pages.render(page))
        for name, one in results["estimates"].items():
            low, high = (100 * end for end in one["bias_interval"])
            print(
                f"{name}: bias {100 * one['bias']:+.2f} [{low:+.2f}, {high:+.2f}], "
                f"spread {100 * one['spread']:.2f} points"
            )
    print(folder.path / "report.html")


def _sampled(config, population, plan, folder):
    """A record a sample; those of an earlier start are read."""
    done = len(folder.read_metrics())
    with (
        interrupts.held_back() as stop_if_asked,
        progress("samples", total=config.samples, unit="samples", done=done) as advance,
    ):
        for number in range(done, config.samples):
            record = protocol.run(config, population, plan, number)
            folder.append_metrics(record)
            advance()
            stop_if_asked()
    # From the file in any case, so that a resumed run has the same numbers.
    return folder.read_metrics()


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
