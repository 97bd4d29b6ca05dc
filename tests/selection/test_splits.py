"""Splits: disjoint, complete, in proportion, repeatable, uniform."""

import math
from fractions import Fraction

import jax
import numpy as np
import pytest

from jaxlin.selection import splits


def assert_is_a_partition(split, num_examples):
    for part in split:
        assert part.dtype == np.int32
        assert len(part) > 0
        assert (np.diff(part) > 0).all()
    together = np.concatenate([split.train, split.held_out])
    np.testing.assert_array_equal(np.sort(together), np.arange(num_examples))


def rounded(num_examples, fraction):
    """The nearest integer, halves up, in exact arithmetic on the float given."""
    return math.floor(num_examples * Fraction(fraction) + Fraction(1, 2))


# Few sizes, because JAX compiles a permutation for each.
SIZES = [4, 17, 60, 111, 1000]


def test_stratified_splits_are_partitions_in_proportion():
    """200 random (n, classes, fraction), classes of very unequal size and with gaps."""
    random = np.random.default_rng(0)
    for candidate in range(200):
        num_examples = SIZES[candidate % len(SIZES)]
        num_classes = int(random.integers(1, min(13, num_examples // 2 + 1)))
        shares = random.dirichlet(np.full(num_classes, 0.5))
        sizes = 2 + random.multinomial(num_examples - 2 * num_classes, shares)
        names = random.choice(40, size=num_classes, replace=False)
        labels = random.permutation(np.repeat(names, sizes))
        # Within these ends neither part is empty.
        fraction = float(random.uniform(1 / num_examples, 1 - 1 / num_examples))
        key = jax.random.key(candidate)
        split = splits.stratified_split(key, labels, fraction=fraction)
        assert_is_a_partition(split, num_examples)
        assert len(split.held_out) == rounded(num_examples, fraction)
        for name, size in zip(names, sizes, strict=True):
            held_out = np.sum(labels[split.held_out] == name)
            assert abs(held_out - size * fraction) < 1


@pytest.mark.parametrize("fraction", [0.07, 0.1, 0.29, 0.57])
def test_equal_classes_give_equal_parts(fraction):
    """100 * 0.29 is 28.999999999999996 in floating point, 100 * 0.07 is above 7."""
    labels = np.arange(1000) % 10
    split = splits.stratified_split(jax.random.key(0), labels, fraction=fraction)
    counts = np.bincount(labels[split.held_out])
    np.testing.assert_array_equal(counts, np.full(10, round(100 * fraction)))


def test_largest_remainders_settle_who_is_rounded_up():
    """Sizes 3, 4, 5 times 0.3 are 0.9, 1.2, 1.5; the total 3.6 rounds to 4."""
    labels = np.repeat([0, 1, 2], [3, 4, 5])
    split = splits.stratified_split(jax.random.key(0), labels, fraction=0.3)
    np.testing.assert_array_equal(np.bincount(labels[split.held_out]), [1, 1, 2])


def test_equal_remainders_go_to_the_smaller_label():
    labels = np.repeat([5, 2, 9], 5)
    split = splits.stratified_split(jax.random.key(0), labels, fraction=0.5)
    held_out = np.bincount(labels[split.held_out])
    assert [held_out[2], held_out[5], held_out[9]] == [3, 3, 2]


def test_random_splits_are_partitions_of_the_right_size():
    random = np.random.default_rng(1)
    for candidate in range(50):
        num_examples = SIZES[candidate % len(SIZES)]
        fraction = float(random.uniform(1 / num_examples, 1 - 1 / num_examples))
        key = jax.random.key(candidate)
        split = splits.random_split(key, num_examples, fraction=fraction)
        assert_is_a_partition(split, num_examples)
        assert len(split.held_out) == rounded(num_examples, fraction)


LABELS = np.arange(60) % 3
DRAWS = {
    "random": lambda key: splits.random_split(key, 60, fraction=0.25),
    "stratified": lambda key: splits.stratified_split(key, LABELS, fraction=0.25),
}
every_draw = pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS.keys())


@every_draw
def test_same_key_same_split_other_key_another(draw):
    first, again = draw(jax.random.key(7)), draw(jax.random.key(7))
    other = draw(jax.random.key(8))
    np.testing.assert_array_equal(first.held_out, again.held_out)
    np.testing.assert_array_equal(first.train, again.train)
    assert not np.array_equal(first.held_out, other.held_out)


@every_draw
def test_every_example_is_held_out_equally_often(draw):
    """15 of 60 held out, 600 keys: each example 150 times, standard deviation 10.6.

    Six standard deviations on either side; an order that favours some examples, such
    as one that always holds out the first of a class, is far outside.
    """
    times = np.zeros(60)
    for seed in range(600):
        times[draw(jax.random.key(seed)).held_out] += 1
    assert times.sum() == 600 * 15
    assert np.abs(times - 150).max() < 64


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, math.nan, "half", True])
def test_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ValueError, match="fraction must be"):
        splits.stratified_split(jax.random.key(0), LABELS, fraction=fraction)
    with pytest.raises(ValueError, match="fraction must be"):
        splits.random_split(jax.random.key(0), 60, fraction=fraction)


@pytest.mark.parametrize(("fraction", "part"), [(0.001, "held-out"), (0.999, "train")])
def test_empty_part_is_refused(fraction, part):
    with pytest.raises(ValueError, match=f"the {part}.* part would be empty"):
        splits.stratified_split(jax.random.key(0), LABELS, fraction=fraction)
    with pytest.raises(ValueError, match=f"the {part}.* part would be empty"):
        splits.random_split(jax.random.key(0), 60, fraction=fraction)


def test_class_with_a_single_example_is_named():
    with pytest.raises(ValueError, match="at least 2 examples .* got 1 of class 4"):
        splits.stratified_split(jax.random.key(0), [0, 0, 4, 1, 1], fraction=0.5)
    with pytest.raises(ValueError, match="at least 2 examples .* got 1 of class cat"):
        splits.stratified_split(jax.random.key(0), ["ant", "cat", "ant"], fraction=0.5)


def test_labels_of_any_kind_are_split_as_their_codes_are():
    key = jax.random.key(0)
    expected = splits.stratified_split(key, LABELS, fraction=0.25)
    names = np.array(["ant", "bee", "cat"])[LABELS]
    for labels in (names, 7 * LABELS - 3, LABELS.astype(float)):
        found = splits.stratified_split(key, labels, fraction=0.25)
        for part, other in zip(found, expected, strict=True):
            np.testing.assert_array_equal(part, other)


def test_wrong_labels_and_sizes_are_refused():
    with pytest.raises(ValueError, match="labels must be integers"):
        splits.stratified_split(jax.random.key(0), [0.5, 1.0], fraction=0.5)
    with pytest.raises(ValueError, match="labels must not be empty"):
        splits.stratified_split(jax.random.key(0), [], fraction=0.5)
    with pytest.raises(ValueError, match="num_examples must be at least 2, got 1"):
        splits.random_split(jax.random.key(0), 1, fraction=0.5)


FRACTIONS = [(0.15, 0.4), (0.25, 0.4), (0.37, 0.21)]


def test_three_ways_are_a_partition_in_proportion():
    random = np.random.default_rng(0)
    for candidate in range(60):
        num_examples = SIZES[2 + candidate % 2]
        labels = random.integers(0, 3, num_examples)
        # Few sizes of parts, each of which JAX compiles a permutation for.
        validation, test = FRACTIONS[candidate // 2 % 3]
        key = jax.random.key(candidate)
        split = splits.three_way_split(
            key, labels, validation_fraction=validation, test_fraction=test
        )
        together = np.concatenate(split)
        np.testing.assert_array_equal(np.sort(together), np.arange(num_examples))
        assert len(split.test) == rounded(num_examples, test)
        assert abs(len(split.validation) - num_examples * validation) <= 1
        for label in range(3):
            in_class = np.sum(labels == label)
            for part, share in ((split.validation, validation), (split.test, test)):
                found = np.sum(labels[part] == label)
                # The test part was rounded before the validation part was drawn.
                assert abs(found - in_class * share) < 2
        # The test part does not depend on the other.
        alone = splits.stratified_split(key, labels, fraction=test)
        np.testing.assert_array_equal(split.test, alone.held_out)


@pytest.mark.parametrize(
    ("validation", "test", "words"),
    [
        (0.5, 0.5, "must leave something to train on, got 0.5 \\+ 0.5"),
        (0.0, 0.5, "validation_fraction must be above 0"),
        (0.5, 1.0, "test_fraction must be below 1"),
    ],
)
def test_three_ways_must_be_three(validation, test, words):
    with pytest.raises(ValueError, match=words):
        splits.three_way_split(
            jax.random.key(0),
            np.arange(20) % 2,
            validation_fraction=validation,
            test_fraction=test,
        )
