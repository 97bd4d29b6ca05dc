"""Runs the benchmark: ``python -m experiments.benchmark_neighbors --help``."""

import experiments.benchmark_neighbors as experiment
from experiments.benchmark_neighbors import parts, report
from experiments.benchmark_neighbors.config import SMOKE, Config, checked
from experiments.common import cli
from experiments.common import parts as in_parts

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
    in_parts.run(
        checked(config),
        options,
        experiment="benchmark_neighbors",
        parts=PARTS,
        build=report.build,
    )


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
