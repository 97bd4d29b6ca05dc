"""Choice of a setting: the best mean, or the simplest near it."""

import numpy as np
import pytest

from jaxlin.selection import rules


def test_mean_and_error_are_those_of_a_sample():
    scores = [[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]
    mean, error = rules.mean_and_error(scores)
    np.testing.assert_allclose(mean, [2, 5])
    np.testing.assert_allclose(error, [1 / np.sqrt(3), 0])


def test_dealing_the_same_examples_out_again_makes_no_error_smaller():
    scores = [[0.5, 0.6, 0.7, 0.9]]
    mean, error = rules.mean_and_error(scores)
    again, same = rules.mean_and_error([scores[0] * 3], num_repeats=3)
    np.testing.assert_allclose(again, mean)
    # But for Bessel's correction, n / (n - 1), of four parts and of twelve.
    np.testing.assert_allclose(same, error * np.sqrt(12 / 11 * 3 / 4))
    with pytest.raises(ValueError, match="num_repeats must divide .* 4, got 3"):
        rules.mean_and_error(scores, num_repeats=3)


def test_a_single_part_has_no_error():
    mean, error = rules.mean_and_error([[0.5], [0.75]])
    assert mean.tolist() == [0.5, 0.75]
    assert np.isnan(error).all()
    assert rules.one_standard_error([[0.5], [0.75]], strength=[2, 1]) == 1


def test_of_equally_good_settings_the_most_penalised_is_best():
    assert rules.best([[0.5, 0.5], [0.4, 0.6], [0.1, 0.2]], strength=[1, 2, 3]) == 1


def test_means_that_only_rounding_tells_apart_are_equal():
    thirds = np.array([[1 / 3, 2 / 3], [0.5, 0.5]], np.float32)
    for scores, strength in ((thirds, [2, 1]), (thirds[::-1], [2, 1])):
        assert rules.best(scores, strength=strength) == 0
        assert rules.best(scores, strength=strength[::-1]) == 1


@pytest.mark.parametrize(
    ("third", "chosen"),
    [
        # The best has mean .80 and a standard error of .02.
        ([0.783, 0.783, 0.783], 2),
        ([0.777, 0.777, 0.777], 1),
    ],
)
def test_one_standard_error_takes_the_simplest_within_it(third, chosen):
    error = 0.02 * np.sqrt(3)
    scores = [[0.8 - error, 0.8, 0.8 + error], [0.79, 0.79, 0.79], third]
    assert rules.best(scores, strength=[1, 2, 3]) == 0
    assert rules.one_standard_error(scores, strength=[1, 2, 3]) == chosen


@pytest.mark.parametrize(
    ("scores", "strength", "words"),
    [
        ([0.5], [1], "scores must have shape"),
        (np.zeros((0, 2)), [], "scores must have shape"),
        ([[0.5], [0.6]], [1], "strength must have one entry per setting, 2"),
        ([[0.5, np.nan]], [1], "got NaN of setting 0 in part 1"),
    ],
)
def test_bad_input(scores, strength, words):
    with pytest.raises(ValueError, match=words):
        rules.one_standard_error(scores, strength=strength)
