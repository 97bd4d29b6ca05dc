"""Exact radii: against linear programs, least squares, and search for less."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from jaxlin import linear
from jaxlin.geometry import hyperplanes, robustness
from jaxlin.linear import Params
from jaxlin.normalization import Normalization

PROBLEMS, CLASSES, FEATURES = 200, 4, 6
NORMS = (1, 2, np.inf)


def _program(norm, boxed):
    """One example's solution, for many: with a box, low and high are arguments too."""
    if not boxed:
        one = functools.partial(robustness.smallest_perturbation, norm=norm)
        return jax.jit(jax.vmap(one))

    def within(params, x, low, high):
        return robustness.smallest_perturbation(
            params, x, norm=norm, low=low, high=high
        )

    return jax.jit(jax.vmap(within, (0, 0, None, None)))


# Shared by the tests, so that each is compiled once.
SMALLEST = {
    (norm, boxed): _program(norm, boxed) for norm in NORMS for boxed in (False, True)
}
every_case = pytest.mark.parametrize(("norm", "boxed"), SMALLEST)


@pytest.fixture(scope="module")
def problems():
    """Classifiers with an example each in [0, 1], a third of its features at an end."""
    random = np.random.default_rng(0)
    weights = random.normal(size=(PROBLEMS, CLASSES, FEATURES))
    bias = 0.5 * random.normal(size=(PROBLEMS, CLASSES))
    x = random.uniform(size=(PROBLEMS, FEATURES))
    x = np.where(random.uniform(size=x.shape) < 1 / 3, x.round(), x)
    return tuple(part.astype(np.float32) for part in (weights, bias, x))


def found(problems, norm, boxed, box=(0.0, 1.0)):
    weights, bias, x = problems
    program = SMALLEST[norm, boxed]
    return program(linear.Params(weights, bias), x, *(box if boxed else ()))


def scores_of(weights, bias, x):
    return np.einsum("...cd,...d->...c", weights, x) + bias


def lengths(changes, norm):
    return np.linalg.norm(changes, ord=norm, axis=-1)


@every_case
def test_the_change_has_the_radius_and_makes_a_tie(problems, norm, boxed):
    weights, bias, x = (part.astype(np.float64) for part in problems)
    radius, label, change = map(np.asarray, found(problems, norm, boxed))
    finite = np.isfinite(radius)
    assert finite.all() or boxed
    assert finite.mean() > 0.8
    np.testing.assert_allclose(lengths(change, norm)[finite], radius[finite], rtol=1e-5)
    assert (change[~finite] == 0).all()
    if boxed:
        assert (x + change > -1e-6).all()
        assert (x + change < 1 + 1e-6).all()
    before, after = scores_of(weights, bias, x), scores_of(weights, bias, x + change)
    top = before.argmax(axis=1)
    assert (label != top)[finite].all()
    pick = np.arange(PROBLEMS), top
    other = np.arange(PROBLEMS), label
    np.testing.assert_allclose(after[pick][finite], after[other][finite], atol=2e-5)


@every_case
def test_a_thousandth_more_flips_the_label(problems, norm, boxed):
    """Every feature of a change moves the way that helps, so more of it gains more."""
    weights, bias, x = (part.astype(np.float64) for part in problems)
    radius, label, change = map(np.asarray, found(problems, norm, boxed))
    finite = np.isfinite(radius)
    flipped = scores_of(weights, bias, x + 1.001 * change).argmax(axis=1)
    np.testing.assert_array_equal(flipped[finite], label[finite])
    still = scores_of(weights, bias, x + 0.999 * change).argmax(axis=1)
    np.testing.assert_array_equal(still, scores_of(weights, bias, x).argmax(axis=1))


@every_case
def test_search_finds_nothing_smaller(problems, norm, boxed):
    """Random directions, and random steps about the change itself, a little shorter."""
    weights, bias, x = (part.astype(np.float64) for part in problems)
    radius, _, change = map(np.asarray, found(problems, norm, boxed))
    size = np.where(np.isfinite(radius), 0.999 * radius, 50.0)
    top = scores_of(weights, bias, x).argmax(axis=1)
    random, smallest_lead = np.random.default_rng(1), np.full(PROBLEMS, np.inf)
    for spread in (np.inf, 1.0, 0.3, 0.1, 0.03):
        tried = random.normal(size=(400, PROBLEMS, FEATURES))
        if norm == 1:
            tried *= random.uniform(size=tried.shape) < 0.4
        if norm == np.inf and spread == np.inf:
            tried = np.sign(tried)
        if spread < np.inf:
            tried = change + spread * size[:, None] / FEATURES * tried
        norms = lengths(tried, norm)[..., None]
        tried *= size[:, None] / np.where(norms > 0, norms, 1)
        moved = x + tried
        if boxed:
            # Moving back to the box makes no change longer.
            moved = np.clip(moved, 0, 1)
        after = scores_of(weights, bias, moved)
        assert (after.argmax(axis=2) == top).all()
        others = np.where(np.arange(CLASSES) == top[:, None], -np.inf, after)
        own = np.take_along_axis(after, top[None, :, None], axis=2)[..., 0]
        smallest_lead = np.minimum(smallest_lead, (own - others.max(2)).min(0))
    # The search came close: it would have found a radius that is too large by 3 %.
    before = np.sort(scores_of(weights, bias, x), axis=1)
    left = smallest_lead / (before[:, -1] - before[:, -2])
    assert np.median(left[np.isfinite(radius)]) < 0.03


@every_case
def test_radii_are_those_of_general_solvers(problems, norm, boxed):
    """A linear program a class for L1 and Linf, bounded least squares for L2."""
    radius = np.asarray(found(problems, norm, boxed).radius)
    for number in range(0, PROBLEMS, 10):
        weights, bias, x = (part[number].astype(np.float64) for part in problems)
        scores = weights @ x + bias
        top = int(scores.argmax())
        expected = min(
            _by_solver(
                weights[j] - weights[top], scores[top] - scores[j], x, norm, boxed
            )
            for j in range(CLASSES)
            if j != top
        )
        assert radius[number] == pytest.approx(expected, rel=2e-4), number


def _by_solver(direction, lead, x, norm, boxed):
    bounds = list(zip(-x, 1 - x, strict=True)) if boxed else [(None, None)] * FEATURES
    if norm == 2:
        reachable = np.maximum(direction * (1 - x), -direction * x).sum()
        if boxed and reachable < lead:
            return np.inf
        # A large weight on what is missing of the lead makes it a constraint.
        rows = np.vstack([np.eye(FEATURES), 1e4 * direction])
        target = np.append(np.zeros(FEATURES), 1e4 * lead)
        # An empty interval would be refused.
        ends = np.array(
            [
                (-np.inf, np.inf) if low is None else (low - 1e-9, high + 1e-9)
                for low, high in bounds
            ]
        ).T
        solved = optimize.lsq_linear(
            rows, target, bounds=ends, method="bvls", tol=1e-14
        )
        return np.linalg.norm(solved.x)
    # Variables: the change, and sizes that bound it from both sides.
    count = FEATURES if norm == 1 else 1
    spread = np.eye(FEATURES) if norm == 1 else np.ones((FEATURES, 1))
    upper = np.block(
        [
            [np.eye(FEATURES), -spread],
            [-np.eye(FEATURES), -spread],
            [-direction[None], np.zeros((1, count))],
        ]
    )
    solved = optimize.linprog(
        np.append(np.zeros(FEATURES), np.ones(count)),
        A_ub=upper,
        b_ub=np.append(np.zeros(2 * FEATURES), -lead),
        bounds=[*bounds, *[(0, None)] * count],
    )
    return solved.fun if solved.status == 0 else np.inf


def test_some_boxes_hold_no_other_label(problems):
    """The norm does not decide if a label can change at all."""
    infinite = [np.isinf(found(problems, norm, True).radius) for norm in NORMS]
    assert 0 < infinite[0].sum() < PROBLEMS / 4
    for other in infinite[1:]:
        np.testing.assert_array_equal(infinite[0], other)


def test_row_14_the_euclidean_radius_is_the_least_signed_distance(problems):
    weights, bias, x = problems
    params = linear.Params(weights, bias)

    def to_others(params, x):
        return hyperplanes.signed_distances(params, x, linear.predict(params, x))

    distances = np.asarray(jax.jit(jax.vmap(to_others))(params, x))
    radius = found(problems, 2, False).radius
    np.testing.assert_allclose(radius, distances.min(axis=1), rtol=1e-4)


@pytest.mark.parametrize("norm", NORMS)
def test_a_box_out_of_reach_changes_nothing(problems, norm):
    far = found(problems, norm, True, box=(-1e4, 1e4))
    free = found(problems, norm, False)
    np.testing.assert_allclose(far.radius, free.radius, rtol=1e-4)
    np.testing.assert_array_equal(far.label, free.label)
    np.testing.assert_allclose(far.change, free.change, rtol=1e-3, atol=1e-3)


@pytest.mark.full
@pytest.mark.parametrize("norm", NORMS)
def test_many_pixels_in_float32_are_those_of_float64(norm):
    """3,072 raw pixels, many of them black or white."""
    random = np.random.default_rng(2)
    weights = random.normal(size=(1, 3, 3072)) / 255
    x = np.clip(random.normal(128, 160, size=(1, 3072)), 0, 255).round()
    bias = np.array([0.0, 25.0, 60.0]) - np.einsum("bcd,bd->bc", weights, x)
    problem = weights, bias, x
    single = found([part.astype(np.float32) for part in problem], norm, True, (0, 255))
    with jax.enable_x64(True):
        double = found(problem, norm, True, (0, 255))
        assert double.radius.dtype == jnp.float64
    np.testing.assert_allclose(single.radius, np.asarray(double.radius), rtol=1e-4)
    assert single.label == double.label == 1


@every_case
def test_classes_of_one_template_ties_and_nan(norm, boxed):
    """Three examples of shapes that the other tests have compiled."""
    weights = np.zeros((PROBLEMS, CLASSES, FEATURES), np.float32)
    bias = np.zeros((PROBLEMS, CLASSES), np.float32)
    x = np.full((PROBLEMS, FEATURES), 0.5, np.float32)
    weights[0], bias[0, 2] = 1.0, 1.0
    weights[1, 0, 0], weights[1, 1, 1], bias[1, 2:] = 1.0, 1.0, -9.0
    weights[2, 0], x[2, 3] = 1.0, np.nan
    radius, label, change = map(np.asarray, found((weights, bias, x), norm, boxed))
    assert radius[0] == np.inf
    assert not change[0].any()
    assert (radius[1], label[1]) == (0, 1)
    assert np.isnan(radius[2])


def test_robust_accuracy_counts_what_survives(problems):
    radius = np.asarray(found(problems, 2, False).radius)
    correct = np.arange(PROBLEMS) % 3 > 0
    sizes = np.array([0.0, 0.1, 0.5, 100.0], np.float32)
    share = robustness.robust_accuracy(radius.tolist(), correct, sizes)
    share = share._make(map(np.asarray, share))
    assert share.count.tolist() == [PROBLEMS] * 4
    for size, total in zip(sizes, share.total.tolist(), strict=True):
        by_hand = [
            bool(right) and r > size for right, r in zip(correct, radius, strict=True)
        ]
        assert total == sum(by_hand)
    assert share.total.tolist() == sorted(share.total.tolist(), reverse=True)
    assert share.value[0] == pytest.approx(correct.mean())
    assert share.value[-1] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"norm": 3}, "norm must be 1, 2 or infinity, got 3"),
        ({"norm": "l2"}, "norm must be 1, 2 or infinity, got 'l2'"),
        (
            {"norm": 2, "low": 0.0},
            "low and high must be given together or not at all, got 0.0 and None",
        ),
        ({"norm": 2, "low": 2.0, "high": 1.0}, "low must be at most high, got 2.0"),
        (
            {"norm": 2, "low": np.zeros(2), "high": np.array([1.0, -1.0])},
            "low must be at most high",
        ),
        (
            {"norm": 2, "low": math.nan, "high": 1.0},
            "low must be at most high, got nan",
        ),
        (
            {"norm": 2, "low": jnp.zeros(3), "high": 1.0},
            r"low must have shape \(\) or \(2,\), got shape \(3,\)",
        ),
    ],
)
def test_bad_input(arguments, words):
    params = linear.Params(jnp.eye(2), jnp.zeros(2))
    with pytest.raises(ValueError, match=words):
        robustness.smallest_perturbation(params, jnp.ones(2), **arguments)


@pytest.mark.parametrize("norm", [1, 2, pytest.param(math.inf, marks=pytest.mark.full)])
def test_the_gradient_in_the_parameters_is_that_of_differences(norm):
    draw = np.random.default_rng(8)
    weights = draw.normal(size=(3, 4)).astype(np.float32)
    params = Params(weights, np.zeros(3, np.float32))
    x = draw.normal(size=4).astype(np.float32)

    @jax.jit
    @jax.value_and_grad
    def radius(weights):
        return robustness.smallest_perturbation(
            params._replace(weights=weights), x, norm=norm
        ).radius

    slope = np.asarray(radius(weights)[1])
    step = np.asarray(1e-3 * draw.normal(size=(3, 4)), np.float32)
    ahead, behind = (float(radius(weights + sign * step)[0]) for sign in (1, -1))
    expected = float(np.sum(slope * step))
    assert (ahead - behind) / 2 == pytest.approx(expected, rel=0.02)


def test_tiny_weights_change_no_radius_in_a_box():
    """Three examples of shapes that the other tests have compiled."""
    weights = np.zeros((PROBLEMS, CLASSES, FEATURES), np.float32)
    bias = np.zeros((PROBLEMS, CLASSES), np.float32)
    x = np.full((PROBLEMS, FEATURES), 0.5, np.float32)
    x[:3, :2] = [0.4, 0.6]
    for number, scale in enumerate([1.0, 1e-23, 1e19]):
        # Of four classes, two that nothing in the box reaches.
        weights[number, :2, :2] = scale * np.array([[1.0, 0.5], [-1.0, 0.2]])
        bias[number] = scale * np.array([-0.2, 0.0, -9.0, -9.0])
    expected, *others = found((weights, bias, x), 2, True).radius[:3].tolist()
    assert 0 < expected < 1
    assert others == pytest.approx([expected] * 2, rel=1e-5)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (([1.0, 2.0], [True, False], 0.5), r"\(2,\), \(2,\) and \(\)$"),
        (([1.0, 2.0], [True], [0.5]), r"got \(2,\), \(1,\) and \(1,\)"),
        (([1.0, 2.0], [3, 7], [0.5]), "correct must be boolean, got int32"),
    ],
)
def test_bad_radii(given, words):
    with pytest.raises(ValueError, match=words):
        robustness.robust_accuracy(*given)


@pytest.mark.parametrize(
    ("shape", "words"),
    [((2, 2), "features must be of one example"), ((3,), "must have 2 entries, got 3")],
)
def test_several_examples_or_another_width(shape, words):
    params = linear.Params(jnp.eye(2), jnp.zeros(2))
    with pytest.raises(ValueError, match=words):
        robustness.smallest_perturbation(params, jnp.ones(shape), norm=2)


def test_numpy_float64_counts_as_float32():
    """Float64 weights like those of polished fits; a warning would fail the test."""
    params = Params(np.array([[1.0, 0.0], [0.0, 1.0]]), np.zeros(2))
    fitted = Normalization(np.zeros(2), 1.0)

    @jax.jit
    def both():
        folded = linear.fold_normalization(params, fitted)
        x = np.array([0.0, 1.0])
        smallest = functools.partial(robustness.smallest_perturbation, norm=2)
        return folded, smallest(folded, x).radius, smallest(params, x).radius

    folded, found, direct = both()
    assert folded.weights.dtype == found.dtype == jnp.float32
    assert float(found) == pytest.approx(0.5**0.5)
    assert float(direct) == float(found)
