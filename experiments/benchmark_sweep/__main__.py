"""Runs the benchmark: ``python -m experiments.benchmark_sweep --help``."""

import experiments.benchmark_sweep as experiment
from experiments.benchmark_sweep import parts, report
from experiments.benchmark_sweep.config import SMOKE, Config, checked
from experiments.common import cli
from experiments.common import parts as in_parts

# Values of C first: its first run is that of a new process, which compiles.
PARTS = {
    "cs": parts.values_of_c,
    "folds": parts.cross_validation,
    "rate": parts.rate,
}


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder, or completes the one to be resumed."""
    in_parts.run(
        checked(config),
        options,
        experiment="benchmark_sweep",
        parts=PARTS,
        build=report.build,
    )


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=experiment.__doc__))


if __name__ == "__main__":
    cli.main(main)
