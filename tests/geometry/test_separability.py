"""Proofs against scipy's linear programs, and checked by hand in fractions."""

import functools
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize

from jaxlin.geometry import rational_simplex, separability
from jaxlin.geometry.separability import CommonPoint, Plane


def is_separable(rows, labels):
    """Existence of w, b with t (w . x + b) >= 1 for all points."""
    signs = np.where(labels == 1, 1, -1)[:, None]
    upper = -signs * np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    width = upper.shape[1]
    solved = optimize.linprog(
        np.zeros(width),
        A_ub=upper,
        b_ub=-np.ones(len(rows)),
        bounds=[(None, None)] * width,
    )
    assert solved.status in (0, 2)
    return solved.status == 0


def random_set(number):
    """Points in one to three dimensions whose classes overlap more or less."""
    random = np.random.default_rng(number)
    features, count = 1 + number % 3, 8 + number % 7
    labels = np.append([0, 1], random.integers(0, 2, size=count - 2))
    shift = np.where(labels == 1, 1.0, -1.0)[:, None] * random.uniform(0, 2)
    rows = random.normal(size=(count, features)) + shift / np.sqrt(features)
    if number % 4 == 0:
        # Few values: points in lines, points twice, hulls that only touch.
        rows = rows.round()
    return rows, labels


@functools.cache
def is_random_set_separable(number):
    return is_separable(*random_set(number))


def check_common_point(proof, rows, labels):
    """The definition, written out for each class and coordinate."""
    assert len(proof.rows) <= rows.shape[1] + 2
    assert len(set(proof.rows)) == len(proof.rows)
    assert min(proof.weights) > 0
    for label in (0, 1):
        mine = [
            (row, weight)
            for row, weight in zip(proof.rows, proof.weights, strict=True)
            if labels[row] == label
        ]
        assert sum(weight for _, weight in mine) == 1
        for k in range(rows.shape[1]):
            value = sum(weight * Fraction(float(rows[row, k])) for row, weight in mine)
            assert value == proof.point[k]


def check_plane(proof, rows, labels):
    for row, label in zip(rows, labels, strict=True):
        value = proof.offset + sum(
            n * Fraction(float(x)) for n, x in zip(proof.normal, row, strict=True)
        )
        assert value > 0 if label == 1 else value < 0


@pytest.fixture(params=["proposed by float64", "exact alone"])
def method(request, monkeypatch):
    """Proposals in float64 would hide the errors of the exact method."""
    if request.param == "exact alone":
        monkeypatch.setattr(separability, "_proposed_plane", lambda *_: None)
        nothing = np.array([], int)
        monkeypatch.setattr(separability, "_proposed_points", lambda _: nothing)


def test_a_hundred_sets_and_more_against_linear_programs(method):
    kinds = []
    for number in range(120):
        rows, labels = random_set(number)
        proof = separability.prove(rows, labels)
        kinds.append(is_random_set_separable(number))
        assert isinstance(proof, Plane if kinds[-1] else CommonPoint), number
        assert separability.holds(proof, rows, labels)
        (check_plane if kinds[-1] else check_common_point)(proof, rows, labels)
    # Both kinds are well represented.
    assert 30 < sum(kinds) < 90


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([[0, 0], [2, 2]], [[1, 1]]),  # a point on a segment
        ([[0, 0], [1, 0]], [[1, 0], [2, 0]]),  # a point that both have
        ([[0, 0], [3, 0], [0, 3]], [[1, 1]]),  # within a triangle
        ([[0, 0], [0, 0]], [[0, 0]]),  # all the same
        ([[0, 0], [2, 0]], [[1, -1], [1, 1]]),  # two segments that cross
    ],
)
def test_hulls_that_meet(method, first, second):
    rows = np.array([*first, *second], float)
    labels = np.array([0] * len(first) + [1] * len(second))
    for classes in (labels, 1 - labels):
        proof = separability.prove(rows, classes)
        assert isinstance(proof, CommonPoint)
        check_common_point(proof, rows, classes)


@pytest.mark.parametrize(
    "second",
    [
        [[np.nextafter(1.0, 2.0)]],  # the next number after the other class
        [[2.0**60]],
        [[1e300]],
        [[1.0 + 2**-30]],
    ],
)
def test_no_gap_is_too_small(method, second):
    rows = np.array([[1.0], *second])
    plane = separability.prove(rows, [0, 1])
    assert isinstance(plane, Plane)
    check_plane(plane, rows, [0, 1])


def test_what_is_no_proof_does_not_hold():
    rows, labels = np.array([[0.0], [2.0], [1.0]]), np.array([0, 0, 1])
    proof = separability.prove(rows, labels)
    assert separability.holds(proof, rows, labels)
    half, one = Fraction(1, 2), Fraction(1)
    for wrong in (
        proof._replace(weights=(half, one - half / 2, one)),
        proof._replace(weights=(-half, half + one, one)),
        proof._replace(point=(Fraction(3, 2),)),
        proof._replace(rows=(0, 2, 1)),
        proof._replace(rows=(0, 1, 3)),
        proof._replace(rows=(0, 1), weights=(half, half)),
        Plane((one,), -half),
    ):
        assert not separability.holds(wrong, rows, labels)
    # A plane through a point is not strict.
    assert not separability.holds(Plane((one,), -one), rows[1:], labels[1:])
    assert separability.holds(Plane((-one,), one + half), rows[1:], labels[1:])


def test_correct_counts_ties_for_class_0():
    plane = Plane((Fraction(1),), Fraction(0))
    assert separability.correct(plane, [[-1.0], [0.0], [0.0], [1.0]], [0, 0, 1, 1]) == 3


@pytest.mark.parametrize(
    ("rows", "labels", "words"),
    [
        ([[0.0], [np.nan]], [0, 1], "features must be finite"),
        ([0.0, 1.0], [0, 1], "features must have shape"),
        ([[0.0], [1.0]], [0, 2], r"labels must lie in \[0, 1\], got 2"),
        ([[0.0], [1.0]], [0, 0], "labels must name at least two classes"),
        ([[0.0], [1.0]], [0, 1, 1], "labels must have one entry per example"),
    ],
)
def test_bad_input(rows, labels, words):
    for function in (
        separability.prove,
        lambda *two: separability.holds(Plane((Fraction(1),), Fraction(0)), *two),
    ):
        with pytest.raises(ValueError, match=words):
            function(rows, labels)


def test_a_common_point_of_nothing_proves_nothing():
    rows, classes = [[0.0], [1.0]], [0, 1]
    for proof in (
        separability.CommonPoint((), (), ()),
        separability.CommonPoint((0, 1), (), ()),
    ):
        assert not separability.holds(proof, rows, classes)


def test_large_whole_numbers_are_not_rounded():
    rows = [[2**24], [2**24 + 1]]
    proof = separability.prove(rows, [0, 1])
    assert isinstance(proof, separability.Plane)
    assert separability.holds(proof, rows, [0, 1])


@pytest.mark.parametrize("shift", [0.0, 3.0])
def test_many_features_need_no_pivots_of_all_points(monkeypatch, shift):
    """300 points of 30 features; all of them would take the exact method minutes."""
    draw = np.random.default_rng(0)
    labels = np.arange(300) % 2
    rows = draw.normal(size=(300, 30)) + shift * labels[:, None]
    solve, widths = rational_simplex.solve, []

    def counted(columns, right_side):
        widths.append(columns.shape[1])
        return solve(columns, right_side)

    monkeypatch.setattr(rational_simplex, "solve", counted)
    proof = separability.prove(rows, labels)
    if shift:
        assert widths == []
        check_plane(proof, rows, labels)
    else:
        check_common_point(proof, rows, labels)
        assert len(widths) == 1
        assert widths[0] <= 32


def test_what_float64_proposes_wrongly_is_not_believed(monkeypatch):
    rows, labels = np.array([[0.0], [2.0], [1.0]]), np.array([0, 0, 1])
    wrong = Plane((Fraction(1),), Fraction(-1, 2))
    monkeypatch.setattr(separability, "_proposed_plane", lambda *_: wrong)
    monkeypatch.setattr(separability, "_proposed_points", lambda _: np.array([0, 2]))
    check_common_point(separability.prove(rows, labels), rows, labels)


def test_tiny_and_huge_features():
    for size in (5e-324, 1e-310, 1e300):
        rows = size * np.array([[1.0, 0.0], [3.0, 1.0]])
        check_plane(separability.prove(rows, [0, 1]), rows, [0, 1])


def test_integers_beyond_float64_are_refused():
    with pytest.raises(
        ValueError, match="features must lie within 2.53 of 0.* 90071992"
    ):
        separability.prove(np.array([[2**53], [2**53 + 1]]), [0, 1])
    with pytest.raises(ValueError, match="one entry a feature, got 1 for 2 features"):
        separability.holds(
            Plane((Fraction(1),), Fraction(0)), [[0.0, 1.0], [1.0, 2.0]], [0, 1]
        )


def test_floats_in_a_proof_are_taken_at_their_exact_values():
    """Half the sum of two points in float64 is only next to their middle."""
    middle = (0.5 * 0.1 + 0.5 * 0.2, 0.5 * 0.3 + 0.5 * 0.7)
    rows, labels = np.array([[0.1, 0.3], [0.2, 0.7], middle]), np.array([0, 0, 1])
    assert isinstance(separability.prove(rows, labels), Plane)
    claimed = CommonPoint((0, 1, 2), (0.5, 0.5, 1.0), middle)
    assert not separability.holds(claimed, rows, labels)
    assert separability.holds(Plane((1.0,), -0.5), [[0.0], [1.0]], [0, 1])


def test_digits_beyond_float64_are_refused():
    rows = np.array([[1], [1 + np.longdouble(1e-19)]], np.longdouble)
    if rows.dtype.itemsize > 8:
        with pytest.raises(ValueError, match="features must be of float64 at most"):
            separability.prove(rows, [0, 1])


@pytest.mark.parametrize(
    ("columns", "right_side", "words"),
    [
        ([[1]], [-1], "right_side must be at least 0, got -1"),
        ([[0.5]], [1], "must hold Python's integers"),
    ],
)
def test_bad_programs(columns, right_side, words):
    with pytest.raises(ValueError, match=words):
        rational_simplex.solve(np.array(columns, object), np.array(right_side, object))
