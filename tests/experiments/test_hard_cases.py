"""The hard cases: the numbers of a run, by hand."""

import dataclasses
from fractions import Fraction

import numpy as np
import pytest
from run_helpers import nothing_compiled

from experiments.common import files
from experiments.hard_cases import measure
from experiments.hard_cases.cases import CASES
from experiments.hard_cases.config import SMOKE, Config


@pytest.fixture(scope="module")
def smoke(finished_study):
    """A run and the numbers of its cases."""
    run = finished_study("hard_cases").run
    return run, {name: run.numbers(name) for name in SMOKE.cases}


def measured(config):
    """The numbers and the arrays of every case, as files hold them."""
    found = {
        name: part(config, None, None) for name, part in measure.parts(config).items()
    }
    numbers = {name: files.json_ready(one.numbers) for name, one in found.items()}
    return numbers, {name: one.arrays for name, one in found.items()}


def test_the_proof_of_a_run_by_hand(smoke):
    """From the files alone: the same point of either class, in fractions."""
    run, cases = smoke
    arrays = run.arrays("quadrants")
    rows, labels = arrays["features"], arrays["labels"]
    proof = cases["quadrants"]["proof"]
    assert not proof["separable"]
    for label in (0, 1):
        point, total = [Fraction(0), Fraction(0)], Fraction(0)
        for one in proof["points"]:
            row, weight = one["row"], Fraction(one["weight"])
            assert weight > 0
            assert one["weight_rounded"] == float(weight)
            assert one["features"] == rows[row].tolist()
            assert one["class"] == CASES["quadrants"].class_names[labels[row]]
            if labels[row] == label:
                total += weight
                for k in range(2):
                    point[k] += weight * Fraction(float(rows[row, k]))
        assert total == 1
        assert [str(part) for part in point] == proof["point"]


def test_certificates_and_accuracies(smoke):
    _, cases = smoke
    hard, easy = cases["quadrants"], cases["half_planes"]
    for fit in [*hard["fits"].values(), *hard["lifted_fits"].values()]:
        assert fit["converged"]
        assert fit["dual"] <= fit["primal"]
        assert fit["primal"] - fit["dual"] < 1e-2 * fit["primal"]
    # Weights of zero are no worse than 1 and log 2, so that the optimum is not either.
    assert hard["fits"]["SVM"]["dual"] < 1
    assert hard["fits"]["softmax"]["dual"] < np.log(2)
    best = hard["best_line"]
    assert all(fit["accuracy"] <= best["accuracy"] for fit in hard["fits"].values())
    assert best["correct"] == round(best["accuracy"] * SMOKE.examples)
    assert hard["lifted_proof"]["separable"]
    assert [fit["accuracy"] for fit in hard["lifted_fits"].values()] == [1.0, 1.0]
    assert easy["proof"]["separable"]
    assert easy["best_line"]["correct"] == SMOKE.examples
    assert easy["lifted_fits"] == {}
    assert hard["one_label"] == easy["one_label"] == 0.5
    for fits in (hard["fits"], hard["lifted_fits"], easy["fits"]):
        at_zero = {loss: fit["at_zero"] for loss, fit in fits.items()}
        assert at_zero == {"SVM": 1, "softmax": pytest.approx(np.log(2))}
    norms = {loss: fit["weights_norm"] for loss, fit in easy["fits"].items()}
    assert min(norms.values()) > 1


@pytest.mark.full
def test_the_gap_of_a_page_proves_nearly_all_labels():
    numbers, _ = measured(Config(cases=("ring", "three_modes")))
    for one in numbers.values():
        for fit in [*one["fits"].values(), *one["lifted_fits"].values()]:
            assert fit["converged"]
            assert fit["optimum"]["certified"] >= 0.99
            assert fit["optimum"]["low"] <= fit["accuracy"] <= fit["optimum"]["high"]


@pytest.mark.full
def test_all_cases_where_classes_do_and_do_not_touch():
    config = dataclasses.replace(SMOKE, cases=tuple(CASES), examples=100)
    apart, _ = measured(config)
    for name, case in CASES.items():
        fits = apart[name]["lifted_fits"] if case.lift else apart[name]["fits"]
        assert [fit["accuracy"] for fit in fits.values()] == [1.0, 1.0], name
    noisy, _ = measured(dataclasses.replace(config, noise=0.5))
    for name in ("quadrants", "ring", "three_modes"):
        assert not noisy[name]["proof"]["separable"]
        assert max(f["accuracy"] for f in noisy[name]["lifted_fits"].values()) < 1


def test_a_case_has_the_same_points_in_every_run(smoke):
    measured(SMOKE)
    # All cases of two classes are fitted by the same programs.
    with nothing_compiled():
        _, arrays = measured(dataclasses.replace(SMOKE, cases=("half_planes",)))
    np.testing.assert_array_equal(
        smoke[0].arrays("half_planes")["features"], arrays["half_planes"]["features"]
    )
