"""Terms of losses drawn at random, and what is known of CIFAR-10."""

import dataclasses
import math

import numpy as np
import pytest

from experiments.common import cli, open_run, run_folder
from experiments.common.config import check
from experiments.common.files import json_ready
from experiments.common.study import Measured
from experiments.error_decomposition import config as settings
from experiments.error_decomposition import summary
from experiments.error_decomposition.config import DIGITS, SMOKE, Config


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
        found[name] = Measured({}, arrays)
    return summary.results(config, found, num_classes=10)


def test_what_is_known_of_cifar10_is_said_of_it_alone():
    other = Config(dataset="noise.npz")
    given = dataclasses.replace(other, published_error=0.02, human_error=0.1)
    for config, errors, sources in (
        (Config(), (0.005, 0.06), ("ViT-H/14", "A. Karpathy")),
        (Config(human_error=0), (0.005, 0), ("ViT-H/14", None)),
        (other, (0.0, 0.0), (None, None)),
        (given, (0.02, 0.1), (None, None)),
    ):
        found = of_random(config)
        assert found["reference"]["zero_one"] == (0.0, errors[0])
        names = ("published_error", "human_error")
        assert tuple(settings.known(config, name)[0] for name in names) == errors
        for name, words in zip(("published_by", "human_by"), sources, strict=True):
            assert (words or "") in (found[name] or "")
            assert bool(words) == bool(found[name])
    assert of_random(other)["reference"]["surrogate"] == (0.0, 0.0)


def test_a_run_that_names_the_numbers_of_cifar10_can_be_resumed(tmp_path):
    # As config.json of a default run has it, since both depend on the data set.
    old = {**json_ready(Config()), "published_error": 0.005, "human_error": 0.06}
    folder = run_folder.create(tmp_path / "run", config=old)
    config, options = cli.parse(
        Config(),
        smoke=SMOKE,
        of_dataset={DIGITS.dataset: DIGITS},
        arguments=["--resume", str(folder.path)],
    )
    assert json_ready(check(config)) == old
    open_run.resume_run(options.resume, config=json_ready(config))
    for name in ("published_error", "human_error"):
        assert settings.known(config, name) == settings.known(Config(), name)


def test_of_a_network_only_the_sum_is_measured():
    linear, network = (
        of_random()["classes"][name]["zero_one"] for name in ("patches", "network")
    )
    assert linear["split"] == "measured"
    assert network["split"] == "between bounds"
    together = sum(network[term].value for term in summary.TERMS)
    irreducible = sum(network["reference"]) / 2
    assert together + irreducible == pytest.approx(network["error"].value)
    low, high = network["estimation"].interval
    assert low < network["estimation"].value < high


def test_a_network_whose_error_does_not_fall_has_no_split():
    terms = of_random(halves=0.25, seeds=2)["classes"]["network"]["zero_one"]
    assert terms["split"] == "not measurable"


@pytest.mark.parametrize(
    ("exponent", "in_doubt"),
    [(-1.609, True), (math.nan, True), (0.9, False), (0.5, False), (2.1, True)],
)
def test_an_exponent_far_from_1_is_a_doubt(exponent, in_doubt):
    assert summary.is_in_doubt(exponent) == in_doubt
    # Of networks theory says nothing.
    network = of_random(halves=0.25, seeds=2)["classes"]["network"]
    assert not network["zero_one"]["in_doubt"]
    assert not network["surrogate"]["in_doubt"]
