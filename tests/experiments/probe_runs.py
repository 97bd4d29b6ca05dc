"""Runs of the probe in this process."""

import contextlib
import io

from run_helpers import quick_pictures, results

from experiments.common import cli, study
from experiments.probe.config import DEFAULT, SMOKE
from experiments.studies import STUDIES


def run(*flags):
    """Runs the command line in this process and returns what it printed."""
    with quick_pictures(), contextlib.redirect_stdout(io.StringIO()) as printed:
        arguments = [str(flag) for flag in flags]
        study.run(
            STUDIES["probe"], *cli.parse(DEFAULT, smoke=SMOKE, arguments=arguments)
        )
    return printed.getvalue()


def numbers(out):
    """The numbers of a run."""
    return results(out)["parts"]["probe"]
