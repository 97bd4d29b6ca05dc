"""One contract over all conjugates, held against definitions, solvers and theorems."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from conjugate_problems import (
    ENTRIES,
    MARGIN,
    SMOOTH,
    cases,
    definition,
    every_entry,
    every_hinge,
    every_smooth_entry,
    everything,
    over_sizes,
    over_small_sizes,
    point_and_value,
)

from jaxlin import losses
from jaxlin.losses import conjugates, transforms

pytestmark = pytest.mark.usefixtures("float64")


def test_there_is_a_conjugate_of_every_loss_and_of_no_other():
    for name, entry in ENTRIES.items():
        assert conjugates.of(entry.loss) is getattr(conjugates, name)
        assert entry.conjugate.smooth == (entry in SMOOTH)
    scaled = transforms.mean_over_all_classes(losses.weston_watkins_hinge)
    with pytest.raises(ValueError, match=r"loss must be .*crammer_singer_hinge.*got"):
        conjugates.of(scaled)
    with pytest.raises(ValueError, match=r"got mean_over_all_classes\(weston"):
        conjugates.of(scaled)


@every_entry
@over_sizes
def test_excess_is_its_definition_and_never_negative(entry, sizes):
    """Fenchel-Young inequality, at points anywhere in the domain."""
    positive = 0
    excess_of = jax.jit(entry.conjugate.excess)
    for scores, target, _, duals in cases(entry, 0, sizes, count=48):
        # Probabilities below the smallest float64 have no logarithm in the reference.
        is_likelihood = not entry.arguments
        scores = np.clip(scores, -300, 300) if is_likelihood else scores
        excess = excess_of(scores, target, duals, **entry.arguments)
        assert excess.shape == ()
        excess = float(excess)
        assert excess >= 0
        size = 1 + np.abs(scores).max() * (1 + np.abs(duals).sum())
        np.testing.assert_allclose(
            excess, definition(entry, scores, target, duals), atol=1e-14 * size
        )
        positive += excess > 1e-3
    assert positive > 24


@every_smooth_entry
@over_sizes
def test_smooth_parameters_are_those_of_the_gradient(entry, sizes):
    """Fenchel-Young equality; dual_center and smoothing are ignored."""
    conjugate = entry.conjugate

    @jax.jit
    def every(scores, target, dual_center):
        loss = functools.partial(entry.loss, **entry.arguments)
        more = {"smoothing": 0.3, **entry.arguments}
        found = conjugate.duals(scores, target, dual_center, **more)
        return (
            conjugate.score_gradient(target, found),
            jax.grad(loss)(scores, target),
            conjugate.excess(scores, target, found, **entry.arguments),
            conjugate.smoothed(scores, target, found, dual_center, **more),
            loss(scores, target),
        )

    for scores, target, _, dual_center in cases(entry, 1, sizes):
        found = map(np.asarray, every(scores, target, dual_center))
        point, gradient, excess, smoothed, loss = found
        np.testing.assert_allclose(point, gradient, rtol=1e-11, atol=1e-15)
        scale = 1 + np.abs(scores).max()
        assert 0 <= excess <= len(scores) * (1e-15 * scale) ** 2
        assert smoothed == loss


def test_softmax_points_keep_their_digits_when_sure_and_right():
    """Probability minus one would be 0 in float32."""
    scores = np.array([30.0, 0.0, 1.0], np.float32)
    conjugate = conjugates.softmax_cross_entropy

    @jax.jit
    def point(scores):
        found = conjugate.duals(scores, 0, jnp.zeros(3), smoothing=1)
        return conjugate.score_gradient(0, found)

    exact = np.exp([-30.0, -29.0])
    expected = [-exact.sum(), *exact]
    np.testing.assert_allclose(point(scores), expected, rtol=1e-5)


# --- The conjugate as what it is: a supremum over scores, found by another program.


def hinge_supremum(name, point, label):
    """Linear program over scores and slacks; None where it is unbounded."""
    classes = len(point)
    wrong = [j for j in range(classes) if j != label]
    rows, slacks = [], []
    for j in range(classes) if name == "one_vs_rest_hinge" else wrong:
        row = np.zeros(classes)
        row[j] = 1
        if name != "one_vs_rest_hinge":
            row[label] = -1
        elif j == label:
            row[j] = -1
        rows.append(row)
        slacks.append(0 if name == "crammer_singer_hinge" else len(slacks))
    slack = -np.eye(max(slacks) + 1)[slacks]
    # max <u, s> - sum(slack) with margin + row . s <= slack and 0 <= slack.
    result = scipy.optimize.linprog(
        np.concatenate([-point, np.ones(slack.shape[1])]),
        A_ub=np.hstack([rows, slack]),
        b_ub=np.full(len(rows), -MARGIN),
        bounds=[(None, None)] * classes + [(0, None)] * slack.shape[1],
    )
    assert result.status in (0, 2, 3, 4), result.message
    return -result.fun if result.status == 0 else None


@every_hinge
@over_small_sizes
def test_value_of_a_hinge_is_the_supremum_found_by_a_linear_program(entry, sizes):
    for _, _, label, duals in cases(entry, 2, sizes, count=20):
        point, value = map(np.asarray, point_and_value(entry)(label, duals))
        supremum = hinge_supremum(entry.loss.__name__, point, label)
        np.testing.assert_allclose(value, supremum, atol=1e-8)


@every_hinge
def test_outside_the_parameters_domain_the_supremum_is_infinite(entry):
    """So the duals describe the domain itself, not a part of it."""
    for outside in ([0, 1.2, 0.0], [0, 0.5, -0.1]):
        point = np.asarray(entry.conjugate.score_gradient(0, np.array(outside)))
        assert hinge_supremum(entry.loss.__name__, point, 0) is None


@every_smooth_entry
@over_small_sizes
def test_value_of_a_smooth_loss_is_the_supremum_found_by_bfgs(entry, sizes):
    for _, target, label, duals in cases(entry, 3, sizes, count=9):
        # Inside the domain, where the supremum is attained.
        duals = np.maximum(duals, 0.1)
        if entry.loss is losses.weston_watkins_squared_hinge:
            duals[label] = 0
        else:
            duals /= duals.sum()
        point, value = map(np.asarray, point_and_value(entry)(target, duals))

        def negative(scores, target=target, point=point):
            loss = entry.reference(scores, target, **entry.arguments)
            return loss - point @ scores

        found = scipy.optimize.minimize(negative, np.zeros(len(point)))
        np.testing.assert_allclose(value, -found.fun, atol=1e-8)


# --- Theorems between losses.


def test_the_two_multiclass_hinges_agree_on_two_classes():
    generator = np.random.default_rng(14)
    both = [
        jax.jit(lambda s, c, entry=ENTRIES[name]: everything(entry, s, 1, c, 0.5, {}))
        for name in ("weston_watkins_hinge", "crammer_singer_hinge")
    ]
    for _ in range(20):
        scores, dual_center = generator.normal(size=(2, 2))
        first, second = (compiled(scores, dual_center) for compiled in both)
        for one, other in zip(first, second, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_a_one_hot_target_is_its_label():
    generator = np.random.default_rng(15)
    of_label, of_target = (
        jax.jit(lambda *given, entry=ENTRIES[name]: everything(entry, *given, 1.0, {}))
        for name in ("softmax_cross_entropy", "cross_entropy")
    )
    for label in range(3):
        scores, dual_center = generator.normal(size=(2, 3))
        by_label = of_label(scores, label, dual_center)
        by_target = of_target(scores, np.eye(3)[label], dual_center)
        for one, other in zip(by_label, by_target, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
