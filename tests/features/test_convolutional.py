"""The network's body against loops, its shapes, its gradient, what it refuses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import linear, losses
from jaxlin.features import convolutional

ARCHITECTURE = {"image_shape": (9, 8, 2), "blocks": ((3,), (2, 4)), "num_features": 5}


def like_init():
    """Shapes and dtypes of what `init` returns; nothing is drawn."""
    return jax.eval_shape(lambda: convolutional.init(jax.random.key(0), **ARCHITECTURE))


@pytest.fixture(scope="module")
def body():
    # Biases of 0 would hide where they are added.
    draw = np.random.default_rng(2)
    return jax.tree.map(
        lambda leaf: 0.1 + 0.3 * draw.normal(size=leaf.shape).astype(leaf.dtype),
        like_init(),
    )


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).normal(size=(9, 8, 2)).astype(np.float32)


def plain_convolution(layer, image):
    """Sums over windows, pixel by pixel; 0 outside."""
    height, width, _ = image.shape
    weights, bias = (np.asarray(x, np.float64) for x in layer)
    found = np.tile(bias, (height, width, 1))
    for row in range(height):
        for column in range(width):
            for i in (-1, 0, 1):
                for j in (-1, 0, 1):
                    if 0 <= row + i < height and 0 <= column + j < width:
                        pixel = image[row + i, column + j]
                        found[row, column] += pixel @ weights[i + 1, j + 1]
    return found


def plain_features(body, image):
    for block in body.blocks:
        for layer in block:
            image = np.maximum(plain_convolution(layer, image), 0)
        rows, columns = image.shape[0] // 2, image.shape[1] // 2
        image = np.array(
            [
                [
                    image[2 * row : 2 * row + 2, 2 * column : 2 * column + 2].max(
                        (0, 1)
                    )
                    for column in range(columns)
                ]
                for row in range(rows)
            ]
        )
    weights, bias = (np.asarray(x, np.float64) for x in body.dense)
    return np.maximum(weights @ image.ravel() + bias, 0)


def test_features_are_those_of_loops(body, image):
    found = jax.jit(convolutional.apply)(body, image)
    expected = plain_features(body, image.astype(np.float64))
    assert found.shape == (5,)
    assert (expected > 0).any()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_shapes_of_parameters(body):
    (first,), (second, third) = body.blocks
    assert first.weights.shape == (3, 3, 2, 3)
    assert second.weights.shape == (3, 3, 3, 2)
    assert third.weights.shape == (3, 3, 2, 4)
    # 9 by 8 pooled twice is 2 by 2.
    assert body.dense.weights.shape == (5, 16)


def test_random_weights_keep_the_size_of_what_goes_through():
    """He's rule: the mean square of the features is about that of the pixels."""
    body = convolutional.init(
        jax.random.key(3), image_shape=(8, 8, 4), blocks=((32,),), num_features=64
    )
    image = np.random.default_rng(4).normal(size=(8, 8, 4)).astype(np.float32)
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3), axis=(0, 1))
    convolved = np.einsum("rcpij,ijpk->rck", windows, body.blocks[0][0].weights)
    assert np.mean(convolved**2) == pytest.approx(2, rel=0.3)


def test_gradient_against_differences(body, image, float64):
    body = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), body)
    head = linear.Params(
        np.random.default_rng(1).normal(size=(3, 5)), np.zeros(3, np.float64)
    )

    @jax.jit
    @jax.value_and_grad
    def loss_and_slope(body):
        made = convolutional.apply(body, jnp.asarray(image, jnp.float64))
        return losses.softmax_cross_entropy(linear.scores(head, made), 1)

    _, slope = loss_and_slope(body)
    leaves, structure = jax.tree.flatten(body)
    for number, leaf in enumerate(leaves):
        place = np.unravel_index(leaf.size // 2, leaf.shape)
        ends = []
        for step in (1e-6, -1e-6):
            moved = leaf.copy()
            moved[place] += step
            some = [*leaves[:number], moved, *leaves[number + 1 :]]
            ends.append(float(loss_and_slope(jax.tree.unflatten(structure, some))[0]))
        expected = (ends[0] - ends[1]) / 2e-6
        found = float(jax.tree.leaves(slope)[number][place])
        assert found == pytest.approx(expected, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image_shape": (9, 3, 2)}, "sides of at least 4 pixels, which 2 poolings"),
        ({"num_features": 0}, "num_features must be at least 1"),
        ({"blocks": ((3,), (2, 0))}, r"blocks\[1\]\[1\] must be at least 1, got 0"),
        ({"blocks": (3, 2)}, r"blocks must be .*, such as .* got \(3, 2\)"),
        ({"image_shape": (9, 9)}, r"height, width and channels.* got \(9, 9\)"),
        ({"image_shape": (9, 9, 0)}, "each at least 1, got"),
    ],
)
def test_bad_sizes(changes, words):
    with pytest.raises(ValueError, match=words):
        convolutional.init(jax.random.key(0), **{**ARCHITECTURE, **changes})


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (
            np.zeros((9, 8, 2), np.uint8),
            "image must be normalised, floating, got uint8",
        ),
        (np.zeros((9, 8, 3), np.float32), "with 2 channel.*, got shape .9, 8, 3"),
        (np.zeros((16, 16, 2), np.float32), "the shape that init was given"),
        (np.zeros((4, 9, 8, 2), np.float32), "image must be of one example, with 3"),
    ],
)
def test_other_images_are_refused(image, words):
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like_init())
    with pytest.raises(ValueError, match=words):
        convolutional.apply(params, jnp.asarray(image))
