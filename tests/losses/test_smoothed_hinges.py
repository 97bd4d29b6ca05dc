"""The duals of the smoothed losses, and what smoothing costs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from conjugate_problems import (
    cases,
    every_entry,
    every_hinge,
    in_box,
    in_capped_simplex,
    not_negative,
    on_simplex,
    over_dtypes,
    over_sizes,
    over_small_sizes,
)

from jaxlin import losses
from jaxlin.losses import conjugates

pytestmark = pytest.mark.usefixtures("float64")


def linear_part(entry, scores, label):
    """Slopes of <s, u(g)> - conjugate, which is linear in g, one unit vector each."""
    points, values = map(np.asarray, at_units(entry)(label, np.eye(len(scores))))
    return points @ scores - values


@functools.cache
def at_units(entry):
    def one(label, unit):
        point = entry.conjugate.score_gradient(label, unit)
        return point, entry.conjugate.value(label, unit, **entry.arguments)

    return jax.jit(jax.vmap(one, (None, 0)))


@functools.cache
def parameters_of(entry):
    """The duals and their excess, compiled as one."""

    def both(scores, target, dual_center, smoothing):
        duals = entry.conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **entry.arguments
        )
        excess = entry.conjugate.excess(scores, target, duals, **entry.arguments)
        return duals, excess

    return jax.jit(both)


def smoothed_cases(entry, seed, sizes, **settings):
    generator = np.random.default_rng(seed + 1000)
    for scores, _, label, duals in cases(entry, seed, sizes, **settings):
        dual_center = duals
        if generator.uniform() < 0.5:
            dual_center = generator.normal(size=len(scores)) * 3
        smoothing = 10 ** generator.uniform(-2, 1)
        yield scores, label, dual_center, smoothing, duals


@every_hinge
@over_small_sizes
def test_parameters_agree_with_a_general_optimiser(entry, sizes):
    for scores, label, dual_center, smoothing, start in smoothed_cases(
        entry, 4, sizes, count=18, scales=(0.3, 1.0, 3.0)
    ):
        slopes = linear_part(entry, scores, label)

        def negative(g, slopes=slopes, smoothing=smoothing, dual_center=dual_center):
            # In units of the smoothing, so that the curvature is 1.
            return ((g - dual_center) ** 2).sum() / 2 - slopes @ g / smoothing

        limits = [(0.0, 1.0)] * len(scores)
        if entry.loss is not losses.one_vs_rest_hinge:
            limits[label] = (0.0, 0.0)
        sums = {"type": "ineq", "fun": lambda g: 1 - g.sum()}
        is_simplex = entry.loss is losses.crammer_singer_hinge
        found = scipy.optimize.minimize(
            negative,
            start,
            jac=lambda g, s=slopes, m=smoothing, c=dual_center: g - c - s / m,
            method="SLSQP",
            bounds=limits,
            constraints=[sums] if is_simplex else [],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        duals, _ = parameters_of(entry)(scores, label, dual_center, smoothing)
        np.testing.assert_allclose(duals, found.x, atol=2e-6)


@every_hinge
@over_sizes
def test_no_direction_inside_the_domain_improves_the_parameters(entry, sizes):
    """The variational inequality <gradient at g, g' - g> <= 0 for all g'."""
    generator = np.random.default_rng(5)
    for scores, label, dual_center, smoothing, _ in smoothed_cases(entry, 5, sizes):
        g = np.asarray(parameters_of(entry)(scores, label, dual_center, smoothing)[0])
        gradient = linear_part(entry, scores, label) - smoothing * (g - dual_center)
        others = np.stack(
            [entry.draw(generator, len(scores), label) for _ in range(200)]
        )
        size = 1 + np.abs(gradient).max() * len(scores)
        assert ((others - g) @ gradient).max() <= 1e-13 * size


@over_dtypes(jnp.float32, jnp.float64)
@pytest.mark.parametrize(
    "counts", [(3, 100), pytest.param((2,), marks=pytest.mark.full)]
)
def test_parameters_stay_in_the_domain_whatever_the_scores_and_centers(
    entry, dtype, counts
):
    generator = np.random.default_rng(6)
    digits = float(jnp.finfo(dtype).eps)

    @jax.jit
    def of(scores, target, dual_center):
        g = entry.conjugate.duals(scores, target, dual_center, smoothing=0.01)
        return g, entry.conjugate.score_gradient(target, g)

    for i in range(200):
        classes = counts[i % len(counts)]
        label, target = entry.target(generator, classes)
        sizes = 10.0 ** generator.uniform(-6, 9, size=2)
        scores = np.asarray(generator.normal(size=classes) * sizes[0], dtype)
        dual_center = np.asarray(generator.normal(size=classes) * sizes[1], dtype)
        duals, point = of(scores, target, dual_center)
        assert duals.dtype == dtype
        g = np.asarray(duals, np.float64)
        assert (g >= 0).all()
        if entry.draw in (in_box, in_capped_simplex, not_negative):
            assert g[label] == 0
        if entry.draw is not not_negative:
            assert g.max() <= 1
        if entry.draw in (in_capped_simplex, on_simplex):
            assert g.sum() <= 1 + 4 * digits
        if entry.draw is on_simplex:
            np.testing.assert_allclose(g.sum(), 1, atol=4 * digits)
        point = np.asarray(point, np.float64)
        if entry.loss is not losses.one_vs_rest_hinge:
            assert abs(point.sum()) <= 4 * digits * max(1, np.abs(point).sum())


def test_the_projection_fills_the_simplex_however_large_the_scores():
    """At 1e9 a float32 threshold below the largest score is that score, and g is 0."""
    scores = np.array([0.0, 1e9, 1e9, -1e9], np.float32)
    project = jax.jit(conjugates.crammer_singer_hinge.duals)
    duals = project(scores, 0, np.zeros(4), smoothing=0.01)
    np.testing.assert_array_equal(duals, [0, 0.5, 0.5, 0])


def smoothed_loss(entry, scores, target, dual_center, smoothing):
    """The smoothed loss as a function of the scores alone."""
    duals = entry.conjugate.duals(
        scores, target, dual_center, smoothing=smoothing, **entry.arguments
    )
    return entry.conjugate.smoothed(
        scores, target, duals, dual_center, smoothing=smoothing, **entry.arguments
    )


@functools.cache
def slopes_of(entry):
    """The smoothed loss, its gradient in the scores, and the point, as one program."""

    def every(scores, target, dual_center, smoothing):
        value, gradient = jax.value_and_grad(
            lambda s: smoothed_loss(entry, s, target, dual_center, smoothing)
        )(scores)
        found = entry.conjugate.duals(
            scores, target, dual_center, smoothing=smoothing, **entry.arguments
        )
        return value, gradient, entry.conjugate.score_gradient(target, found)

    return jax.jit(every)


@every_entry
@over_sizes
def test_gradient_of_the_smoothed_loss_is_the_point(entry, sizes):
    """Danskin: the maximiser's own derivative adds nothing."""
    generator = np.random.default_rng(7)
    for scores, target, _, duals in cases(entry, 7, sizes, scales=(0.3, 3.0)):
        dual_center = duals + generator.normal(size=len(duals))
        _, gradient, point = slopes_of(entry)(scores, target, dual_center, 0.5)
        np.testing.assert_allclose(gradient, point, rtol=1e-9, atol=1e-12)


@every_hinge
@over_sizes
def test_smoothed_loss_lies_below_the_loss_by_no_more_than_its_bound(entry, sizes):
    for scores, target, _, _ in cases(entry, 8, sizes):
        loss = entry.reference(scores, target, **entry.arguments)
        dual_center = np.zeros(len(scores))
        previous = -np.inf
        for smoothing in (10.0, 1.0, 0.1, 1e-3, 1e-7):
            value = float(slopes_of(entry)(scores, target, dual_center, smoothing)[0])
            below = smoothing / 2 * entry.largest_square(len(scores))
            tolerance = 1e-14 * (1 + abs(loss))
            assert -tolerance <= loss - value <= below + tolerance
            assert value >= previous - tolerance
            previous = value
        np.testing.assert_allclose(value, loss, rtol=1e-6, atol=1e-5)


@every_hinge
@over_sizes
def test_excess_for_center_zero_is_at_most_the_smoothing_times_a_constant(entry, sizes):
    largest = 0.0

    @jax.jit
    def excess_of(scores, label):
        dual_center = jnp.zeros(len(scores))
        duals = entry.conjugate.duals(scores, label, dual_center, smoothing=0.4)
        return entry.conjugate.excess(scores, label, duals)

    for scores, label, _, _ in cases(entry, 9, sizes, count=60, scales=(0.3,)):
        # Around the kinks of all the losses, whose margin is 1 here.
        scores[label] += 1
        scores = scores - (entry.loss is losses.one_vs_rest_hinge)
        excess = float(excess_of(scores, label))
        bound = 0.4 * entry.largest_excess(len(scores))
        assert excess <= bound * (1 + 1e-12)
        largest = max(largest, excess / bound)
    assert largest > 0.3


def test_the_bound_of_the_excess_is_attained_half_way():
    """A violation of half the smoothing costs a quarter of it."""
    smoothing = 0.5
    scores = np.array([0.0, -0.75, -9.0])  # violations .25, below 0
    conjugate = conjugates.weston_watkins_hinge

    @jax.jit
    def both(scores):
        found = conjugate.duals(scores, 0, jnp.zeros(3), smoothing=smoothing)
        return found, conjugate.excess(scores, 0, found)

    duals, excess = both(scores)
    np.testing.assert_array_equal(duals, [0, 0.5, 0])
    assert excess == smoothing / 4


@every_hinge
@over_sizes
def test_the_maximiser_as_the_next_center_drives_the_excess_to_zero(entry, sizes):
    """The proximal point algorithm needs no smaller smoothing: Rockafellar, 1976."""
    for scores, target, _, _ in cases(entry, 10, sizes, count=8, scales=(1.0, 3.0)):
        dual_center = np.zeros(len(scores))
        for _ in range(400):
            dual_center, excess = parameters_of(entry)(scores, target, dual_center, 1.0)
        assert excess <= 1e-12
