"""Programs in processes of their own, waited for by what they do, not by the clock."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Ends a hang and decides nothing else: many times what the slowest program takes on a
# machine that does other work.
HANGS_AFTER_S = 1800.0


def start(*arguments, **options):
    """Starts a Python that finds this checkout; its output is read by `finish`."""
    return start_program(sys.executable, *arguments, **options)


def start_program(*command, **options):
    """Starts a program whose Python finds this checkout."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    environment = options.pop("env", os.environ)
    return subprocess.Popen(
        list(map(str, command)),
        env={**environment, "PYTHONPATH": str(ROOT)},
        text=True,
        **options,
    )


def finish(process):
    """Returns the exit code of a process, and what it printed and complained of."""
    output, errors = process.communicate(timeout=HANGS_AFTER_S)
    return process.returncode, output, errors


def wait_until(happened, *, process=None):
    """Returns once something has happened; fails if the process ends before."""
    since = time.monotonic()
    while not happened():
        if process is not None and process.poll() is not None and not happened():
            raise AssertionError(f"ended before it happened: {finish(process)}")
        assert time.monotonic() - since < HANGS_AFTER_S, "a hang"
        time.sleep(0.01)
