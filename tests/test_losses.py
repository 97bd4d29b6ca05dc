"""One contract over all losses; references are loops and theorems."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references
from problems import LABEL_LOSSES

from jaxlin import loss_transforms, losses

every_label_loss = pytest.mark.parametrize(
    "entry", LABEL_LOSSES.values(), ids=LABEL_LOSSES.keys()
)
every_hinge = pytest.mark.parametrize(
    "entry",
    [entry for entry in LABEL_LOSSES.values() if entry.has_margin],
    ids=[name for name, entry in LABEL_LOSSES.items() if entry.has_margin],
)
every_dtype = pytest.mark.parametrize(
    "dtype", [jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64]
)


def random_cases(seed, count=42):
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = (2, 3, 10)[i % 3]
        yield generator.normal(size=classes) * 3, int(generator.integers(classes))


def in_batches(cases):
    """Cases of as many classes as arrays: all of them are one call of one program."""
    cases = list(cases)
    sizes = sorted({len(scores) for scores, _ in cases})
    of_size = [[case for case in cases if len(case[0]) == size] for size in sizes]
    return [tuple(map(np.array, zip(*some, strict=True))) for some in of_size]


def one_by_one(*batches):
    """Rows of batches of one form, a batch of each of ``batches`` after another."""
    for parts in zip(*batches, strict=True):
        yield from zip(*(np.asarray(x) for part in parts for x in part), strict=True)


@functools.cache
def of_batches(loss):
    """Value and gradient for every case of every batch, compiled as a whole."""

    one = jax.vmap(jax.value_and_grad(loss))
    return jax.jit(lambda batches: [one(*batch) for batch in batches])


@functools.cache
def values_of_batches(loss):
    """The value alone, which is traced in a third of the time."""
    one = jax.vmap(loss)
    return jax.jit(lambda batches: [(one(*batch),) for batch in batches])


@functools.cache
def of_labels(loss):
    """Value and gradient of the same scores for every label, compiled."""
    return jax.jit(jax.vmap(jax.value_and_grad(loss), in_axes=(None, 0)))


def by_label(loss, scores):
    """Value and gradient for the first three labels."""
    return tuple(map(np.asarray, of_labels(loss)(scores, np.arange(3))))


@every_label_loss
def test_equals_a_plain_loop(entry):
    batches = in_batches(random_cases(0))
    with jax.enable_x64(True):
        found = of_batches(entry.loss)(batches)
    for scores, label, value, _ in one_by_one(batches, found):
        np.testing.assert_allclose(
            value, entry.reference(scores, label), rtol=1e-12, atol=1e-15
        )


@every_hinge
def test_margin_is_a_traced_keyword(entry):
    traces = []

    @jax.jit
    def jitted(scores, label, margin):
        traces.append(None)
        return entry.loss(scores, label, margin=margin)

    scores = np.array([0.3, -1.2, 2.0, 0.4])
    for margin in (0.0, 0.5, 1.0, 3.0):
        np.testing.assert_allclose(
            jitted(jnp.asarray(scores, jnp.float32), 1, margin),
            entry.reference(scores, 1, margin),
            rtol=1e-6,
        )
    assert len(traces) == 1


@every_hinge
def test_margin_is_one_unless_given_and_positional_is_refused(entry):
    scores = jnp.array([0.3, -1.2, 2.0])
    assert entry.loss(scores, 0) == entry.loss(scores, 0, margin=1.0)
    with pytest.raises(TypeError):
        entry.loss(scores, 0, 1.0)


@every_label_loss
def test_vmap_equals_a_loop(entry):
    """The loop op by op, as a user may call it."""
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(20, 3)).astype(np.float32)
    labels = generator.integers(3, size=20)
    batch = jax.jit(jax.vmap(entry.loss))(scores, labels)
    single = [
        entry.loss(jnp.asarray(s), int(y)) for s, y in zip(scores, labels, strict=True)
    ]
    np.testing.assert_allclose(batch, np.stack(single), rtol=1e-6)


@every_label_loss
def test_gradient_equals_differences_of_the_reference(entry):
    batches = in_batches(random_cases(2))
    with jax.enable_x64(True):
        found = of_batches(entry.loss)(batches)
    for scores, label, _, gradient in one_by_one(batches, found):
        numerical = references.numerical_gradient(
            lambda moved, label=label: entry.reference(moved, label),
            scores,
            step=1e-4,
        )
        np.testing.assert_allclose(gradient, numerical, atol=1e-6)


@every_label_loss
def test_gradient_sums_to_zero_where_only_differences_count(entry):
    batches = in_batches(random_cases(3))
    moved = [(scores + 7.0, labels) for scores, labels in batches]
    with jax.enable_x64(True):
        here, there = map(of_batches(entry.loss), (batches, moved))
    for value, gradient, other, _ in one_by_one(here, there):
        shifted = other - value
        if entry.shift_invariant:
            np.testing.assert_allclose([gradient.sum(), shifted], 0, atol=1e-9)
        else:
            assert abs(shifted) > 1e-3


@every_label_loss
def test_convex_along_random_lines(entry):
    generator = np.random.default_rng(4)
    ends = in_batches(random_cases(5)), [], []
    shares = []
    for scores, labels in ends[0]:
        others = generator.normal(size=scores.shape) * 3
        t = generator.uniform(size=(len(scores), 1))
        ends[1].append((others, labels))
        ends[2].append((t * scores + (1 - t) * others, labels))
        shares.append((t[:, 0],))
    with jax.enable_x64(True):
        found = map(of_batches(entry.loss), ends)
        for a, _, b, _, between, _, t in one_by_one(*found, shares):
            chord = t * a + (1 - t) * b
            assert between <= chord + 1e-12


@every_label_loss
@every_dtype
def test_keeps_the_dtype_and_is_right_to_its_digits(entry, dtype):
    batches = [
        (scores.astype(dtype), labels.astype(np.int32))
        for scores, labels in in_batches(random_cases(6))
    ]
    with jax.enable_x64(True):
        found = values_of_batches(entry.loss)(batches)
    assert all(value.dtype == dtype for (value,) in found)
    digits = float(jnp.finfo(dtype).eps)
    for scores, label, value in one_by_one(batches, found):
        exact = entry.reference(scores.astype(np.float64), label)
        np.testing.assert_allclose(
            float(value), exact, rtol=10 * digits, atol=10 * digits
        )


@every_hinge
def test_a_float32_margin_does_not_widen_bfloat16(entry):
    found = jax.eval_shape(
        lambda scores, margin: entry.loss(scores, 0, margin=margin),
        jax.ShapeDtypeStruct((3,), jnp.bfloat16),
        jax.ShapeDtypeStruct((), jnp.float32),
    )
    assert found.dtype == jnp.bfloat16


@every_label_loss
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("size", [1e9, -1e9])
def test_finite_at_huge_scores(entry, dtype, size):
    values, gradients = by_label(entry.loss, np.array([size, 0.0, -size], dtype))
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert np.isfinite(gradients).all()


# Up to the edge of what is promised: differences of scores of 65,504.
EDGES = [
    [32752, 0, -32752],
    [65504, 0, 1],
    [0, -65504, -2],
    [255, 0, -1],
    [300, 100, 0],
    [0, 0, 0],
]


@every_label_loss
@pytest.mark.parametrize("scores", EDGES)
def test_float16_is_infinite_only_where_the_loss_is_too_large_for_it(entry, scores):
    """The float64 loop, rounded to float16 by NumPy, at the edge of the contract."""
    slopes = by_label(entry.loss, np.array(scores, np.float16))
    for label, value, gradient in zip(range(3), *slopes, strict=True):
        exact = np.logaddexp.reduce(scores) - scores[label]
        if entry.has_margin:
            exact = entry.reference(scores, label)
        # Half a unit above 65,504 NumPy too says inf.
        assert (value == np.inf) == (exact >= 65520)
        if exact < 65520:
            np.testing.assert_allclose(float(value), exact, rtol=3e-3, atol=1e-3)
            assert np.isfinite(gradient).all()
        assert not np.isnan(gradient).any()


@every_label_loss
def test_sums_over_many_classes_in_half_precision(entry):
    """Terms of 100 or so: 30 sum to what float16 holds, 3,000 do not."""
    rows, largest = [], []
    for num_classes in (30, 3000):
        for dtype, most in ((jnp.float16, 65504.0), (jnp.bfloat16, 3e38)):
            rows.append(np.full(num_classes, 100.0).astype(dtype))
            rows[-1][0] = 1.0
            largest.append(most)
    values = jax.jit(lambda rows: [entry.loss(row, 0) for row in rows])(rows)
    for row, value, most in zip(rows, map(float, values), largest, strict=True):
        exact = entry.reference(row.astype(np.float64), 0)
        if exact > most:
            assert value == np.inf
        else:
            np.testing.assert_allclose(value, exact, rtol=2e-2)


@every_label_loss
def test_a_label_that_is_no_class_gives_nan(entry):
    """Good scores among them, where any number would pass for a small loss."""
    labels = np.array([-1, 3, 4, -(2**31)])
    rows = np.array([[2, -1, 0.5], [-1, -1, -1], [0, -np.inf, -np.inf]], np.float32)
    both = (entry.loss, loss_transforms.sum_over_all_classes(entry.loss))
    for loss in both:
        every = jax.vmap(jax.vmap(loss, in_axes=(None, 0)), in_axes=(0, None))
        found = jax.jit(every)(rows, labels)
        assert found.shape == (3, 4)
        assert np.isnan(found).all()


@every_label_loss
def test_nan_scores_give_nan(entry):
    for position in range(3):
        scores = np.zeros(3, np.float32)
        scores[position] = np.nan
        values, _ = by_label(entry.loss, scores)
        assert np.isnan(values).all()


@every_label_loss
def test_a_masked_wrong_class_is_as_if_it_were_not_there(entry):
    scores = np.array([0.5, -0.25, 1.0], np.float32)
    value, gradient = by_label(entry.loss, np.append(scores, np.float32(-np.inf)))
    expected, slope = by_label(entry.loss, scores)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient[:, :3], slope, rtol=1e-6, atol=1e-7)
    assert (gradient[:, 3] == 0).all()


@every_label_loss
def test_a_masked_right_class_has_infinite_loss(entry):
    for others in ([0.5, 1.0], [-np.inf, 1.0]):
        values, _ = by_label(entry.loss, np.array([-np.inf, *others], np.float32))
        assert values[0] == np.inf


@every_hinge
def test_derivative_at_a_kink_is_that_of_the_inactive_side(entry):
    # Every wrong class lies exactly at the margin.
    scores = np.array([1, 0, 0] if entry.shift_invariant else [1, -1, -1], np.float32)
    values, gradients = by_label(entry.loss, scores)
    assert values[0] == 0
    np.testing.assert_array_equal(gradients[0], np.zeros(3))


def test_crammer_singer_shares_the_derivative_among_ties():
    scores = np.array([0.0, 2.0, 2.0, 1.0], np.float32)
    _, gradients = by_label(losses.crammer_singer_hinge, scores)
    np.testing.assert_allclose(gradients[0], [-1, 0.5, 0.5, 0])


def test_hinges_agree_on_two_classes():
    both = (losses.weston_watkins_hinge, losses.crammer_singer_hinge)
    programs = [jax.jit(jax.vmap(loss)) for loss in both]
    scores = np.array([[0.25, -0.5], [0.25, -0.5], [3.0, 0.0]], np.float32)
    first, second = (program(scores, np.array([0, 1, 0])) for program in programs)
    np.testing.assert_array_equal(first, second)


def test_crammer_singer_is_the_loss_that_optax_calls_multiclass_hinge():
    batches = [
        (scores.astype(np.float32), labels.astype(np.int32))
        for scores, labels in in_batches(random_cases(7))
    ]
    found = values_of_batches(losses.crammer_singer_hinge)(batches)
    each = jax.vmap(optax.losses.multiclass_hinge_loss)
    theirs = jax.jit(lambda batches: [each(*batch) for batch in batches])
    for (value,), expected in zip(found, theirs(batches), strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-6)


def test_softmax_keeps_its_digits_when_sure_and_right():
    """logsumexp(s) - s_y would be 0 or rounding noise here."""
    loss = losses.softmax_cross_entropy(jnp.array([40.0, 0.0, -1.0]), 0)
    exact = np.log1p(np.exp(-40.0) + np.exp(-41.0))
    np.testing.assert_allclose(loss, exact, rtol=1e-5)


def test_softmax_gradient_is_probability_minus_target():
    batches = in_batches(random_cases(8))
    with jax.enable_x64(True):
        found = of_batches(losses.softmax_cross_entropy)(batches)
    for scores, label, _, gradient in one_by_one(batches, found):
        target = np.eye(len(scores))[label]
        expected = np.array(references.softmax(scores)) - target
        np.testing.assert_allclose(gradient, expected, atol=1e-14)


def distributions(seed, count=30):
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = (2, 3, 8)[i % 3]
        target = generator.dirichlet(np.full(classes, 0.5))
        target[generator.integers(classes)] = 0.0
        yield generator.normal(size=classes) * 3, target / target.sum()


@functools.cache
def of_targets(loss):
    """Value and gradients in scores and target of every case, compiled as a whole."""
    one = jax.vmap(jax.value_and_grad(loss, argnums=(0, 1)))

    def every(batches):
        return [(value, *slopes) for value, slopes in (one(*b) for b in batches)]

    return jax.jit(every)


def test_cross_entropy_equals_a_plain_loop():
    batches = in_batches(distributions(9))
    with jax.enable_x64(True):
        found = of_targets(losses.cross_entropy)(batches)
    for scores, target, value, *_ in one_by_one(batches, found):
        np.testing.assert_allclose(
            value, references.cross_entropy(scores, target), rtol=1e-12
        )


def test_cross_entropy_gradient_is_probability_minus_target():
    batches = in_batches(distributions(10))
    for loss in (losses.cross_entropy, losses.kl_divergence):
        with jax.enable_x64(True):
            found = of_targets(loss)(batches)
        for scores, target, _, gradient, _ in one_by_one(batches, found):
            expected = np.array(references.softmax(scores)) - target
            np.testing.assert_allclose(gradient, expected, atol=1e-13)


def test_cross_entropy_gradient_in_the_target_is_the_surprise_of_each_class():
    """Linear in the target: differences of a plain loop, and optax; zeros included."""
    batches = in_batches(distributions(16))
    each = jax.vmap(jax.grad(optax.losses.softmax_cross_entropy, argnums=1))
    with jax.enable_x64(True):
        found = of_targets(losses.cross_entropy)(batches)
        theirs = jax.jit(lambda batches: [(each(*batch),) for batch in batches])(
            batches
        )
    for scores, _, _, _, gradient, other in one_by_one(batches, found, theirs):
        one_hot_values = [
            references.cross_entropy(scores, row) for row in np.eye(len(scores))
        ]
        np.testing.assert_allclose(gradient, one_hot_values, rtol=1e-12)
        np.testing.assert_allclose(gradient, other, rtol=1e-12)


def test_gradients_in_the_target_where_it_is_zero_or_its_class_masked():
    """The derivative of t log t at 0 counts as 0; a masked class has none at all."""
    scores = np.array([1.0, 2.0, -1.0, -np.inf], np.float32)
    target = np.array([0.5, 0.5, 0, 0], np.float32)
    surprise = -np.log(references.softmax([1.0, 2.0, -1.0]))
    of_cross_entropy = [*surprise, 0.0]
    of_entropy = [np.log(2) - 1, np.log(2) - 1, 0.0, 0.0]
    for loss, expected in (
        (losses.cross_entropy, of_cross_entropy),
        (losses.kl_divergence, np.subtract(of_cross_entropy, of_entropy)),
    ):
        ((value, in_scores, in_target),) = of_targets(loss)(
            [(scores[None], target[None])]
        )
        assert np.isfinite(value).all()
        np.testing.assert_allclose(in_target[0], expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            in_scores[0],
            [*(np.array(references.softmax([1.0, 2.0, -1.0])) - [0.5, 0.5, 0]), 0],
            atol=1e-7,
        )
    slope = jax.jit(jax.grad(losses.entropy))(target)
    np.testing.assert_allclose(slope, of_entropy, rtol=1e-6)


def test_distillation_has_finite_gradients_where_the_teacher_is_sure():
    """Through a softmax that underflows, and through one with a masked class."""
    student = np.array([0.5, -1.0, 2.0], np.float32)
    teachers = np.array([[300.0, 0.0, 1.0], [1.0, 0.0, -np.inf]], np.float32)
    for loss in (losses.cross_entropy, losses.kl_divergence):

        def distilled(teacher, loss=loss):
            return loss(student, jax.nn.softmax(teacher))

        gradients = jax.jit(jax.vmap(jax.grad(distilled)))(teachers)
        assert np.isfinite(gradients).all()


def test_cross_entropy_of_a_one_hot_target_is_the_label_loss():
    batches = [
        (scores.astype(np.float32), labels.astype(np.int32))
        for scores, labels in in_batches(random_cases(11))
    ]
    one_hot = [(s, np.eye(s.shape[1], dtype=np.float32)[y]) for s, y in batches]
    found = of_targets(losses.cross_entropy)(one_hot)
    expected = values_of_batches(losses.softmax_cross_entropy)(batches)
    for (value, *_), (other,) in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, other, rtol=1e-5, atol=1e-6)


def test_divergence_is_not_negative_and_zero_at_the_softmax():
    """Gibbs' inequality."""
    batches = in_batches(distributions(12))
    own = [
        (scores, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True))
        for scores, _ in batches
    ]
    with jax.enable_x64(True):
        found, at_own = map(of_targets(losses.kl_divergence), (batches, own))
    for (value, *_), (zero, *_) in zip(found, at_own, strict=True):
        assert (np.asarray(value) > -1e-14).all()
        np.testing.assert_allclose(zero, 0, atol=1e-14)


def test_entropy_against_scipy():
    from scipy.stats import entropy

    batches = [target for _, target in in_batches(distributions(13))]
    found = jax.jit(lambda some: [jax.vmap(losses.entropy)(t) for t in some])(
        [target.astype(np.float32) for target in batches]
    )
    for target, values in zip(batches, found, strict=True):
        np.testing.assert_allclose(values, entropy(target, axis=1), rtol=1e-5)


def test_entropy_bounds():
    assert losses.entropy(jnp.array([0.0, 1.0, 0.0])) == 0
    np.testing.assert_allclose(losses.entropy(jnp.full(8, 1 / 8)), np.log(8), rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.kl_divergence])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(jnp.float16, 32752), (jnp.bfloat16, 1e9), (jnp.float32, 1e9)],
)
def test_cross_entropy_is_finite_at_huge_scores_and_masked_classes(loss, dtype, size):
    target = np.array([0.5, 0.5, 0.0]).astype(dtype)
    cases = [[size, 0.0, -size], [-size, size, 0.0], [1.0, 2.0, -np.inf]]
    scores = np.array(cases).astype(dtype)
    ((value, *gradients),) = of_targets(loss)([(scores, np.stack([target] * 3))])
    assert value.dtype == dtype
    assert np.isfinite(value).all()
    assert np.isfinite(gradients).all()


@pytest.mark.parametrize(
    ("scores", "label", "error"),
    [
        (np.zeros((2, 3), np.float32), 0, ValueError),  # a batch: use vmap
        (np.zeros(3, np.int32), 0, AssertionError),  # integer scores
        (np.zeros(3, np.float32), np.array([0, 1]), ValueError),
        (np.zeros(3, np.float32), 1.0, AssertionError),
    ],
)
def test_wrong_shapes_and_types_are_refused_while_tracing(scores, label, error):
    for entry in LABEL_LOSSES.values():
        with pytest.raises(error):
            entry.loss(jnp.asarray(scores), label)


def test_transforms_return_the_same_object_and_say_their_name():
    for transform in (
        loss_transforms.sum_over_all_classes,
        loss_transforms.mean_over_wrong_classes,
        loss_transforms.mean_over_all_classes,
    ):
        first = transform(losses.weston_watkins_hinge)
        assert first is transform(losses.weston_watkins_hinge)
        assert first.__name__ == f"{transform.__name__}(weston_watkins_hinge)"


def test_mean_over_all_classes_is_pytorchs_multi_margin_loss():
    """Typed from its documentation: sum over j != y of max(0, m - x_y + x_j)^p / C."""
    scores, margin = [0.2, 1.7, -0.3, -1.9], 0.8
    by_hand = ((0.8 - 0.2 + 1.7) + (0.8 - 0.2 - 0.3) + 0) / 4
    loss = loss_transforms.mean_over_all_classes(losses.weston_watkins_hinge)
    np.testing.assert_allclose(
        loss(jnp.array(scores), 0, margin=margin), by_hand, rtol=1e-6
    )
