"""One contract over all losses; references are loops and theorems."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import references
from loss_batches import in_batches, of_batches, one_by_one, random_cases
from problems import LABEL_LOSSES

from jaxlin import check, losses
from jaxlin.losses import transforms

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


def of_ten_classes(seed, dtype):
    *_, (scores, labels) = in_batches(random_cases(seed))
    return scores.astype(dtype), labels.astype(np.int32)


@functools.cache
def values_of_batch(loss):
    """The value alone, which is traced in a third of the time."""
    return jax.jit(jax.vmap(loss))


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
    # Of ten classes: a sum of two has next to no digits to lose.
    batch = of_ten_classes(6, dtype)
    with jax.enable_x64(True):
        values = values_of_batch(entry.loss)(*batch)
    assert values.dtype == dtype
    digits = float(jnp.finfo(dtype).eps)
    for scores, label, value in zip(*batch, np.asarray(values), strict=True):
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
    # The other classes of the first row are too low to add anything.
    rows = np.full((2, 3000), 100.0)
    rows[:, 0], rows[0, 30:] = 1.0, -100.0
    dtypes = {jnp.float16: 65504.0, jnp.bfloat16: 3e38}
    values_of = jax.jit(jax.vmap(entry.loss, in_axes=(0, None)))
    for dtype, most in dtypes.items():
        values = values_of(rows.astype(dtype), 0)
        for row, value in zip(rows, np.asarray(values, float), strict=True):
            exact = entry.reference(row, 0)
            if exact > most:
                assert value == np.inf
            else:
                np.testing.assert_allclose(value, exact, rtol=2e-2)


@every_label_loss
def test_a_label_that_is_no_class_gives_nan(entry):
    """Good scores among them, where any number would pass for a small loss."""
    rows = np.array([[2, -1, 0.5], [-1, -1, -1], [0, -np.inf, -np.inf]], np.float32)
    loss_of_sum = transforms.sum_over_all_classes(entry.loss)
    of_sum = jax.jit(jax.vmap(loss_of_sum, in_axes=(None, 0)))
    for labels in ([-1, 3, 4], [-(2**31), 2**31 - 1, -3]):
        for row in rows:
            values, _ = of_labels(entry.loss)(row, np.array(labels))
            for found in (values, of_sum(row, np.array(labels))):
                assert found.shape == (3,)
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
    two = np.array([0.5, -0.25])
    values, gradients = by_label(entry.loss, np.append(two, -np.inf).astype(np.float32))
    for label in range(2):
        np.testing.assert_allclose(
            values[label], entry.reference(two, label), rtol=1e-6
        )
        slope = references.numerical_gradient(
            lambda moved, label=label: entry.reference(moved, label), two
        )
        np.testing.assert_allclose(gradients[label, :2], slope, rtol=1e-6, atol=1e-7)
        assert gradients[label, 2] == 0


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
    batches = in_batches(random_cases(7))
    each = jax.vmap(optax.losses.multiclass_hinge_loss)
    with jax.enable_x64(True):
        found = of_batches(losses.crammer_singer_hinge)(batches)
        theirs = jax.jit(lambda batches: [(each(*batch),) for batch in batches])
        for *_, value, _, expected in one_by_one(batches, found, theirs(batches)):
            np.testing.assert_allclose(value, expected, rtol=1e-12, atol=1e-15)


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
        transforms.sum_over_all_classes,
        transforms.mean_over_wrong_classes,
        transforms.mean_over_all_classes,
    ):
        first = transform(losses.weston_watkins_hinge)
        assert first is transform(losses.weston_watkins_hinge)
        assert first.__name__ == f"{transform.__name__}(weston_watkins_hinge)"
        assert check.argument_names(first) == {"margin"}


def test_mean_over_all_classes_is_pytorchs_multi_margin_loss():
    """Typed from its documentation: sum over j != y of max(0, m - x_y + x_j)^p / C."""
    scores, margin = [0.2, 1.7, -0.3, -1.9], 0.8
    by_hand = ((0.8 - 0.2 + 1.7) + (0.8 - 0.2 - 0.3) + 0) / 4
    loss = transforms.mean_over_all_classes(losses.weston_watkins_hinge)
    found = jax.jit(loss)(np.float32(scores), 0, margin=margin)
    np.testing.assert_allclose(found, by_hand, rtol=1e-6)
