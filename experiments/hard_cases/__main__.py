"""Runs the experiment: ``python -m experiments.hard_cases --help``."""

import experiments.hard_cases as experiment
from experiments.common import cli, run_folder, timing
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.common.progress import progress
from experiments.hard_cases import findings, measure, report
from experiments.hard_cases.config import SMOKE, Config, checked


def run(config: Config, options: cli.RunOptions) -> pages.Report:
    """Makes one run folder, or does the one to be resumed again; returns its page."""
    checked(config)
    clock = timing.Clock()
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="hard_cases",
        dataset="toy",
        out=options.out,
        resume=options.resume,
    )
    with folder.running():
        found = []
        with progress("cases", total=len(config.cases), unit="cases") as advance:
            for name in config.cases:
                with clock.part(name):
                    found.append(measure.measured(config, name))
                advance(note=name)
        cases = {one.name: measure.results(one) for one in found}
        results = {"cases": cases}
        timings = {**clock.total(), "parts": clock.seconds}
        folder.write_json("results.json", {**results, "timing": timings})
        folder.write_npz(
            "points.npz",
            {
                f"{one.name}_{field}": values
                for one in found
                for field, values in one.points._asdict().items()
            },
        )
        page = report.build(report.Run(folder, config, found, results))
        folder.write_text("report.html", pages.render(page))
        print("\n".join(findings.lines(cases)))
    print(folder.path / "report.html")
    return page


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
