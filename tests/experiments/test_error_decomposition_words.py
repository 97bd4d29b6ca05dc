"""What a page says of losses drawn at random, and what is known of CIFAR-10."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.common import cli, run_folder
from experiments.common.config import to_dict
from experiments.error_decomposition import config as settings
from experiments.error_decomposition import findings, report, verdict
from experiments.error_decomposition.config import DIGITS, SMOKE, Config, checked
from experiments.error_decomposition.saved import Found
from experiments.error_decomposition.sections import Run


def run_of(config, found):
    """What the words of a page need."""
    return Run(None, config, found, None, {}, 1000, {})


def of_random(config=DIGITS, *, halves=0.3, seeds=3):
    """Results of two classes, of losses drawn at random."""
    random = np.random.default_rng(0)

    def losses(*shape, level):
        drawn = random.exponential(size=(*shape, 400)) * level
        return {"surrogate": drawn, "zero_one": drawn > 0.7}

    found = {}
    for name, runs in (("patches", 1), ("network", seeds)):
        parts = {
            "trained": losses(runs, level=0.28),
            "optimum": losses(runs, level=0.25),
            "halves": losses(runs if runs > 1 else 3, 2, level=halves),
            "quarters": losses(4, level=0.4),
        }
        arrays = {
            f"{part}-{kind}": both[kind]
            for part, both in parts.items()
            for kind in both
        }
        numbers = {
            "train_zero_one": 0.0,
            "train_surrogate": 0.0,
            "features": 8,
            "optimisation_on_objective": [0.0185501, 0.0185673],
        }
        found[name] = Found(arrays, numbers)
    return verdict.results(config, found, num_classes=10)


def test_what_is_known_of_cifar10_is_said_of_it_alone():
    assert settings.published_error(Config()) == 0.005
    assert settings.human_error(Config()) == 0.06
    other = Config(dataset="noise.npz")
    assert verdict.references(other, 10) == {
        "surrogate": (0.0, 0.0),
        "zero_one": (0.0, 0.0),
    }
    assert settings.human_error(other) is None
    given = dataclasses.replace(other, published_error=0.02, human_error=0.1)
    assert verdict.references(given, 10)["zero_one"] == (0.0, 0.02)
    for config, words, missing in (
        (Config(), "0.50 %, the least that has been published (ViT-H/14", "given"),
        (Config(), "a human (A. Karpathy", "given"),
        (Config(human_error=0), "published (ViT", "human"),
        (other, "no better bound of the Bayes error was given (`--publ", "human"),
        (
            given,
            "2.00 %, the bound given. Dashed: the error of a human (as g",
            "publish",
        ),
    ):
        text = report._reference(run_of(config, of_random(config)))
        assert words in text
        assert missing not in text


def test_a_run_that_names_the_numbers_of_cifar10_can_be_resumed(tmp_path):
    # As config.json of a default run had it while they were the defaults.
    old = {**to_dict(Config()), "published_error": 0.005, "human_error": 0.06}
    folder = run_folder.create(tmp_path / "run", config=old)
    config, options = cli.parse(
        Config(),
        smoke=SMOKE,
        of_dataset={DIGITS.dataset: DIGITS},
        arguments=["--resume", str(folder.path)],
    )
    assert to_dict(checked(config)) == old
    run_folder.resume_run(options.resume, config=to_dict(config))
    assert verdict.references(config, 10) == verdict.references(Config(), 10)
    for number in ("published_error", "human_error"):
        assert settings.source(config, number) == settings.source(Config(), number)


def test_a_network_is_told_by_the_sum_that_is_measured():
    found = of_random()
    terms = found["classes"]["network"]["zero_one"]
    assert terms["split"] == "between bounds"
    together = f"{100 * sum(terms[t]['value'] for t in verdict.TERMS[:2]):.2f}"
    low, high = (f"{100 * end:.2f}" for end in terms["estimation"]["interval"])
    linear, line = findings.lines(found)
    assert linear.endswith("+ reference 0.00")
    assert f"= (modelling + estimation) {together} + optimisation" in line
    assert f"reference 0.00; only their sum is measured, estimation is {low} to" in line
    text = findings.of_classes(found)[1]
    assert f"modelling and estimation together {together}, optimisation" in text
    assert f"estimation is {low} to {high} and modelling" in text


def test_a_network_whose_error_does_not_fall_has_no_split():
    found = of_random(halves=0.25, seeds=2)
    terms = found["classes"]["network"]["zero_one"]
    assert terms["split"] == "not measurable"
    assert "how the first splits is not measurable" in findings.lines(found)[1]
    text = findings.of_classes(found)[1]
    assert "so the split is not measurable here" in text
    assert "estimation is" not in text
    assert findings.term(terms, "modelling", "zero_one") == "not measurable"
    assert "[" in findings.term(terms, "optimisation", "zero_one")


def test_numbers_have_the_digits_that_mean_something():
    assert findings.apart(0.0185501, 0.0185673) == "0.01855 to 0.01857"
    assert findings.apart(0.04108, 0.0411) == "0.04108 to 0.04110"
    assert findings.apart(0.25, 0.25) == "0.25"
    assert findings.nats(4.7123e22) == "4.712e+22"
    assert findings.points(-1e-6) == "0.00"
    assert "0.01855 to 0.01857 above" in findings.of_slip(of_random())


@pytest.mark.parametrize(
    ("exponent", "words"),
    [
        (-1.609, "zero-one error (-1.61)"),
        (math.nan, "zero-one error (none: the means do not fall)"),
        (0.9, ""),
    ],
)
def test_an_exponent_far_from_1_is_a_doubt(exponent, words):
    found = of_random()
    for kind, value in (("zero_one", exponent), ("surrogate", 1.0)):
        found["classes"]["patches"][kind]["exponent"] = value
        # Of networks theory says nothing.
        found["classes"]["network"][kind]["exponent"] = -3.0
    text = findings.of_exponents(found)
    assert words in text
    assert bool(text) == bool(words)
    assert "network" not in text
