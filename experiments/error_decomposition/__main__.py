"""Runs the experiment: ``python -m experiments.error_decomposition --help``."""

import experiments.error_decomposition as experiment
from experiments.common import cli, run_folder, same_data, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.error_decomposition import (
    classes,
    findings,
    report,
    sample,
    saved,
    sections,
    verdict,
)
from experiments.error_decomposition.config import (
    DIGITS,
    SMOKE,
    Config,
    check_fits,
    checked,
    num_networks,
)
from jaxlin import data


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
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="error_decomposition",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    same_data.check(folder, facts)
    with folder.running():
        folder.write_json("data.json", facts)
        drawn = sample.drawn(config, dataset)
        examples = len(drawn.train_labels)
        print(
            f"{dataset.name}: {examples:,} training and {len(drawn.test_labels):,} "
            f"test examples, {num_networks(config)} networks"
        )
        found: dict[str, saved.Found] = {}
        for name in config.classes:
            with clock.part(name):
                found[name] = classes.measured(folder, config, drawn, name)
        with clock.part("conclusions"):
            results = verdict.results(config, found, num_classes=drawn.num_classes)
        folder.write_csv("results.csv", verdict.rows(results))
        # The conclusions first: they must not be lost if a picture cannot be drawn.
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        page = report.build(
            sections.Run(folder, config, results, found, facts, examples, clock.seconds)
        )
        folder.write_text("report.html", pages.render(page))
        print("\n".join(findings.lines(results)))
        spent = clock.total()
        print(f"compiled for {spent['compile']:.1f} s, ran {spent['run']:.1f} s")
    print(folder.path / "report.html")
    return page


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
