"""Plugin of pytest: puts the substitutes in place and writes each test's outcome."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import pytest

from experiments.common import sklearn_substitutes
from experiments.common.sklearn_substitutes import LinearSVC, LogisticRegression

_OUTCOMES: list[dict[str, Any]] = []
_TESTS_PER_CLEARING = 20
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
        # A process may map 65,530 regions of memory, and each program takes some.
        if len(_OUTCOMES) % _TESTS_PER_CLEARING == 0:
            jax.clear_caches()


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
