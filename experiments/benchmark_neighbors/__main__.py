"""Runs the benchmark: ``python -m experiments.benchmark_neighbors --help``."""

from typing import Any

import experiments.benchmark_neighbors as experiment
from experiments.benchmark_neighbors import parts, report
from experiments.benchmark_neighbors.config import SMOKE, Config, checked
from experiments.common import cli, run_folder
from experiments.common import report as pages
from experiments.common.config import to_dict
from jaxlin import data

# Memory first: what ran before would leave its own behind.
PARTS = {
    "memory": parts.memory,
    "l2": parts.against_peers("l2"),
    "l1": parts.against_peers("l1"),
    "recall": parts.recall,
    "accuracy": parts.accuracy,
}


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder, or completes the one to be resumed."""
    checked(config)
    dataset = data.load(
        config.dataset, str(options.data_dir) if options.data_dir else None
    )
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="benchmark_neighbors",
        dataset=config.dataset,
        out=options.out,
        resume=options.resume,
    )
    with folder.running():
        folder.write_json("data.json", data.summary(dataset))
        results: dict[str, Any] = {}
        for name, part in PARTS.items():
            if name not in config.what:
                continue
            file = f"{name}.json"
            if not (folder.path / file).exists():
                folder.write_json(file, part(config, dataset))
            results[name] = folder.read_json(file)
            folder.write_json("results.json", results)
            page = report.build(config, results)
            folder.write_text("report.html", pages.render(page))
        print(folder.path / "report.html")


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
