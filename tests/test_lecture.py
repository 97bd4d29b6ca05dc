"""Every number of the lecture's slides that jaxlin computes, slips shown as such."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear, losses, normalization, objective
from jaxlin.geometry import best_line, hyperplanes, robustness, separability
from jaxlin.losses import transforms
from jaxlin.objective import penalties

WEIGHTS = np.array(
    [[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]]
)
BIAS = np.array([1.1, 3.2, -1.2])
PIXELS = np.array([56, 231, 24, 2], np.uint8)

# Rows are images (cat, car, frog), columns are classes in the same order.
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
LABELS = np.arange(3)


def each(loss, scores=SCORES, **arguments):
    """Losses of rows of scores in float64."""
    with jax.enable_x64(True):
        if not arguments:
            return np.asarray(value_and_slope(loss)(scores, LABELS)[0])
        values = example_losses(scores, LABELS, loss=loss, loss_arguments=arguments)
        return np.asarray(values)


example_losses = jax.jit(objective.example_losses, static_argnames="loss")
scores_of = jax.jit(linear.scores)


@functools.cache
def value_and_slope(loss):
    """A loss and its gradient for a batch of scores and labels, compiled."""
    return jax.jit(jax.vmap(jax.value_and_grad(loss)))


def values_of(loss, rows, labels):
    """Losses of rows of scores in float32."""
    rows = np.asarray(rows, np.float32)
    return np.asarray(value_and_slope(loss)(rows, np.asarray(labels))[0])


def gradients(loss):
    with jax.enable_x64(True):
        return np.asarray(value_and_slope(loss)(SCORES, LABELS)[1])


def worked_example():
    with jax.enable_x64(True):
        return np.asarray(scores_of(linear.Params(WEIGHTS, BIAS), PIXELS))


def test_row_3_two_classes_are_the_sign_of_a_difference():
    """y = sign(w.x): softmax of two classes is the logistic loss of the difference."""
    pairs = [(0.3, 1.1), (-2.0, 4.0), (5.0, -5.0)]
    found = values_of(losses.softmax_cross_entropy, pairs, [1, 1, 1])
    predict = jax.jit(linear.predict)
    for (low, high), loss in zip(pairs, found, strict=True):
        logistic = np.log1p(np.exp(-(high - low)))
        np.testing.assert_allclose(loss, logistic, rtol=1e-6)
        weights = np.array([[0.0, 0.0], [low, high]], np.float32)
        params = linear.Params(weights, np.zeros(2, np.float32))
        x = np.array([2.0, -1.0], np.float32)
        assert predict(params, x) == (np.sign(2 * low - high) + 1) / 2


def test_row_9_a_cifar_image_gives_ten_scores():
    params = linear.init(jax.random.key(0), num_classes=10, num_features=3072)
    assert params.weights.shape == (10, 3072)
    assert scores_of(params, np.zeros(3072, np.uint8)).shape == (10,)


def test_row_10_the_bias_trick_gives_equal_scores():
    params = linear.Params(WEIGHTS.astype(np.float32), BIAS.astype(np.float32))
    x = PIXELS.astype(np.float32)

    @jax.jit
    def both(params, x):
        folded = linear.fold_bias(params)
        parts = (folded, params, params.weights)
        return folded, linear.append_one(x), *map(penalties.l2, parts)

    folded, longer, *sizes = map(np.asarray, both(params, x))
    assert folded.shape == (3, 5)
    np.testing.assert_allclose(folded @ longer, scores_of(params, x), rtol=1e-6)
    # With the trick the bias is penalised too.
    np.testing.assert_allclose(sizes[0], sizes[1], rtol=1e-6)
    assert sizes[1] > sizes[2]


def test_row_11_worked_example():
    np.testing.assert_allclose(worked_example(), [-96.8, 437.9, 60.75], rtol=1e-12)


def test_row_12_the_normalisation_folds_into_the_parameters():
    """The algebraic viewpoint: an affine map of an affine map is one."""
    fitted = normalization.Normalization(np.array([9.0, 80, 200, 3]), 255.0)

    @jax.jit
    def both(params, pixels):
        folded = linear.fold_normalization(params, fitted)
        row = normalization.normalize(fitted, pixels.astype(jnp.float64))
        return linear.scores(folded, pixels), linear.scores(params, row)

    with jax.enable_x64(True):
        folded, apart = both(linear.Params(WEIGHTS, BIAS), PIXELS)
    np.testing.assert_allclose(folded, apart, rtol=1e-12)


def test_row_13_templates_are_pictures():
    templates = jax.jit(hyperplanes.templates, static_argnames="image_shape")
    weights = np.ones((10, 3072), np.float32)
    assert templates(weights, image_shape=(32, 32, 3)).shape == (10, 32, 32, 3)
    small = templates(WEIGHTS, image_shape=(2, 2))
    # The cat's largest weight is the last pixel's, 2.0, and its zero is mid-grey.
    np.testing.assert_allclose(small[0], [[0.55, 0.375], [0.525, 1.0]], rtol=1e-6)


@jax.jit
def radius_and_distances(params, x, label):
    radius = robustness.smallest_perturbation(params, x, norm=2).radius
    return radius, hyperplanes.signed_distances(params, x, label)


@pytest.mark.parametrize("image", range(3))
def test_row_14_the_radius_is_the_least_margin_over_the_norm(image):
    """r = min_j (s_y - s_j) / norm(w_y - w_j), typed out for the worked example."""
    with jax.enable_x64(True):
        params = linear.Params(WEIGHTS, BIAS)
        x = np.roll(PIXELS, image).astype(np.float64)
        scores = WEIGHTS @ x + BIAS
        y = int(scores.argmax())
        expected = min(
            (scores[y] - scores[j]) / np.sqrt(((WEIGHTS[y] - WEIGHTS[j]) ** 2).sum())
            for j in range(3)
            if j != y
        )
        radius, distances = map(np.asarray, radius_and_distances(params, x, y))
        np.testing.assert_allclose(radius, expected, rtol=1e-12)
        np.testing.assert_allclose(distances.min(), expected, rtol=1e-12)


def test_row_15_hard_cases_are_proven_hard_and_mended():
    """Here the quadrants by four points; the others in tests/data/test_toy.py."""
    corners = np.array([[1.0, 1.0], [-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]])
    labels = np.array([1, 1, 0, 0])
    proof = separability.prove(corners, labels)
    assert isinstance(proof, separability.CommonPoint)
    assert separability.holds(proof, corners, labels)
    assert best_line.find(corners, labels).correct == 3
    product = corners.prod(axis=1, keepdims=True)
    assert isinstance(separability.prove(product, labels), separability.Plane)


def test_row_16_contributions_sum_with_the_bias_to_the_score():
    with jax.enable_x64(True):
        params = linear.Params(jnp.asarray(WEIGHTS), jnp.asarray(BIAS))
        parts = np.asarray(hyperplanes.contributions(params, PIXELS))
    # The dog: 1.5 * 56, 1.3 * 231, 2.1 * 24, 0 * 2.
    np.testing.assert_allclose(parts[1], [84.0, 300.3, 50.4, 0.0])
    np.testing.assert_allclose(parts.sum(axis=1) + BIAS, [-96.8, 437.9, 60.75])


def test_slip_1_the_slide_prints_the_ship_score_without_its_bias():
    ship = WEIGHTS[2] @ PIXELS
    np.testing.assert_allclose(ship, 61.95)
    np.testing.assert_allclose(worked_example()[2], ship + BIAS[2])


def test_row_22_sum_and_mean_are_different_reductions():
    """Slip 3: "sum of losses" on one slide, "average" on the next."""
    hinge = each(losses.weston_watkins_hinge)
    np.testing.assert_allclose(hinge.sum(), 15.8)
    np.testing.assert_allclose(hinge.mean(), 5.2667, atol=5e-5)


def test_row_23_multiclass_svm_losses():
    hinge = each(losses.weston_watkins_hinge)
    np.testing.assert_allclose(hinge, [2.9, 0, 12.9], atol=1e-12)
    # Slip 2: the frog's line lacks its "+ 1"; the 6.3 that follows is right.
    np.testing.assert_allclose(hinge[2], (2.2 + 3.1 + 1) + (2.5 + 3.1 + 1))


def test_row_24_q1_a_small_change_of_the_car_scores_changes_nothing():
    loss = losses.weston_watkins_hinge
    np.testing.assert_array_equal(gradients(loss)[1], np.zeros(3))
    slack = (SCORES[1, 1] - 1) - SCORES[1, [0, 2]].max()
    np.testing.assert_allclose(slack, 1.9)
    for moved, expected in [(1.89, 0.0), (2.0, 0.1)]:
        lowered = SCORES - moved * np.eye(3)[1]
        np.testing.assert_allclose(each(loss, lowered)[1], expected, atol=1e-6)


def test_row_25_q2_least_and_greatest_hinge():
    loss = losses.weston_watkins_hinge
    least, greatest, _ = values_of(
        loss, [[100.0, 0.0, 0.0], [-1e30, 0.0, 0.0], [0.0] * 3], [0] * 3
    )
    assert least == 0
    assert greatest > 1e30
    assert values_of(loss, SCORES, [0] * 3).min() >= 0


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_row_26_q3_and_36_first_losses_at_small_weights(classes):
    three = (
        losses.weston_watkins_hinge,
        losses.crammer_singer_hinge,
        losses.softmax_cross_entropy,
    )
    zeros = np.zeros(classes, np.float32)
    found = jax.jit(lambda zeros: [loss(zeros, 1) for loss in three])(zeros)
    np.testing.assert_allclose(found[0], classes - 1)
    np.testing.assert_allclose(found[1], 1)
    np.testing.assert_allclose(found[2], np.log(classes), rtol=1e-6)


def test_row_36_softmax_of_ten_equal_scores():
    loss = jax.jit(losses.softmax_cross_entropy)(np.zeros(10, np.float32), 4)
    np.testing.assert_allclose(loss, 2.302585, atol=1e-6)


def test_row_27_q4_summing_over_all_classes_adds_the_margin():
    loss = losses.weston_watkins_hinge
    summed = transforms.sum_over_all_classes(loss)
    np.testing.assert_allclose(each(summed), each(loss) + 1)
    np.testing.assert_allclose(each(summed).mean(), 6.2667, atol=5e-5)
    np.testing.assert_allclose(gradients(summed), gradients(loss))
    np.testing.assert_allclose(each(summed, margin=2.5), each(loss, margin=2.5) + 2.5)


def test_row_28_q5_means_over_classes():
    loss = losses.weston_watkins_hinge
    over_wrong = each(transforms.mean_over_wrong_classes(loss))
    over_all = each(transforms.mean_over_all_classes(loss))
    np.testing.assert_allclose(over_wrong.mean(), 2.6333, atol=5e-5)
    np.testing.assert_allclose(over_all.mean(), 1.7556, atol=5e-5)


def test_row_28_same_minimiser_only_if_l2_is_rescaled():
    """The mean's objective is the sum's over C - 1 when l2 is divided by C - 1 too."""
    draw = np.random.default_rng(1)
    params = linear.Params(
        draw.normal(size=(3, 4)).astype(np.float32), np.zeros(3, np.float32)
    )
    rows = draw.normal(size=(6, 4)).astype(np.float32)
    labels = np.arange(6) % 3
    loss = losses.weston_watkins_hinge

    @functools.partial(jax.jit, static_argnums=0)
    def slope(loss, l2):
        def value(params):
            return objective.objective(params, rows, labels, loss=loss, l2=l2)

        return jax.grad(value)(params).weights

    def gradient(loss, l2):
        return np.asarray(slope(loss, l2))

    mean = transforms.mean_over_wrong_classes(loss)
    np.testing.assert_allclose(
        gradient(mean, 0.1 / 2), gradient(loss, 0.1) / 2, rtol=1e-5, atol=1e-6
    )
    assert np.abs(gradient(mean, 0.1) - gradient(loss, 0.1) / 2).max() > 0.01


def test_row_29_q6_squared_hinge():
    squared = each(losses.weston_watkins_squared_hinge)
    np.testing.assert_allclose(squared, [8.41, 0, 83.25])
    np.testing.assert_allclose(squared.mean(), 30.5533, atol=5e-5)
    # Not a rescaling of the hinge, so it has another minimiser.
    directions = gradients(losses.weston_watkins_squared_hinge)
    hinge_directions = gradients(losses.weston_watkins_hinge)
    assert not np.allclose(directions[2] / hinge_directions[2], directions[2, 0])


def test_row_30_q7_twice_the_weights():
    """Slip 5: 2W has zero loss too only where W had (and the bias doubles with it)."""
    np.testing.assert_allclose(
        each(losses.weston_watkins_hinge, 2 * SCORES), [4.8, 0, 23.8], atol=1e-12
    )
    with jax.enable_x64(True):
        doubled = scores_of(linear.Params(2 * WEIGHTS, 2 * BIAS), PIXELS)
    np.testing.assert_allclose(doubled, 2 * worked_example(), rtol=1e-12)


def test_row_32_softmax_of_the_cat():
    exponentials = np.exp(SCORES[0])
    np.testing.assert_allclose(exponentials, [24.5325, 164.0219, 0.18268], rtol=3e-5)
    probabilities = jax.jit(jax.nn.softmax)(SCORES[0].astype(np.float32))
    np.testing.assert_allclose(probabilities, [0.12998, 0.86905, 0.00097], atol=5e-6)


def test_row_33_softmax_losses():
    loss = each(losses.softmax_cross_entropy)
    np.testing.assert_allclose(loss, [2.04036, 0.07913, 6.15648], atol=5e-6)
    np.testing.assert_allclose(loss.mean(), 2.75865, atol=5e-6)
    # Slip 6: natural logarithm; the .89 of other editions is log10.
    np.testing.assert_allclose(loss[0] / np.log(10), 0.89, atol=5e-3)


def test_slip_7_the_printed_probability_zero_is_not_zero():
    if_frog = each(losses.softmax_cross_entropy, np.tile(SCORES[0], (3, 1)))[2]
    np.testing.assert_allclose(if_frog, 6.940, atol=5e-4)
    np.testing.assert_allclose(np.exp(-if_frog), 0.00097, atol=5e-6)


def test_row_34_cross_entropy_is_entropy_plus_divergence():
    with jax.enable_x64(True):
        one_hot = np.array([1.0, 0.0, 0.0])

        @jax.jit
        def three(target):
            return (
                losses.cross_entropy(SCORES[0], target),
                losses.entropy(target),
                losses.kl_divergence(SCORES[0], target),
            )

        found = three(0.9 * one_hot + 0.1 / 3)
        np.testing.assert_allclose(found, [2.14036, 0.29114, 1.84922], atol=5e-6)
        # One-hot: likelihood, divergence and cross-entropy are one number.
        label = each(losses.softmax_cross_entropy)[0]
        cross_entropy, _, divergence = three(one_hot)
        np.testing.assert_allclose(cross_entropy, label)
        np.testing.assert_allclose(divergence, label)
        log_likelihood = np.log(jax.jit(jax.nn.softmax)(SCORES[0])[0])
        np.testing.assert_allclose(label, -log_likelihood)


def test_row_35_least_and_greatest_softmax_loss():
    loss = losses.softmax_cross_entropy
    least, greatest, _ = values_of(
        loss, [[80.0, 0.0, 0.0], [-1e30, 0.0, 0.0], [0.0] * 3], [0] * 3
    )
    assert 0 < least < 1e-30  # never attained
    assert greatest >= 1e30


def test_row_37_softmax_against_svm():
    scores = np.array([[10.0, -2, 3], [10, 9, 9], [10, -100, -100]])
    labels = np.zeros(3, int)
    svm = values_of(losses.weston_watkins_hinge, scores, labels)
    softmax = values_of(losses.softmax_cross_entropy, scores, labels)
    np.testing.assert_array_equal(svm, [0, 0, 0])
    np.testing.assert_allclose(softmax, [0.0009, 0.5514, 0], atol=5e-5)
    # The second row lies at the kink of the hinge: the inactive side's derivative.
    _, slopes = value_and_slope(losses.weston_watkins_hinge)(
        scores.astype(np.float32), labels
    )
    np.testing.assert_array_equal(slopes[1], [0, 0, 0])


def test_row_38_sum_of_squares_of_the_worked_example():
    np.testing.assert_allclose(2 * float(jax.jit(penalties.l2)(WEIGHTS)), 12.8425)


def test_row_40_adding_one_vector_to_every_template_changes_nothing():
    x = np.array([0.5, -0.25, 1.0, 2.0], np.float32)
    params = linear.Params(WEIGHTS.astype(np.float32), BIAS.astype(np.float32))
    shift = np.array([[3.0, -1.0, 2.0, 0.5]], np.float32)
    moved = params._replace(weights=params.weights + shift)
    rows = [scores_of(some, x) for some in (params, moved, params)]
    for loss in (losses.softmax_cross_entropy, losses.weston_watkins_hinge):
        before, after, _ = values_of(loss, rows, [1] * 3)
        np.testing.assert_allclose(after, before, rtol=1e-5)


def test_slip_8_exponentials_overflow_where_the_stable_losses_do_not():
    scores = worked_example().astype(np.float32)
    assert np.isinf(np.asarray(jax.jit(jnp.exp)(scores))).any()
    stable = values_of(losses.softmax_cross_entropy, [scores] * 3, range(3))
    np.testing.assert_allclose(stable, [534.7, 0, 377.15], rtol=1e-6)
