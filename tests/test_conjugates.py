"""One contract over all conjugates, held against definitions, solvers and theorems."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import references
import scipy.optimize
import scipy.special

from jaxlin import conjugates, loss_transforms, losses

MARGIN = 0.7
PLATFORMS = ("cpu", "cuda", "tpu")


class Entry(NamedTuple):
    """A loss, a plain reference of it and the domain of its conjugate's parameters."""

    loss: Any
    reference: Any
    # (generator, classes, label) to random parameters, often on the boundary.
    draw: Any
    # classes to the largest |g|^2 of the domain; None for a smooth loss.
    largest_square: Any = None
    # classes to a bound of the excess over the smoothing, for center 0.
    largest_excess: Any = None

    @property
    def conjugate(self):
        return conjugates.of(self.loss)

    @property
    def arguments(self):
        has_margin = "hinge" in self.loss.__name__
        return {"margin": MARGIN} if has_margin else {}

    def target(self, generator, classes):
        label = int(generator.integers(classes))
        if self.loss is not losses.cross_entropy:
            return label, label
        target = generator.dirichlet(np.full(classes, 0.5))
        target[label] = 0
        return label, target / target.sum()


def squared(scores, label, margin):
    return references.weston_watkins(scores, label, margin, power=2)


def in_box(generator, classes, label):
    g = np.clip(generator.uniform(-0.5, 1.5, size=classes), 0, 1)
    g[label] = 0
    return g


def in_whole_box(generator, classes, label):
    return np.clip(generator.uniform(-0.5, 1.5, size=classes), 0, 1)


def not_negative(generator, classes, label):
    g = np.maximum(generator.normal(size=classes) * 2, 0)
    g[label] = 0
    return g


def on_simplex(generator, classes, label):
    q = generator.dirichlet(np.full(classes, 0.5))
    q[generator.uniform(size=classes) < 0.3] = 0
    if generator.uniform() < 0.2 or q.sum() == 0:
        q = np.eye(classes)[generator.integers(classes)]
    return q / q.sum()


def in_capped_simplex(generator, classes, label):
    """What is left after the right class is struck from a distribution."""
    q = on_simplex(generator, classes, label)
    q[label] = 0
    if generator.uniform() < 0.4 and q.sum() > 0:
        q /= q.sum()
    return q


ENTRIES = {
    entry.loss.__name__: entry
    for entry in (
        Entry(
            losses.weston_watkins_hinge,
            references.weston_watkins,
            in_box,
            largest_square=lambda classes: classes - 1,
            largest_excess=lambda classes: (classes - 1) / 4,
        ),
        Entry(losses.weston_watkins_squared_hinge, squared, not_negative),
        Entry(
            losses.crammer_singer_hinge,
            references.crammer_singer,
            in_capped_simplex,
            largest_square=lambda classes: 1,
            largest_excess=lambda classes: 1 / 2,
        ),
        Entry(
            losses.one_vs_rest_hinge,
            references.one_vs_rest,
            in_whole_box,
            largest_square=lambda classes: classes,
            largest_excess=lambda classes: classes / 4,
        ),
        Entry(
            losses.softmax_cross_entropy, references.softmax_cross_entropy, on_simplex
        ),
        Entry(losses.cross_entropy, references.cross_entropy, on_simplex),
    )
}


def over(entries):
    return pytest.mark.parametrize("entry", entries, ids=lambda e: e.loss.__name__)


SMOOTH = [entry for entry in ENTRIES.values() if entry.largest_square is None]
HINGES = [entry for entry in ENTRIES.values() if entry.largest_square is not None]
every_entry = over(list(ENTRIES.values()))
every_smooth_entry = over(SMOOTH)
every_hinge = over(HINGES)
# Every number of classes is a program of its own.
over_sizes = pytest.mark.parametrize(
    "sizes", [(3,), pytest.param((2, 3, 10, 100), marks=pytest.mark.full)]
)
over_small_sizes = pytest.mark.parametrize(
    "sizes", [(3,), pytest.param((2, 3, 5), marks=pytest.mark.full)]
)


def over_dtypes(*dtypes):
    """Each loss with one of them, in turn; with all of them in the long run."""
    return pytest.mark.parametrize(
        ("entry", "dtype"),
        [
            pytest.param(
                entry,
                dtype,
                id=f"{entry.loss.__name__}-{dtype.__name__}",
                marks=[] if i % len(dtypes) == j else [pytest.mark.full],
            )
            for i, entry in enumerate(ENTRIES.values())
            for j, dtype in enumerate(dtypes)
        ],
    )


def cases(entry, seed, sizes, count=24, scales=(0.3, 3.0, 300.0)):
    """Scores, target, label and parameters, in NumPy float64."""
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = sizes[i % len(sizes)]
        label, target = entry.target(generator, classes)
        scores = generator.normal(size=classes) * scales[i // len(sizes) % len(scales)]
        yield scores, target, label, entry.draw(generator, classes, label)


@pytest.fixture(autouse=True, scope="module")
def _float64():
    """Arrays made from NumPy stay float64 unless a test says otherwise."""
    with jax.enable_x64(True):
        yield


def definition(entry, scores, target, parameters):
    """Loss plus conjugate minus inner product: the Fenchel-Young term as defined."""
    point = np.asarray(entry.conjugate.point(target, parameters))
    value = float(entry.conjugate.value(target, parameters, **entry.arguments))
    loss = entry.reference(scores, target, **entry.arguments)
    return loss + value - point @ scores


def test_there_is_a_conjugate_of_every_loss_and_of_no_other():
    for name, entry in ENTRIES.items():
        assert conjugates.of(entry.loss) is getattr(conjugates, name)
        assert entry.conjugate.smooth == (entry in SMOOTH)
    scaled = loss_transforms.mean_over_all_classes(losses.weston_watkins_hinge)
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
    for scores, target, _, parameters in cases(entry, 0, sizes, count=48):
        # Probabilities below the smallest float64 have no logarithm in the reference.
        is_likelihood = not entry.arguments
        scores = np.clip(scores, -300, 300) if is_likelihood else scores
        excess = excess_of(scores, target, parameters, **entry.arguments)
        assert excess.shape == ()
        assert excess >= 0
        size = 1 + np.abs(scores).max() * (1 + np.abs(parameters).sum())
        np.testing.assert_allclose(
            excess, definition(entry, scores, target, parameters), atol=1e-14 * size
        )
        positive += excess > 1e-3
    assert positive > 24


@every_smooth_entry
@over_sizes
def test_smooth_parameters_are_those_of_the_gradient(entry, sizes):
    """Fenchel-Young equality; center and smoothing are ignored."""
    gradient = jax.jit(jax.grad(entry.loss))
    excess_of = jax.jit(entry.conjugate.excess)
    for scores, target, _, parameters in cases(entry, 1, sizes):
        scores, center = jnp.asarray(scores), jnp.asarray(parameters)
        found = entry.conjugate.parameters(
            scores, target, center, smoothing=0.3, **entry.arguments
        )
        np.testing.assert_allclose(
            entry.conjugate.point(target, found),
            gradient(scores, jnp.asarray(target), **entry.arguments),
            rtol=1e-11,
            atol=1e-15,
        )
        excess = excess_of(scores, target, found, **entry.arguments)
        scale = 1 + float(jnp.max(jnp.abs(scores)))
        assert 0 <= excess <= len(scores) * (1e-15 * scale) ** 2
        smoothed = entry.conjugate.smoothed(
            scores, target, found, center, smoothing=0.3, **entry.arguments
        )
        assert smoothed == entry.loss(scores, jnp.asarray(target), **entry.arguments)


def test_softmax_points_keep_their_digits_when_sure_and_right():
    """Probability minus one would be 0 in float32."""
    scores = jnp.array([30.0, 0.0, 1.0], jnp.float32)
    conjugate = conjugates.softmax_cross_entropy
    parameters = conjugate.parameters(scores, 0, jnp.zeros(3), smoothing=1)
    exact = np.exp([-30.0, -29.0])
    expected = [-exact.sum(), *exact]
    np.testing.assert_allclose(conjugate.point(0, parameters), expected, rtol=1e-5)


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
    for _, _, label, parameters in cases(entry, 2, sizes, count=20):
        point = np.asarray(entry.conjugate.point(label, parameters))
        value = entry.conjugate.value(label, parameters, **entry.arguments)
        supremum = hinge_supremum(entry.loss.__name__, point, label)
        np.testing.assert_allclose(value, supremum, atol=1e-8)


@every_hinge
def test_outside_the_parameters_domain_the_supremum_is_infinite(entry):
    """So the parameters describe the domain itself, not a part of it."""
    for outside in ([0, 1.2, 0.0], [0, 0.5, -0.1]):
        point = np.asarray(entry.conjugate.point(0, np.array(outside)))
        assert hinge_supremum(entry.loss.__name__, point, 0) is None


@every_smooth_entry
@over_small_sizes
def test_value_of_a_smooth_loss_is_the_supremum_found_by_bfgs(entry, sizes):
    for _, target, label, parameters in cases(entry, 3, sizes, count=9):
        # Inside the domain, where the supremum is attained.
        parameters = np.maximum(parameters, 0.1)
        if entry.loss is losses.weston_watkins_squared_hinge:
            parameters[label] = 0
        else:
            parameters /= parameters.sum()
        point = np.asarray(entry.conjugate.point(target, parameters))

        def negative(scores, target=target, point=point):
            loss = entry.reference(scores, target, **entry.arguments)
            return loss - point @ scores

        found = scipy.optimize.minimize(negative, np.zeros(len(point)))
        value = entry.conjugate.value(target, parameters, **entry.arguments)
        np.testing.assert_allclose(value, -found.fun, atol=1e-8)


# --- The parameters of the smoothed hinges.


def linear_part(entry, scores, label):
    """Slopes of <s, u(g)> - conjugate, which is linear in g, one unit vector each."""
    slopes = []
    for unit in np.eye(len(scores)):
        point = np.asarray(entry.conjugate.point(label, unit))
        value = entry.conjugate.value(label, unit, **entry.arguments)
        slopes.append(point @ scores - float(value))
    return np.array(slopes)


def smoothed_cases(entry, seed, sizes, **settings):
    generator = np.random.default_rng(seed + 1000)
    for scores, _, label, parameters in cases(entry, seed, sizes, **settings):
        center = parameters
        if generator.uniform() < 0.5:
            center = generator.normal(size=len(scores)) * 3
        smoothing = 10 ** generator.uniform(-2, 1)
        yield scores, label, center, smoothing, parameters


@every_hinge
@over_small_sizes
def test_parameters_agree_with_a_general_optimiser(entry, sizes):
    for scores, label, center, smoothing, start in smoothed_cases(
        entry, 4, sizes, count=18, scales=(0.3, 1.0, 3.0)
    ):
        slopes = linear_part(entry, scores, label)

        def negative(g, slopes=slopes, smoothing=smoothing, center=center):
            # In units of the smoothing, so that the curvature is 1.
            return ((g - center) ** 2).sum() / 2 - slopes @ g / smoothing

        limits = [(0.0, 1.0)] * len(scores)
        if entry.loss is not losses.one_vs_rest_hinge:
            limits[label] = (0.0, 0.0)
        sums = {"type": "ineq", "fun": lambda g: 1 - g.sum()}
        is_simplex = entry.loss is losses.crammer_singer_hinge
        found = scipy.optimize.minimize(
            negative,
            start,
            jac=lambda g, s=slopes, m=smoothing, c=center: g - c - s / m,
            method="SLSQP",
            bounds=limits,
            constraints=[sums] if is_simplex else [],
            options={"ftol": 1e-14, "maxiter": 500},
        )
        parameters = entry.conjugate.parameters(
            jnp.asarray(scores), label, center, smoothing=smoothing, **entry.arguments
        )
        np.testing.assert_allclose(parameters, found.x, atol=2e-6)


@every_hinge
@over_sizes
def test_no_direction_inside_the_domain_improves_the_parameters(entry, sizes):
    """The variational inequality <gradient at g, g' - g> <= 0 for all g'."""
    generator = np.random.default_rng(5)
    for scores, label, center, smoothing, _ in smoothed_cases(entry, 5, sizes):
        g = np.asarray(
            entry.conjugate.parameters(
                jnp.asarray(scores),
                label,
                center,
                smoothing=smoothing,
                **entry.arguments,
            )
        )
        gradient = linear_part(entry, scores, label) - smoothing * (g - center)
        others = np.stack(
            [entry.draw(generator, len(scores), label) for _ in range(200)]
        )
        size = 1 + np.abs(gradient).max() * len(scores)
        assert ((others - g) @ gradient).max() <= 1e-13 * size


@over_dtypes(jnp.float32, jnp.float64)
def test_parameters_stay_in_the_domain_whatever_the_scores_and_centers(entry, dtype):
    generator = np.random.default_rng(6)
    digits = float(jnp.finfo(dtype).eps)
    parameters_of = jax.jit(entry.conjugate.parameters)
    for i in range(200):
        classes = (2, 3, 100)[i % 3]
        label, target = entry.target(generator, classes)
        sizes = 10.0 ** generator.uniform(-6, 9, size=2)
        scores = jnp.asarray(generator.normal(size=classes) * sizes[0], dtype)
        center = jnp.asarray(generator.normal(size=classes) * sizes[1], dtype)
        parameters = parameters_of(scores, target, center, smoothing=0.01)
        assert parameters.dtype == dtype
        g = np.asarray(parameters, np.float64)
        assert (g >= 0).all()
        if entry.draw in (in_box, in_capped_simplex, not_negative):
            assert g[label] == 0
        if entry.draw is not not_negative:
            assert g.max() <= 1
        if entry.draw in (in_capped_simplex, on_simplex):
            assert g.sum() <= 1 + 4 * digits
        if entry.draw is on_simplex:
            np.testing.assert_allclose(g.sum(), 1, atol=4 * digits)
        point = np.asarray(entry.conjugate.point(target, parameters), np.float64)
        if entry.loss is not losses.one_vs_rest_hinge:
            assert abs(point.sum()) <= 4 * digits * max(1, np.abs(point).sum())


def test_the_projection_fills_the_simplex_however_large_the_scores():
    """At 1e9 a float32 threshold below the largest score is that score, and g is 0."""
    scores = jnp.array([0.0, 1e9, 1e9, -1e9], jnp.float32)
    project = jax.jit(conjugates.crammer_singer_hinge.parameters)
    parameters = project(scores, 0, jnp.zeros(4), smoothing=0.01)
    np.testing.assert_array_equal(parameters, [0, 0.5, 0.5, 0])


def smoothed_loss(entry, scores, target, center, smoothing):
    """The smoothed loss as a function of the scores alone."""
    parameters = entry.conjugate.parameters(
        scores, target, center, smoothing=smoothing, **entry.arguments
    )
    return entry.conjugate.smoothed(
        scores, target, parameters, center, smoothing=smoothing, **entry.arguments
    )


@every_entry
@over_sizes
def test_gradient_of_the_smoothed_loss_is_the_point(entry, sizes):
    """Danskin: the maximiser's own derivative adds nothing."""
    generator = np.random.default_rng(7)
    gradient = jax.jit(jax.grad(lambda s, *rest: smoothed_loss(entry, s, *rest)))
    for scores, target, _, parameters in cases(entry, 7, sizes, scales=(0.3, 3.0)):
        scores = jnp.asarray(scores)
        center = jnp.asarray(parameters + generator.normal(size=len(parameters)))
        found = entry.conjugate.parameters(
            scores, target, center, smoothing=0.5, **entry.arguments
        )
        point = entry.conjugate.point(target, found)
        np.testing.assert_allclose(
            gradient(scores, target, center, 0.5), point, rtol=1e-9, atol=1e-12
        )


@every_hinge
@over_sizes
def test_smoothed_loss_lies_below_the_loss_by_no_more_than_its_bound(entry, sizes):
    for scores, target, _, _ in cases(entry, 8, sizes):
        loss = entry.reference(scores, target, **entry.arguments)
        center = jnp.zeros(len(scores))
        previous = -np.inf
        for smoothing in (10.0, 1.0, 0.1, 1e-3, 1e-7):
            value = smoothed_loss(entry, jnp.asarray(scores), target, center, smoothing)
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
    for scores, label, _, _ in cases(entry, 9, sizes, count=60, scales=(0.3,)):
        # Around the kinks of all the losses, whose margin is 1 here.
        scores[label] += 1
        scores = jnp.asarray(scores - (entry.loss is losses.one_vs_rest_hinge))
        center = jnp.zeros(len(scores))
        parameters = entry.conjugate.parameters(scores, label, center, smoothing=0.4)
        excess = entry.conjugate.excess(scores, label, parameters)
        bound = 0.4 * entry.largest_excess(len(scores))
        assert excess <= bound * (1 + 1e-12)
        largest = max(largest, float(excess / bound))
    assert largest > 0.3


def test_the_bound_of_the_excess_is_attained_half_way():
    """A violation of half the smoothing costs a quarter of it."""
    smoothing = 0.5
    scores = jnp.array([0.0, -0.75, -9.0])  # violations .25, below 0
    conjugate = conjugates.weston_watkins_hinge
    parameters = conjugate.parameters(scores, 0, jnp.zeros(3), smoothing=smoothing)
    np.testing.assert_array_equal(parameters, [0, 0.5, 0])
    assert conjugate.excess(scores, 0, parameters) == smoothing / 4


@every_hinge
@over_sizes
def test_the_maximiser_as_the_next_center_drives_the_excess_to_zero(entry, sizes):
    """The proximal point algorithm needs no smaller smoothing: Rockafellar, 1976."""
    parameters = jax.jit(entry.conjugate.parameters)
    for scores, target, _, _ in cases(entry, 10, sizes, count=8, scales=(1.0, 3.0)):
        scores = jnp.asarray(scores)
        center = jnp.zeros(len(scores))
        for _ in range(400):
            center = parameters(
                scores, target, center, smoothing=1.0, **entry.arguments
            )
        excess = entry.conjugate.excess(scores, target, center, **entry.arguments)
        assert excess <= 1e-12


# --- Numbers.

# In each the excess is far smaller than what its definition adds and subtracts.
CLOSE_CALLS = {
    "weston_watkins_hinge": ([1000.0, 999.004, 990.0], 0, [0.0, 0.4, 0.0]),
    "weston_watkins_squared_hinge": ([1000.0, 1000.5, 990.0], 0, [0.0, 3.01, 0.0]),
    "crammer_singer_hinge": ([1000.0, 1000.2, 1000.199], 0, [0.0, 0.3, 0.7]),
    "one_vs_rest_hinge": ([-1000.3, -900.0, -0.9999], 0, [0.9999999, 0.0, 0.3]),
    "softmax_cross_entropy": ([0.6932, 0.0, 0.0005], 0, [0.5, 0.25, 0.25]),
    "cross_entropy": ([0.6932, 0.0, 0.0005], [0.5, 0.5, 0.0], [0.5, 0.25, 0.25]),
}


@every_entry
def test_excess_keeps_digits_in_float32_that_its_definition_loses(entry):
    scores, target, parameters = CLOSE_CALLS[entry.loss.__name__]
    if isinstance(target, list):
        target = jnp.asarray(target, jnp.float32)

    def by_definition(scores, parameters):
        value = entry.conjugate.value(target, parameters)
        inner = jnp.sum(scores * entry.conjugate.point(target, parameters))
        return float(entry.loss(scores, target) + value - inner)

    narrow = [np.asarray(array, np.float32) for array in (scores, parameters)]
    scores, parameters = map(jnp.asarray, narrow)
    exact = by_definition(*[jnp.asarray(array, jnp.float64) for array in narrow])
    excess = entry.conjugate.excess(scores, target, parameters)
    assert excess.dtype == jnp.float32
    error = abs(float(excess) - exact)
    assert error < 1e-3 * exact
    assert abs(by_definition(scores, parameters) - exact) > 5 * error
    assert abs(by_definition(scores, parameters) - exact) > 1e-3 * exact


def test_divergence_agrees_with_fifty_decimal_digits():
    generator = np.random.default_rng(11)
    excess_of = jax.jit(conjugates.softmax_cross_entropy.excess)
    for i in range(150):
        classes = (3, 10)[i % 2]
        scores = generator.normal(size=classes) * 10 ** generator.uniform(-2, 1.5)
        moved = generator.normal(size=classes) * 10 ** generator.uniform(-6, 1.5)
        q = scipy.special.softmax(scores + moved)
        if i % 4 == 0:
            q[generator.integers(classes)] = 0
        excess = excess_of(scores, 0, q)
        exact = references.divergence_from_softmax(scores, q)
        np.testing.assert_allclose(excess, exact, rtol=1e-6)


def test_a_probability_too_small_for_a_logarithm_counts_as_zero():
    scores = jnp.zeros(2, jnp.float32)
    both = jax.jit(jax.value_and_grad(conjugates.cross_entropy.excess))
    for smallest in (0, 1e-45, 1e-40, 1.2e-38):
        q = jnp.asarray(np.array([smallest, 1], np.float32))
        value, gradient = both(scores, jnp.ones(2), q)
        np.testing.assert_allclose(value, np.log(2), rtol=1e-6)
        np.testing.assert_allclose(gradient, [0.5, -0.5], rtol=1e-6)


@every_entry
@over_sizes
def test_gradient_of_the_excess_is_gradient_of_the_loss_less_the_point(entry, sizes):
    """Also where a probability is 0, and at scores whose exponentials overflow."""
    excess = jax.jit(jax.grad(entry.conjugate.excess))
    gradient = jax.jit(jax.grad(entry.loss))
    for scores, target, _, parameters in cases(
        entry, 12, sizes, scales=(0.3, 3.0, 900.0)
    ):
        np.testing.assert_allclose(
            excess(scores, target, parameters, **entry.arguments),
            gradient(scores, jnp.asarray(target), **entry.arguments)
            - entry.conjugate.point(target, parameters),
            atol=1e-12,
        )


def everything(entry, scores, target, center, smoothing, arguments):
    """All five functions at the parameters of the smoothed loss."""
    conjugate, more = entry.conjugate, {"smoothing": smoothing, **arguments}
    parameters = conjugate.parameters(scores, target, center, **more)
    return (
        parameters,
        conjugate.point(target, parameters),
        conjugate.value(target, parameters, **arguments),
        conjugate.excess(scores, target, parameters, **arguments),
        conjugate.smoothed(scores, target, parameters, center, **more),
    )


def batch(entry, dtype, classes=4, count=3):
    generator = np.random.default_rng(13)
    targets = [entry.target(generator, classes)[1] for _ in range(count)]
    targets = np.asarray(targets)
    if targets.dtype == np.float64:
        targets = targets.astype(dtype)
    scores, centers = generator.normal(size=(2, count, classes))
    return jnp.asarray(scores, dtype), jnp.asarray(targets), jnp.asarray(centers, dtype)


@over_dtypes(jnp.bfloat16, jnp.float32)
def test_vmap_under_jit_equals_a_loop_and_keeps_the_dtype(entry, dtype):
    traces = []
    alone = jax.jit(lambda *rest: everything(entry, *rest))

    @jax.jit
    def mapped(scores, targets, centers, smoothing, arguments):
        traces.append(None)
        return jax.vmap(
            lambda s, t, c: everything(entry, s, t, c, smoothing, arguments)
        )(scores, targets, centers)

    rows = batch(entry, dtype)
    for smoothing, margin in ((0.5, 1.0), (2.0, 0.25)):
        # A float32 setting must not widen a bfloat16 result.
        smoothing = jnp.float32(smoothing)
        arguments = {"margin": jnp.float32(margin)} if entry.arguments else {}
        together = mapped(*rows, smoothing, arguments)
        for i, row in enumerate(zip(*rows, strict=True)):
            single = alone(*row, smoothing, arguments)
            for one, many in zip(single, together, strict=True):
                assert one.dtype == many.dtype == dtype
                digits = 20 * float(jnp.finfo(dtype).eps)
                np.testing.assert_allclose(
                    np.asarray(one, np.float64),
                    np.asarray(many[i], np.float64),
                    rtol=digits,
                    atol=digits,
                )
    assert len(traces) == 1


@every_entry
def test_lowers_for_every_platform(entry):
    scores, targets, centers = batch(entry, jnp.float32)

    def mapped(scores, targets, centers, smoothing):
        return jax.vmap(
            lambda s, t, c: everything(entry, s, t, c, smoothing, entry.arguments)
        )(scores, targets, centers)

    exported = jax.export.export(jax.jit(mapped), platforms=PLATFORMS)(
        scores, targets, centers, jnp.float32(1)
    )
    assert exported.platforms == PLATFORMS


@every_entry
def test_vectors_of_other_lengths_are_refused_while_tracing(entry):
    scores, longer = jnp.zeros(3), jnp.zeros(4)
    target = jnp.ones(3) / 3 if entry.loss is losses.cross_entropy else 0
    conjugate = entry.conjugate
    with pytest.raises(AssertionError):
        conjugate.excess(scores, target, longer)
    if not conjugate.smooth:
        with pytest.raises(AssertionError):
            conjugate.parameters(scores, target, longer, smoothing=1.0)
        with pytest.raises(AssertionError):
            conjugate.smoothed(scores, target, scores, longer, smoothing=1.0)


# --- Theorems between losses.


def test_the_two_multiclass_hinges_agree_on_two_classes():
    generator = np.random.default_rng(14)
    both = [
        jax.jit(lambda s, c, entry=ENTRIES[name]: everything(entry, s, 1, c, 0.5, {}))
        for name in ("weston_watkins_hinge", "crammer_singer_hinge")
    ]
    for _ in range(20):
        scores, center = jnp.asarray(generator.normal(size=(2, 2)))
        first, second = (compiled(scores, center) for compiled in both)
        for one, other in zip(first, second, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)


def test_a_one_hot_target_is_its_label():
    generator = np.random.default_rng(15)
    for label in range(3):
        scores, center = jnp.asarray(generator.normal(size=(2, 3)))
        by_label, by_target = (
            everything(ENTRIES[name], scores, target, center, 1.0, {})
            for name, target in (
                ("softmax_cross_entropy", label),
                ("cross_entropy", jnp.eye(3)[label]),
            )
        )
        for one, other in zip(by_label, by_target, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-14)
