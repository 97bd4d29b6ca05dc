"""The best of all lines, against every line that there is."""

from fractions import Fraction

import numpy as np
import pytest

from jaxlin.geometry import best_line, separability


def brute_force(rows, labels):
    """The most points right over the lines through every pair of points.

    A line through a pair is turned a little about every place between the points on it,
    so that those before the place come to one side and those after it to the other.
    """
    points = [tuple(Fraction(float(value)) for value in row) for row in rows]
    counts = np.bincount(labels, minlength=2)
    best = int(counts.max())
    for i, p in enumerate(points):
        for q in points[:i]:
            step = q[0] - p[0], q[1] - p[1]
            if step == (0, 0):
                continue
            right, on_line = [0, 0], []
            for point, label in zip(points, labels, strict=True):
                away = point[0] - p[0], point[1] - p[1]
                side = step[0] * away[1] - step[1] * away[0]
                if side == 0:
                    place = step[0] * away[0] + step[1] * away[1]
                    on_line.append((place, label))
                else:
                    # Label 1 on the left, or on the right.
                    right[0] += (side > 0) == (label == 1)
                    right[1] += (side > 0) != (label == 1)
            places = sorted({place for place, _ in on_line})
            for cut in [*places, places[-1] + 1]:
                ones_before = sum((at < cut) == (label == 1) for at, label in on_line)
                ones_after = len(on_line) - ones_before
                best = max(best, max(right) + max(ones_before, ones_after))
    return best


def random_set(number):
    random = np.random.default_rng(number)
    count = 3 + number % 9
    labels = np.append([0, 1], random.integers(0, 2, size=count - 2))
    rows = random.normal(size=(count, 2))
    if number % 2:
        # Few values: points in lines and points twice.
        rows = (1.2 * rows).round()
    return rows, labels


def test_small_sets_against_all_pairs():
    found = []
    for number in range(80):
        rows, labels = random_set(number)
        line, count = best_line.find(rows, labels)
        assert count == brute_force(rows, labels), number
        # The line is there, and passes through no point.
        assert separability.correct(line, rows, labels) == count
        assert all(separability.values(line, rows))
        found.append(count == len(labels))
        separable = isinstance(separability.prove(rows, labels), separability.Plane)
        assert found[-1] == separable
    assert 20 < sum(found) < 60


def test_a_larger_set_is_no_worse_than_any_line_tried():
    random = np.random.default_rng(0)
    rows = random.normal(size=(150, 2)).astype(np.float32)
    labels = (rows.prod(axis=1) > 0).astype(int)
    count = best_line.find(rows, labels).correct
    normals = random.normal(size=(20_000, 2))
    offsets = random.normal(size=20_000)
    right = ((rows @ normals.T + offsets > 0) == (labels == 1)[:, None]).sum(axis=0)
    tried = max(right.max(), 150 - right.min())
    assert tried <= count <= tried + 6


@pytest.mark.parametrize(
    ("rows", "labels", "expected"),
    [
        ([[0, 0], [0, 0], [0, 0]], [0, 1, 1], 2),
        ([[0, 0], [1, 0], [2, 0], [3, 0]], [0, 1, 0, 1], 3),
        ([[0, 0], [1, 1], [0, 1], [1, 0]], [0, 0, 1, 1], 3),
        ([[0, 0], [1, 1], [2, 2], [0, 0]], [0, 0, 1, 1], 3),
        # Directions that float64 cannot tell apart: the three are in no line.
        ([[0, 0], [1, 1], [2, 2 + 2**-51]], [0, 1, 0], 3),
        ([[0, 0], [1, 1], [2, 2]], [0, 1, 0], 2),
    ],
)
def test_points_in_lines(rows, labels, expected):
    rows, labels = np.array(rows, float), np.array(labels)
    assert best_line.find(rows, labels).correct == expected
    assert best_line.find(rows, 1 - labels).correct == expected


def test_bad_input():
    with pytest.raises(ValueError, match="features must have 2 features, got 3"):
        best_line.find(np.ones((2, 3)), [0, 1])
    with pytest.raises(ValueError, match="labels must name at least two classes"):
        best_line.find(np.ones((2, 2)), [1, 1])
