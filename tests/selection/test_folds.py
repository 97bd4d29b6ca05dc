"""Folds: disjoint, complete, even, repeatable, each example as often in each fold."""

import collections
import warnings

import jax
import numpy as np
import pytest
import sklearn.model_selection

from jaxlin.selection import fold_weights, folds

# Few sizes and numbers of folds, because JAX compiles a permutation for each.
SIZES = [7, 17, 60, 111]


def random_problems(count):
    """(key, n, k, labels with gaps between them, at least k of each class)."""
    random = np.random.default_rng(0)
    for candidate in range(count):
        num_examples = SIZES[candidate % len(SIZES)]
        num_folds = min(int(random.choice([2, 3, 4, 7, 10])), num_examples)
        num_classes = int(random.integers(1, num_examples // num_folds + 1))
        shares = random.dirichlet(np.full(num_classes, 0.5))
        rest = num_examples - num_folds * num_classes
        sizes = num_folds + random.multinomial(rest, shares)
        names = random.choice(1000, size=num_classes, replace=False)
        labels = random.permutation(np.repeat(names, sizes))
        yield jax.random.key(candidate), num_examples, num_folds, labels


@pytest.mark.parametrize("count", [200, pytest.param(1000, marks=pytest.mark.full)])
def test_random_partitions_are_even(count):
    for key, num_examples, num_folds, labels in random_problems(count):
        plain = folds.k_fold(key, num_examples, num_folds=num_folds)
        stratified = folds.stratified_k_fold(key, labels, num_folds=num_folds)
        for fold_ids in (plain, stratified):
            assert fold_ids.dtype == np.int32
            assert fold_ids.shape == (num_examples,)
            assert np.ptp(np.bincount(fold_ids, minlength=num_folds)) <= 1
        for name in np.unique(labels):
            counts = np.bincount(stratified[labels == name], minlength=num_folds)
            assert len(counts) == num_folds
            assert np.ptp(counts) <= 1


def test_training_weights_hold_out_every_example_once():
    for key, num_examples, num_folds, _ in random_problems(50):
        fold_ids = folds.k_fold(key, num_examples, num_folds=num_folds)
        weights = folds.train_weights(fold_ids, num_folds=num_folds)
        assert weights.dtype == np.float32
        assert weights.shape == (num_folds, num_examples)
        assert set(np.unique(weights)) == {0.0, 1.0}
        np.testing.assert_array_equal(weights.sum(axis=0), num_folds - 1)
        for fold in range(num_folds):
            np.testing.assert_array_equal(weights[fold] == 0, fold_ids == fold)


def test_the_same_key_gives_the_same_bits_and_another_does_not():
    labels = np.arange(60) % 3
    for draw in (
        lambda key: folds.k_fold(key, 60, num_folds=4),
        lambda key: folds.stratified_k_fold(key, labels, num_folds=4),
        lambda key: folds.grouped_k_fold(key, np.arange(60) // 2, num_folds=4),
    ):
        first, again, other = (draw(jax.random.key(seed)) for seed in (0, 0, 1))
        np.testing.assert_array_equal(first, again)
        assert (first != other).mean() > 0.4
        # More repeats keep the first ones.
        many = folds.repeat(jax.random.key(0), draw, num_repeats=5)
        few = folds.repeat(jax.random.key(0), draw, num_repeats=2)
        np.testing.assert_array_equal(many[:2], few)
        assert len({row.tobytes() for row in many}) == 5
        assert folds.train_weights(many, num_folds=4).shape == (5, 4, 60)


def test_labels_of_any_kind_are_dealt_out_as_their_codes_are():
    codes = np.arange(60) % 3
    expected = folds.stratified_k_fold(KEY, codes, num_folds=4)
    names = np.array(["ant", "bee", "cat"])[codes]
    for labels in (names, 7 * codes - 3, codes.astype(float)):
        found = folds.stratified_k_fold(KEY, labels, num_folds=4)
        np.testing.assert_array_equal(found, expected)


def test_every_example_is_as_often_in_every_fold():
    """Also in those that are larger: 7 examples in 3 folds."""
    counts = np.zeros((7, 3))
    for seed in range(600):
        fold_ids = folds.k_fold(jax.random.key(seed), 7, num_folds=3)
        counts[np.arange(7), fold_ids] += 1
    # Standard error 11.5.
    assert np.abs(counts - 200).max() < 50


def test_groups_stay_together_and_folds_are_even():
    random = np.random.default_rng(1)
    for candidate in range(100):
        num_folds = int(random.integers(2, 5))
        sizes = random.integers(1, 20, size=SIZES[candidate % 3])
        groups = random.permutation(np.repeat(random.permutation(len(sizes)), sizes))
        fold_ids = folds.grouped_k_fold(
            jax.random.key(candidate), groups, num_folds=num_folds
        )
        homes = collections.defaultdict(set)
        for group, fold in zip(groups, fold_ids, strict=True):
            homes[group].add(fold)
        assert all(len(home) == 1 for home in homes.values())
        counts = np.bincount(fold_ids, minlength=num_folds)
        assert len(counts) == num_folds
        assert np.ptp(counts) <= sizes.max()


def test_small_classes_are_dealt_out_as_far_as_they_go():
    sizes = {0: 5, 3: 4, 7: 1, 9: 13}
    labels = np.repeat(list(sizes), list(sizes.values()))
    for num_folds in (2, 7, 23):
        fold_ids = folds.stratified_k_fold(
            jax.random.key(0), labels, num_folds=num_folds, allow_missing_classes=True
        )
        assert np.ptp(np.bincount(fold_ids, minlength=num_folds)) <= 1
        for label, size in sizes.items():
            counts = np.bincount(fold_ids[labels == label], minlength=num_folds)
            assert counts.sum() == size
            assert np.ptp(counts) <= 1
    # As without it, where all classes are large enough.
    labels = np.arange(60) % 3
    np.testing.assert_array_equal(
        folds.stratified_k_fold(KEY, labels, num_folds=4, allow_missing_classes=True),
        folds.stratified_k_fold(KEY, labels, num_folds=4),
    )


def random_groups(count):
    """(number, k, groups, labels), few classes a group."""
    random = np.random.default_rng(2)
    for number in range(count):
        num_groups, num_folds = SIZES[number % 3], int(random.integers(2, 5))
        sizes = random.integers(1, 20, num_groups)
        shares = random.dirichlet(np.full(random.integers(2, 7), 0.4), num_groups)
        labels = [
            random.choice(len(own), size, p=own)
            for size, own in zip(sizes, shares, strict=True)
        ]
        groups = np.repeat(np.arange(num_groups), sizes)
        labels = np.unique(np.concatenate(labels), return_inverse=True)[1]
        order = random.permutation(len(groups))
        yield number, num_folds, groups[order], labels[order]


def shares_of_folds(fold_ids, labels, num_folds):
    """Share of each class that each fold has, shape ``(folds, classes)``."""
    counts = np.zeros((num_folds, labels.max() + 1))
    np.add.at(counts, (fold_ids, labels), 1)
    return counts / counts.sum(axis=0)


def test_groups_with_labels_are_as_even_as_scikit_learns():
    ours, theirs = [], []
    for number, num_folds, groups, labels in random_groups(100):
        fold_ids = folds.grouped_k_fold(
            jax.random.key(number), groups, num_folds=num_folds, labels=labels
        )
        # Together, and in every fold.
        for group in np.unique(groups):
            assert len(np.unique(fold_ids[groups == group])) == 1
        assert len(np.unique(fold_ids)) == num_folds
        splitter = sklearn.model_selection.StratifiedGroupKFold(num_folds)
        other = np.empty(len(groups), int)
        with warnings.catch_warnings():
            # Of classes with fewer members than folds.
            warnings.simplefilter("ignore")
            for fold, (_, held_out) in enumerate(
                splitter.split(groups, labels, groups)
            ):
                other[held_out] = fold
        shares = shares_of_folds(fold_ids, labels, num_folds)
        ours.append(shares.std(axis=0).mean())
        theirs.append(shares_of_folds(other, labels, num_folds).std(axis=0).mean())
        # A class of several groups is never held out whole.
        for label in np.unique(labels):
            if len(np.unique(groups[labels == label])) > 1:
                assert shares[:, label].max() < 1
    assert np.mean(ours) <= np.mean(theirs)


def test_two_groups_that_alone_have_a_rare_class_lie_in_two_folds():
    random = np.random.default_rng(0)
    groups = np.repeat(np.arange(8), 20)
    labels = np.where(groups < 2, 2, random.integers(0, 2, 160))
    seen = set()
    for seed in range(40):
        fold_ids = folds.grouped_k_fold(
            jax.random.key(seed), groups, num_folds=4, labels=labels
        )
        assert fold_ids[0] != fold_ids[20]
        assert np.bincount(fold_ids).tolist() == [40] * 4
        seen.add(fold_ids.tobytes())
    # The key settles what the labels leave open.
    assert len(seen) > 20


def test_groups_may_have_names():
    numbers = np.arange(60) % 7
    names = np.array(list("gabcdef"))[numbers]
    for given in (names, names.astype(object), names.astype(bytes), -numbers):
        fold_ids = folds.grouped_k_fold(KEY, given, num_folds=3)
        for name in np.unique(given):
            assert len(np.unique(fold_ids[given == name])) == 1


KEY = jax.random.key(0)
BAD = {
    "one fold": (
        lambda: folds.k_fold(KEY, 5, num_folds=1),
        "num_folds must be at least 2, got 1",
    ),
    "more folds than examples": (
        lambda: folds.k_fold(KEY, 5, num_folds=6),
        "num_folds must be at most 5, got 6",
    ),
    "a class missing from a fold": (
        lambda: folds.stratified_k_fold(KEY, [0, 0, 0, 4, 4], num_folds=3),
        "at least num_folds = 3 examples of every class .*got 2 of class 4; allow",
    ),
    "a word missing from a fold": (
        lambda: folds.stratified_k_fold(KEY, ["cat", "dog", "dog"], num_folds=2),
        "at least num_folds = 2 examples of every class .*got 1 of class cat; allow",
    ),
    "labels that are no classes": (
        lambda: folds.stratified_k_fold(KEY, [0.5, 1.5], num_folds=2),
        "labels must be integers",
    ),
    "fewer groups than folds": (
        lambda: folds.grouped_k_fold(KEY, [7, 7, 8], num_folds=3),
        "groups must be at least num_folds = 3 different ones, got 2",
    ),
    "groups that are no names": (
        lambda: folds.grouped_k_fold(KEY, [0.5, 1.0, 2.0], num_folds=3),
        "groups must be integers or strings, one an example, got float64",
    ),
    "labels of other examples": (
        lambda: folds.grouped_k_fold(KEY, [0, 1, 2], num_folds=3, labels=[0, 1]),
        "labels must have one entry per example",
    ),
    "no repeats": (
        lambda: folds.repeat(KEY, lambda key: None, num_repeats=0),
        "num_repeats must be at least 1",
    ),
    "a fold too many": (
        lambda: folds.train_weights([0, 1, 2], num_folds=2),
        r"fold_ids must lie in \[0, 1\], got 0 to 2",
    ),
    "folds that are no integers": (
        lambda: folds.train_weights([0.0, 1.0], num_folds=2),
        "fold_ids must be integers",
    ),
    "nothing to train on": (
        lambda: folds.train_weights([0, 0], num_folds=2),
        "fold_ids must put an example into each of 2 folds",
    ),
    "an empty fold": (
        lambda: folds.train_weights([0, 1, 0], num_folds=3),
        "fold_ids must put an example into each of 3 folds",
    ),
}


@pytest.mark.parametrize(("call", "message"), BAD.values(), ids=BAD.keys())
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_minus_one_is_never_held_out():
    found = fold_weights.of_ids([[0, -1, 1, -1], [1, 0, 0, -1]], num_examples=4)
    first, second = found.train
    np.testing.assert_array_equal(first, [[0, 1, 1, 1], [1, 1, 0, 1]])
    np.testing.assert_array_equal(second, [[1, 0, 0, 1], [0, 1, 1, 1]])
    # A single fold leaves the others to train on.
    found = fold_weights.of_ids([0, -1, -1, 0], num_examples=4)
    np.testing.assert_array_equal(found.train, [[0, 1, 1, 0]])
    with pytest.raises(ValueError, match=r"without gaps, at least two, got \[\]"):
        fold_weights.of_ids([-1, -1], num_examples=2)


@pytest.mark.parametrize(
    ("fold_ids", "words"),
    [
        ([0, 1, 0], r"integers \(4,\), one per example, or \(repeats, 4\)"),
        ([0.0, 1.0, 0.0, 1.0], r"folds must be integers \(4,\)"),
        (
            [([0, 1, 2], [3]), ([3], [0, 1, 2])],
            r"folds must be integers .*; of pairs .* ids\[test\] = number of the pair",
        ),
        (
            [0, 2, 0, 2],
            r"named 0, 1, ... without gaps, at least two, got \[0, 2\]; np.un",
        ),
        ([0, 1, 0, 10**9], r"without gaps, at least two, got \[0, 1, 1000000000\]"),
        ([0, 0, 0, 0], "without gaps, at least two"),
        ([-2, 0, 1, 1], "folds must be at least 0, or -1 .* held out, got -2"),
        (
            [[0, 1, 0, 1], [0, 1, 2, 2]],
            "folds must be the same number in each repeat, got 2 and 3",
        ),
    ],
)
def test_folds_that_say_how_many_they_are(fold_ids, words):
    with pytest.raises(ValueError, match=words):
        fold_weights.of_ids(fold_ids, num_examples=4)


def test_all_of_them_are_taken():
    found = fold_weights.of_ids([0, 1, 2, 2], num_examples=4)
    assert found.train.tolist() == [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0]]


def test_minus_two_is_neither_held_out_nor_trained_on():
    found = fold_weights.of_ids([[0, -1, -2, -1]], num_examples=4, least=-2)
    np.testing.assert_array_equal(found.train, [[[0, 1, 0, 1]]])
    np.testing.assert_array_equal(found.held_out, [[[1, 0, 0, 0]]])
