"""Which of scikit-learn's own tests do jaxlin's estimators pass?

Question. scikit-learn has tests of `LogisticRegression` and `LinearSVC`, and
`check_estimator` for any estimator. Which of the tests does
`jaxlin.sklearn.LinearClassifier` pass in place of these classes, and which cannot apply
to it? Do both of jaxlin's estimators pass all checks?

Method. pytest runs the test files of the installed scikit-learn with the two classes
replaced by `LinearClassifier` under their signatures
(`experiments.common.sklearn_substitutes`). Tests that fit neither class are left out. A
case of a test that fails does not apply if `experiments.common.sklearn_reasons` has a
reason for this case and this exception; all others have to pass. scikit-learn's checks
run on its own two classes, too. Arrays of other libraries are tested only where
scikit-learn finds these libraries.

Command. ``python -m experiments.sklearn_tests``; it prints the tables of the guide.
"""

import collections
import dataclasses
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.common import sklearn_reasons
from experiments.common.measurements import Measurements, main
from experiments.common.sklearn_reasons import Expected

Suite = Literal["logistic_regression", "linear_svc", "checks"]
_MODULES: dict[str, str] = {
    "logistic_regression": "sklearn.linear_model.tests.test_logistic",
    "linear_svc": "sklearn.svm.tests.test_svm",
    "checks": "experiments.common.sklearn_checks",
}
_NAMES = {
    "logistic_regression": "`LogisticRegression`",
    "linear_svc": "`LinearSVC`",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the tables.

    Attributes:
      suites: tests of `LogisticRegression`, of `LinearSVC`, and checks of estimators.
      only: expression that selects tests, as ``-k`` of pytest; empty takes all.
    """

    suites: tuple[Suite, ...] = get_args(Suite)
    only: str = ""


SMOKE = Config(suites=("linear_svc",), only="lsvc_intercept_scaling_zero")


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError without scikit-learn or pytest."""
    for module, package in {"sklearn": "scikit-learn", "pytest": "pytest"}.items():
        if importlib.util.find_spec(module) is None:
            raise ValueError(f"{package} must be installed; run pip install {package}")
    return config


def items(config: Config) -> list[Suite]:
    """The suites."""
    return [*config.suites]


def measured(config: Config, _: None, suite: Suite) -> dict[str, Any]:
    """Outcomes of the tests of a suite.

    Raises:
      RuntimeError: if pytest does not run them.
    """
    is_checks = suite == "checks"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "outcomes.json"
        command = [sys.executable, "-m", "pytest", "--quiet", "-c", os.devnull]
        command += ["--rootdir", folder, "-p", "no:cacheprovider", "-p", "no:xdist"]
        command += ["-p", "experiments.common.sklearn_plugin", "-W", "ignore"]
        command += ["--outcomes", str(path), "--pyargs", _MODULES[suite]]
        command += [] if is_checks else ["--substitute"]
        command += ["-k", config.only] if config.only else []
        # scikit-learn asks for the variable where it tests arrays of other libraries.
        environment = {**os.environ, "SCIPY_ARRAY_API": "1"}
        root = str(Path(__file__).parents[1])
        environment["PYTHONPATH"] = os.pathsep.join(
            [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        )
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False
        )
        if not path.exists():
            raise RuntimeError(f"pytest must run {_MODULES[suite]}: {done.stdout}")
        tests = json.loads(path.read_text())
    return {
        "suite": suite,
        "tests": [one for one in tests if is_checks or _is_of_the_class(one)],
    }


def _is_of_the_class(test: Mapping[str, Any]) -> bool:
    """Returns whether a test fitted a substitute, or failed before it could."""
    return bool(test["fits"]) or _has_failed(test)


def result(test: Mapping[str, Any]) -> str:
    """Outcome of a test: passed, skipped, does not apply, or failed."""
    if _has_failed(test) and _expected(test):
        return "does not apply"
    return test["outcome"]


def _expected(test: Mapping[str, Any]) -> Expected | None:
    return sklearn_reasons.expected(test["test"], test["message"])


def report(config: Config, rows: Sequence[Mapping[str, Any]]) -> str:
    """Tables in Markdown: counts and reasons; tests that fail without one or skip."""
    found = {row["suite"]: row["tests"] for row in rows}
    checks = found.pop("checks", None)
    parts = []
    if found:
        parts += [_counts(found), _reasons(found)]
    if checks is not None:
        parts.append(_of_estimators(checks))
    parts += [
        f"skipped after a fit, in no column: {test['test']}: {test['message'][:200]}"
        for tests in found.values()
        for test in tests
        if result(test) not in ("passed", "does not apply", "failed")
    ]
    every = [test for tests in [*found.values(), checks or []] for test in tests]
    parts += [
        f"failed without a reason: {test['test']}: {test['message'][:200]}"
        for test in every
        if result(test) == "failed"
    ]
    if len(found) == len(_NAMES) and not config.only:
        found_ones = {_expected(test) for test in every if _has_failed(test)}
        parts += [
            f"no test fails as expected: {entry.test}: {entry.message}"
            for entry in sklearn_reasons.EXPECTED
            if entry not in found_ones
        ]
    return "\n\n".join(parts)


def _has_failed(test: Mapping[str, Any]) -> bool:
    return test["outcome"] == "failed"


def _counts(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    lines = ["| tests of | passed | do not apply | failed |", "|---|---|---|---|"]
    for suite, tests in found.items():
        counts = collections.Counter(map(result, tests))
        numbers = (counts[name] for name in ("passed", "does not apply", "failed"))
        lines.append(f"| {_NAMES[suite]} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def _reasons(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Tests that do not apply, by reason; a test with several cases counts each."""
    groups: dict[str, collections.Counter[str]] = {}
    for tests in found.values():
        for test in tests:
            entry = _expected(test) if _has_failed(test) else None
            if entry is not None:
                counts = groups.setdefault(entry.reason, collections.Counter())
                counts[test["test"].partition("[")[0]] += 1
    lines = ["| the test needs | cases | tests |", "|---|---|---|"]
    for reason, counts in groups.items():
        names = ", ".join(f"`{name}`" for name in sorted(counts))
        lines.append(f"| {reason} | {counts.total()} | {names} |")
    return "\n".join(lines)


def _of_estimators(checks: Sequence[Mapping[str, Any]]) -> str:
    """Counts of passed, skipped and failed checks of each estimator."""
    groups: dict[str, collections.Counter[str]] = {}
    for test in checks:
        name = test["test"].partition("[")[2].partition("(")[0]
        groups.setdefault(name, collections.Counter())[test["outcome"]] += 1
    lines = ["| checks of | passed | skipped | failed |", "|---|---|---|---|"]
    for name, counts in groups.items():
        numbers = (counts[outcome] for outcome in ("passed", "skipped", "failed"))
        lines.append(f"| `{name}` | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


MEASUREMENTS = Measurements(
    name="sklearn_tests",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
    settle=settle,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
