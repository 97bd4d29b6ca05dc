"""Runs the benchmark: ``python -m experiments.benchmark_solvers --help``."""

from typing import Any

import jax

import experiments.benchmark_solvers as experiment
from experiments.benchmark_solvers import (
    compare,
    conclusions,
    gradient,
    growth,
    report,
    tables,
)
from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.config import (
    DIGITS,
    SMOKE,
    Config,
    check_fits,
    checked,
)
from experiments.common import cli, run_folder
from experiments.common import report as pages
from experiments.common.config import to_dict
from experiments.common.run_folder import RunFolder
from jaxlin import data


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder, or completes the one to be resumed."""
    checked(config)
    if jax.default_backend() != "cpu":
        raise ValueError(
            "the benchmark must run on the CPU, where all peers do, got "
            f"{jax.default_backend()}; set JAX_PLATFORMS=cpu"
        )
    dataset = data.load(
        config.dataset, str(options.data_dir) if options.data_dir else None
    )
    check_fits(config, dataset)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="benchmark_solvers",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    with folder.running():
        folder.write_json("data.json", data.summary(dataset))
        _measure(folder, config, dataset)
    print(folder.path / "report.html")


def _measure(folder: RunFolder, config: Config, dataset: data.Dataset) -> None:
    """The parts in the order of their length, the page after each."""
    rows = all_rows.of(dataset)
    if "gradient" in config.what and not (folder.path / "gradient.json").exists():
        folder.write_json("gradient.json", gradient.run(config, rows))
        _conclude(folder, config)
    if "growth" in config.what:
        growth.run(folder, config, rows)
        _conclude(folder, config)
    if "compare" in config.what:
        compare.run(folder, config, rows)
    for line in tables.lines(_conclude(folder, config)["compare"]):
        print(line)


def _conclude(folder: RunFolder, config: Config) -> dict[str, Any]:
    """Writes results and page of what has been measured so far, and returns them."""
    cells = [
        compare.read(folder, loss=loss, l2=l2)
        for loss in config.losses
        for l2 in config.l2s
    ]
    found = [(conclusions.conclude(cell), cell) for cell in cells]
    results = {
        "compare": [one for one, _ in found if one is not None],
        **{
            name: folder.read_json(f"{name}.json")
            for name in ("gradient", "growth")
            if (folder.path / f"{name}.json").exists()
        },
    }
    folder.write_json("results.json", results)
    folder.write_csv("results.csv", tables.rows(results["compare"]))
    page = report.build(
        folder, config, results, [cell for one, cell in found if one is not None]
    )
    folder.write_text("report.html", pages.render(page))
    return results


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
