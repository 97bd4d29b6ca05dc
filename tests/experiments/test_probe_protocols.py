"""Published protocols: their splits, their values of C, their rules of choice."""

import dataclasses
import itertools

import numpy as np
import pytest

from experiments.probe import protocols, splits
from experiments.probe.config import DEFAULT, rule, with_protocol
from experiments.probe.protocols import PROTOCOLS
from jaxlin.selection import rules

# Printed by PyTorch for torch.manual_seed(seed); torch.randperm(10).
PERMUTATIONS = {
    0: [4, 1, 7, 5, 3, 9, 0, 8, 6, 2],
    1: [5, 6, 1, 2, 0, 8, 9, 3, 7, 4],
    42: [2, 6, 1, 8, 4, 5, 0, 9, 3, 7],
}


@pytest.mark.parametrize("seed", PERMUTATIONS)
def test_the_permutation_is_that_of_pytorch(seed):
    assert splits.torch_permutation(10, seed=seed).tolist() == PERMUTATIONS[seed]


def test_the_permutation_is_that_of_an_installed_pytorch():
    torch = pytest.importorskip("torch", reason="an optional peer")
    torch.manual_seed(0)
    expected = torch.randperm(1001).numpy()
    np.testing.assert_array_equal(splits.torch_permutation(1001, seed=0), expected)


def test_lengths_of_another_permutation_are_refused():
    with pytest.raises(ValueError, match="at most 214,748,363 .* got 300,000,000"):
        splits.torch_permutation(300_000_000, seed=0)


def test_dinov2_validates_on_the_first_tenth_whatever_the_labels():
    assert np.flatnonzero(splits.first_tenth(np.zeros(10))).tolist() == [4]
    labels = np.arange(59) % 7
    held_out = np.flatnonzero(splits.first_tenth(labels))
    order = splits.torch_permutation(59, seed=0)
    assert held_out.tolist() == sorted(order[:5].tolist())


def test_dinov3_validates_on_a_tenth_of_each_class():
    """A loop over the permutation that counts how many of a class are taken."""
    labels = np.repeat([0, 1, 2, 3, 4], [1, 2, 19, 20, 31])
    numbers = {0: 0, 1: 1, 2: 1, 3: 2, 4: 3}
    expected, taken = [], dict.fromkeys(numbers, 0)
    for example in splits.torch_permutation(len(labels), seed=0).tolist():
        label = int(labels[example])
        if taken[label] < numbers[label]:
            expected.append(example)
            taken[label] += 1
    held_out = np.flatnonzero(splits.tenth_of_each_class(labels))
    assert held_out.tolist() == sorted(expected)


@pytest.mark.parametrize(
    ("name", "count", "lowest", "highest"),
    [("dinov2", 45, 1e-6, 1e5), ("dinov3", 45, 1e-6, 1e5), ("clip", 97, 1e-6, 1e6)],
)
def test_values_of_c_are_evenly_spaced_in_the_logarithm(name, count, lowest, highest):
    cs = PROTOCOLS[name].cs
    assert len(cs) == count
    np.testing.assert_allclose([cs[0], cs[-1]], [lowest, highest], rtol=1e-12)
    ratios = [after / before for before, after in itertools.pairwise(cs)]
    np.testing.assert_allclose(ratios, (highest / lowest) ** (1 / (count - 1)))


def test_the_first_values_of_clip_are_among_its_steps():
    powers = np.log10(PROTOCOLS["clip"].cs)
    np.testing.assert_allclose(powers[::16], [-6, -4, -2, 0, 2, 4, 6], atol=1e-12)


STRENGTH = np.arange(97.0)


@pytest.mark.parametrize("peak", [0, 1, 8, 37, 50, 63, 95, 96])
def test_the_search_finds_a_single_peak(peak):
    scores = -np.abs(STRENGTH - peak)[:, None]
    assert protocols.bisection(scores, strength=STRENGTH) == peak
    order = np.random.default_rng(0).permutation(97)
    found = protocols.bisection(scores[order], strength=STRENGTH[order])
    assert order[found] == peak


def test_the_search_looks_at_fifteen_values_at_most():
    """A spike beside the values that the search looks at stays unseen."""
    looked = {0, 16, 32, 48, 64, 80, 96, 40, 56, 44, 52, 46, 50, 47, 49}
    for spike in range(97):
        scores = -np.abs(STRENGTH - 48)
        scores[spike] += 1e3
        found = protocols.bisection(scores[:, None], strength=STRENGTH)
        assert found == (spike if spike in looked else 48)


def test_equal_accuracies_go_to_the_most_penalised():
    scores = np.zeros((97, 1))
    assert protocols.bisection(scores, strength=STRENGTH) == 96


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_protocol_sets_what_it_publishes(name):
    config = with_protocol(dataclasses.replace(DEFAULT, protocol=name))
    assert (config.normalization, config.folds, config.refit) == ("none", None, True)
    assert config.cs == PROTOCOLS[name].cs
    assert rule(config) is PROTOCOLS[name].choose
    # A run is repeated with the config that it kept.
    assert with_protocol(config) == config
    assert with_protocol(DEFAULT) is DEFAULT
    assert rule(DEFAULT) is rules.best


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cs": (1.0, 2.0)}, r"cs must be left out with protocol, .* got \(1.0, 2.0\)"),
        (
            {"normalization": "unit_length"},
            "normalization must be left out .* 'unit_length'",
        ),
        ({"loss": "one_vs_rest_hinge"}, "loss must be left out .* 'one_vs_rest_hinge'"),
        ({"folds": 5}, "folds must be left out .* got 5"),
        ({"refit": False}, "refit must be left out .* got False"),
        ({"choose": "one_standard_error"}, "choose must be left out"),
        ({"class_weights": "balanced"}, "class_weights must be left out .* 'balanced'"),
    ],
)
def test_other_settings_beside_a_protocol_are_refused(change, words):
    config = dataclasses.replace(DEFAULT, protocol="dinov3", **change)
    with pytest.raises(ValueError, match=words):
        with_protocol(config)
