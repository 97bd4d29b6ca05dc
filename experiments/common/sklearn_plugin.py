"""Plugin of pytest: puts the substitutes in place and writes each test's outcome."""

import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from experiments.common import sklearn_substitutes
from experiments.common.sklearn_substitutes import LinearSVC, LogisticRegression

_OUTCOMES: list[dict[str, Any]] = []
# Regions of memory that the process may map between two tests. Linux allows 65,530,
# beyond which XLA ends the process; each program takes some, and a check of a probe up
# to ten thousand.
_MOST_REGIONS = 20_000
_REGIONS = Path("/proc/self/maps")
_MESSAGE_LENGTH = 1000


def pytest_addoption(parser: Any) -> None:
    """Adds the options of the plugin."""
    parser.addoption("--outcomes", help="file to which outcomes are written")
    parser.addoption("--substitute", action="store_true", help="replace the classes")


def pytest_configure(config: Any) -> None:
    """Puts the substitutes in place, before a test file imports the classes."""
    if config.getoption("--substitute"):
        import sklearn.linear_model
        import sklearn.svm

        sklearn.linear_model.LogisticRegression = LogisticRegression
        sklearn.svm.LinearSVC = LinearSVC


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Iterator[None]:
    """Notes whether the test fitted a substitute."""
    before = sklearn_substitutes._Substitute.num_fits
    try:
        return (yield)
    finally:
        fits = sklearn_substitutes._Substitute.num_fits - before
        item.user_properties.append(("fits", fits))
        if _REGIONS.exists() and _REGIONS.read_bytes().count(b"\n") > _MOST_REGIONS:
            jax.clear_caches()
            gc.collect()


def pytest_runtest_logreport(report: Any) -> None:
    """Keeps the outcome of a test."""
    if report.when != "call" and report.passed:
        return
    crash = getattr(report.longrepr, "reprcrash", None)
    message = crash.message if crash else str(report.longrepr or "")
    _OUTCOMES.append(
        {
            "test": report.nodeid.partition("::")[2],
            "outcome": report.outcome,
            "fits": dict(report.user_properties).get("fits", 0),
            "message": " ".join(message.split())[:_MESSAGE_LENGTH],
        }
    )


def pytest_sessionfinish(session: Any) -> None:
    """Writes the outcomes."""
    path = session.config.getoption("--outcomes")
    if path:
        Path(path).write_text(json.dumps(_OUTCOMES, indent=1))
