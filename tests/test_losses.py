"""One contract over all losses; references are loops and theorems."""

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


def random_cases(seed, count=40):
    generator = np.random.default_rng(seed)
    for i in range(count):
        classes = (2, 3, 10)[i % 3]  # few shapes: each compiles anew
        yield generator.normal(size=classes) * 3, int(generator.integers(classes))


@every_label_loss
def test_equals_a_plain_loop(entry):
    with jax.enable_x64(True):
        for scores, label in random_cases(0):
            np.testing.assert_allclose(
                entry.loss(jnp.asarray(scores), label),
                entry.reference(scores, label),
                rtol=1e-12,
                atol=1e-15,
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
    generator = np.random.default_rng(1)
    scores = jnp.asarray(generator.normal(size=(20, 5)), jnp.float32)
    labels = jnp.asarray(generator.integers(5, size=20))
    batch = jax.vmap(entry.loss)(scores, labels)
    single = [entry.loss(s, y) for s, y in zip(scores, labels, strict=True)]
    np.testing.assert_allclose(batch, jnp.stack(single), rtol=1e-6)


@every_label_loss
def test_gradient_equals_differences_of_the_reference(entry):
    with jax.enable_x64(True):
        for scores, label in random_cases(2, count=15):
            gradient = jax.grad(entry.loss)(jnp.asarray(scores), label)
            numerical = references.numerical_gradient(
                lambda moved, label=label: entry.reference(moved, label),
                scores,
                step=1e-4,
            )
            np.testing.assert_allclose(gradient, numerical, atol=1e-6)


@every_label_loss
def test_gradient_sums_to_zero_where_only_differences_count(entry):
    with jax.enable_x64(True):
        for scores, label in random_cases(3):
            scores = jnp.asarray(scores)
            total = jnp.sum(jax.grad(entry.loss)(scores, label))
            shifted = entry.loss(scores + 7.0, label) - entry.loss(scores, label)
            if entry.shift_invariant:
                np.testing.assert_allclose([total, shifted], 0, atol=1e-9)
            else:
                assert abs(shifted) > 1e-3


@every_label_loss
def test_convex_along_random_lines(entry):
    generator = np.random.default_rng(4)
    with jax.enable_x64(True):
        for scores, label in random_cases(5):
            a = jnp.asarray(scores)
            b = jnp.asarray(generator.normal(size=len(scores)) * 3)
            t = generator.uniform()
            between = entry.loss(t * a + (1 - t) * b, label)
            chord = t * entry.loss(a, label) + (1 - t) * entry.loss(b, label)
            assert between <= chord + 1e-12


@every_label_loss
@every_dtype
def test_keeps_the_dtype_and_is_right_to_its_digits(entry, dtype):
    with jax.enable_x64(True):
        for scores, label in random_cases(6, count=10):
            scores = jnp.asarray(scores, dtype)
            value = entry.loss(scores, jnp.int32(label))
            assert value.dtype == dtype
            exact = entry.reference(np.asarray(scores, np.float64), label)
            digits = float(jnp.finfo(dtype).eps)
            np.testing.assert_allclose(
                float(value), exact, rtol=10 * digits, atol=10 * digits
            )


@every_hinge
def test_a_float32_margin_does_not_widen_bfloat16(entry):
    scores = jnp.zeros(3, jnp.bfloat16)
    assert entry.loss(scores, 0, margin=jnp.float32(1)).dtype == jnp.bfloat16


@every_label_loss
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
@pytest.mark.parametrize("size", [1e9, -1e9])
def test_finite_at_huge_scores(entry, dtype, size):
    scores = jnp.array([size, 0.0, -size], dtype)
    for label in range(3):
        value, gradient = jax.value_and_grad(entry.loss)(scores, label)
        assert np.isfinite(value)
        assert value >= 0
        assert np.isfinite(gradient).all()


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
    given, labels = jnp.array(scores, jnp.float16), jnp.arange(3)
    slopes = jax.vmap(jax.value_and_grad(entry.loss), in_axes=(None, 0))
    for label, value, gradient in zip(labels, *slopes(given, labels), strict=True):
        exact = np.logaddexp.reduce(scores) - scores[label]
        if entry.has_margin:
            exact = entry.reference(scores, int(label))
        # Half a unit above 65,504 NumPy too says inf.
        assert (value == jnp.inf) == (exact >= 65520)
        if exact < 65520:
            np.testing.assert_allclose(float(value), exact, rtol=3e-3, atol=1e-3)
            assert np.isfinite(gradient).all()
        assert not np.isnan(gradient).any()


@every_label_loss
@pytest.mark.parametrize("num_classes", [30, 3000])
def test_sums_over_many_classes_in_half_precision(entry, num_classes):
    """Terms of 100 or so: 30 sum to what float16 holds, 3,000 do not."""
    scores = np.full(num_classes, 100.0)
    scores[0] = 1.0
    for dtype, largest in ((jnp.float16, 65504.0), (jnp.bfloat16, 3e38)):
        value = float(entry.loss(jnp.asarray(scores, dtype), 0))
        exact = entry.reference(scores, 0)
        if exact > largest:
            assert value == np.inf
        else:
            np.testing.assert_allclose(value, exact, rtol=2e-2)


@every_label_loss
def test_a_label_that_is_no_class_gives_nan(entry):
    """Good scores among them, where any number would pass for a small loss."""
    labels = jnp.array([-1, 3, 4, -(2**31)])
    for loss in (entry.loss, loss_transforms.sum_over_all_classes(entry.loss)):
        of_labels = jax.vmap(loss, in_axes=(None, 0))
        for scores in ([2.0, -1.0, 0.5], [-1.0, -1, -1], [0.0, -jnp.inf, -jnp.inf]):
            assert np.isnan(of_labels(jnp.array(scores), labels)).all()


@every_label_loss
def test_nan_scores_give_nan(entry):
    for position in range(3):
        scores = jnp.zeros(3).at[position].set(jnp.nan)
        assert np.isnan(entry.loss(scores, 0))


@every_label_loss
def test_a_masked_wrong_class_is_as_if_it_were_not_there(entry):
    scores = jnp.array([0.5, -0.25, 1.0])
    masked = jnp.array([0.5, -0.25, 1.0, -jnp.inf])
    for label in range(3):
        np.testing.assert_allclose(
            entry.loss(masked, label), entry.loss(scores, label), rtol=1e-6
        )
        gradient = jax.grad(entry.loss)(masked, label)
        np.testing.assert_allclose(
            gradient[:3], jax.grad(entry.loss)(scores, label), rtol=1e-6, atol=1e-7
        )
        assert gradient[3] == 0


@every_label_loss
def test_a_masked_right_class_has_infinite_loss(entry):
    for others in ([0.5, 1.0], [-jnp.inf, 1.0]):
        assert entry.loss(jnp.array([-jnp.inf, *others]), 0) == jnp.inf


@every_hinge
def test_derivative_at_a_kink_is_that_of_the_inactive_side(entry):
    # Every wrong class lies exactly at the margin.
    scores = jnp.array([1.0, 0.0, 0.0])
    if not entry.shift_invariant:
        scores = jnp.array([1.0, -1.0, -1.0])
    assert entry.loss(scores, 0) == 0
    np.testing.assert_array_equal(jax.grad(entry.loss)(scores, 0), np.zeros(3))


def test_crammer_singer_shares_the_derivative_among_ties():
    gradient = jax.grad(losses.crammer_singer_hinge)(jnp.array([0.0, 2.0, 2.0, 1.0]), 0)
    np.testing.assert_allclose(gradient, [-1, 0.5, 0.5, 0])


def test_hinges_agree_on_two_classes():
    for scores, label in [([0.25, -0.5], 0), ([0.25, -0.5], 1), ([3.0, 0.0], 0)]:
        scores = jnp.array(scores)
        both = (losses.weston_watkins_hinge, losses.crammer_singer_hinge)
        first, second = (loss(scores, label) for loss in both)
        assert first == second


def test_crammer_singer_is_the_loss_that_optax_calls_multiclass_hinge():
    for scores, label in random_cases(7):
        np.testing.assert_allclose(
            losses.crammer_singer_hinge(jnp.asarray(scores), label),
            optax.losses.multiclass_hinge_loss(jnp.asarray(scores), jnp.array(label)),
            rtol=1e-5,
            atol=1e-6,
        )


def test_softmax_keeps_its_digits_when_sure_and_right():
    """logsumexp(s) - s_y would be 0 or rounding noise here."""
    loss = losses.softmax_cross_entropy(jnp.array([40.0, 0.0, -1.0]), 0)
    exact = np.log1p(np.exp(-40.0) + np.exp(-41.0))
    np.testing.assert_allclose(loss, exact, rtol=1e-5)


def test_softmax_gradient_is_probability_minus_target():
    with jax.enable_x64(True):
        for scores, label in random_cases(8):
            gradient = jax.grad(losses.softmax_cross_entropy)(
                jnp.asarray(scores), label
            )
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


def test_cross_entropy_equals_a_plain_loop():
    with jax.enable_x64(True):
        for scores, target in distributions(9):
            value = losses.cross_entropy(jnp.asarray(scores), jnp.asarray(target))
            np.testing.assert_allclose(
                value, references.cross_entropy(scores, target), rtol=1e-12
            )


def test_cross_entropy_gradient_is_probability_minus_target():
    with jax.enable_x64(True):
        for scores, target in distributions(10):
            for loss in (losses.cross_entropy, losses.kl_divergence):
                gradient = jax.grad(loss)(jnp.asarray(scores), jnp.asarray(target))
                expected = np.array(references.softmax(scores)) - target
                np.testing.assert_allclose(gradient, expected, atol=1e-13)


def test_cross_entropy_gradient_in_the_target_is_the_surprise_of_each_class():
    """Linear in the target: differences of a plain loop, and optax; zeros included."""
    with jax.enable_x64(True):
        for scores, target in distributions(16):
            gradient = jax.grad(losses.cross_entropy, argnums=1)(
                jnp.asarray(scores), jnp.asarray(target)
            )
            one_hot_values = [
                references.cross_entropy(scores, row) for row in np.eye(len(scores))
            ]
            np.testing.assert_allclose(gradient, one_hot_values, rtol=1e-12)
            theirs = jax.grad(
                lambda t, s=scores: optax.losses.softmax_cross_entropy(s, t)
            )(jnp.asarray(target))
            np.testing.assert_allclose(gradient, theirs, rtol=1e-12)


def test_gradients_in_the_target_where_it_is_zero_or_its_class_masked():
    """The derivative of t log t at 0 counts as 0; a masked class has none at all."""
    scores, target = jnp.array([1.0, 2.0, -1.0, -jnp.inf]), jnp.array([0.5, 0.5, 0, 0])
    surprise = -np.log(references.softmax([1.0, 2.0, -1.0]))
    of_cross_entropy = [*surprise, 0.0]
    of_entropy = [np.log(2) - 1, np.log(2) - 1, 0.0, 0.0]
    for loss, expected in (
        (losses.cross_entropy, of_cross_entropy),
        (losses.kl_divergence, np.subtract(of_cross_entropy, of_entropy)),
    ):
        assert np.isfinite(loss(scores, target))
        in_scores, in_target = jax.grad(loss, argnums=(0, 1))(scores, target)
        np.testing.assert_allclose(in_target, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            in_scores,
            [*(np.array(references.softmax([1.0, 2.0, -1.0])) - [0.5, 0.5, 0]), 0],
            atol=1e-7,
        )
    np.testing.assert_allclose(jax.grad(losses.entropy)(target), of_entropy, rtol=1e-6)


def test_distillation_has_finite_gradients_where_the_teacher_is_sure():
    """Through a softmax that underflows, and through one with a masked class."""
    student = jnp.array([0.5, -1.0, 2.0])
    for teacher in ([300.0, 0.0, 1.0], [1.0, 0.0, -jnp.inf]):
        for loss in (losses.cross_entropy, losses.kl_divergence):
            gradient = jax.grad(lambda s, loss=loss: loss(student, jax.nn.softmax(s)))(
                jnp.array(teacher)
            )
            assert np.isfinite(gradient).all()


def test_cross_entropy_of_a_one_hot_target_is_the_label_loss():
    for scores, label in random_cases(11):
        scores = jnp.asarray(scores, jnp.float32)
        one_hot = jax.nn.one_hot(label, len(scores))
        np.testing.assert_allclose(
            losses.cross_entropy(scores, one_hot),
            losses.softmax_cross_entropy(scores, label),
            rtol=1e-5,
            atol=1e-6,
        )


def test_divergence_is_not_negative_and_zero_at_the_softmax():
    """Gibbs' inequality."""
    with jax.enable_x64(True):
        for scores, target in distributions(12):
            scores = jnp.asarray(scores)
            assert losses.kl_divergence(scores, jnp.asarray(target)) > -1e-14
            np.testing.assert_allclose(
                losses.kl_divergence(scores, jax.nn.softmax(scores)), 0, atol=1e-14
            )


def test_entropy_against_scipy():
    from scipy.stats import entropy

    for _, target in distributions(13):
        np.testing.assert_allclose(
            losses.entropy(jnp.asarray(target)), entropy(target), rtol=1e-5
        )


def test_entropy_bounds():
    assert losses.entropy(jnp.array([0.0, 1.0, 0.0])) == 0
    np.testing.assert_allclose(losses.entropy(jnp.full(8, 1 / 8)), np.log(8), rtol=1e-6)


@pytest.mark.parametrize("loss", [losses.cross_entropy, losses.kl_divergence])
@pytest.mark.parametrize(
    ("dtype", "size"),
    [(jnp.float16, 32752), (jnp.bfloat16, 1e9), (jnp.float32, 1e9)],
)
def test_cross_entropy_is_finite_at_huge_scores_and_masked_classes(loss, dtype, size):
    target = jnp.array([0.5, 0.5, 0.0], dtype)
    for scores in ([size, 0.0, -size], [-size, size, 0.0], [1.0, 2.0, -jnp.inf]):
        scores = jnp.array(scores, dtype)
        value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(scores, target)
        assert value.dtype == dtype
        assert np.isfinite(value)
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
