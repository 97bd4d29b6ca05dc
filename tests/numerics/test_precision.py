"""Products in all digits of float32, and what depends on them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from programs import products

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.features import convolutional, encodings, patches, spherical
from jaxlin.geometry import hyperplanes
from jaxlin.numerics import precision
from jaxlin.objective import part_sums

KEY = jax.random.key(0)
IMAGE = jnp.ones((8, 8, 1))
IMAGES = np.random.default_rng(0).uniform(size=(5, 8, 8, 1))
PARAMS = linear.Params(jnp.ones((3, 6)), jnp.ones(3))
ROW = jnp.ones(6)


@functools.cache
def fitted_patches():
    return patches.fit(
        KEY, IMAGES, scale=1.0, patch_size=3, num_filters=2, num_patches=30
    )


@functools.cache
def network():
    return convolutional.init(
        KEY, image_shape=IMAGE.shape, blocks=((2,),), num_features=3
    )


@pytest.mark.parametrize(
    "function",
    [
        lambda: linear.scores(PARAMS, ROW),
        lambda: jax.vmap(linear.scores, (None, 0))(PARAMS, jnp.ones((4, 6))),
        lambda: jax.grad(lambda params: linear.scores(params, ROW).sum())(PARAMS),
        lambda: hyperplanes.restrict(PARAMS, ROW, jnp.ones((1, 6))),
        lambda: encodings.triangle(ROW, jnp.ones((2, 6))),
        lambda: encodings.two_sided(ROW, jnp.ones((2, 6))),
        lambda: spherical.lloyd_step(jnp.ones((4, 6)), jnp.ones((2, 6))),
        lambda: linear.fold_normalization(
            PARAMS, normalization.Normalization(ROW, jnp.float32(1))
        ),
        lambda: patches.apply(fitted_patches(), IMAGE),
        lambda: convolutional.apply(network(), IMAGE),
    ],
    ids=[
        *("scores", "of a batch", "gradient", "restricted", "triangle", "sides"),
        *("means", "folded", "patches", "network"),
    ],
)
def test_all_digits_unless_jax_is_told_how_many(function):
    def asked_for():
        found = [
            each.params["precision"] for each in products(jax.make_jaxpr(function)())
        ]
        assert found
        return {None if one is None else one[0] for one in found}

    assert asked_for() == {jax.lax.Precision.HIGHEST}
    with jax.default_matmul_precision("tensorfloat32"):
        assert asked_for() != {jax.lax.Precision.HIGHEST}


def test_a_compiled_function_listens_too():
    scores = jax.jit(linear.scores)
    text = scores.lower(PARAMS, ROW).as_text()
    with jax.default_matmul_precision("tensorfloat32"):
        assert scores.lower(PARAMS, ROW).as_text() != text
    assert scores.lower(PARAMS, ROW).as_text() == text


def test_it_is_the_product():
    left, right = np.arange(6.0).reshape(2, 3), np.arange(3.0)
    np.testing.assert_array_equal(precision.product(left, right), left @ right)


@pytest.mark.parametrize("preset", precision.SPLIT_PRODUCTS)
def test_products_of_rows_are_split_only_on_request_and_in_float32(preset):
    """Lowered for a GPU, which does not have to be there."""

    def lowered(dtype):
        exported = jax.export.export(
            jax.jit(lambda *pair: part_sums.product(*pair)), platforms=("cuda",)
        )
        return exported(jnp.ones((3, 4), dtype), jnp.ones((4, 2), dtype)).mlir_module()

    assert "HIGHEST" in lowered(jnp.float32)
    with jax.default_matmul_precision("tensorfloat32"):
        assert "HIGHEST" in lowered(jnp.float32)
    with jax.default_matmul_precision(preset):
        number = preset[-1]
        assert f"num_primitive_operations = {number}" in lowered(jnp.float32)
        with jax.enable_x64(True):
            assert "HIGHEST" in lowered(jnp.float64)
    assert "HIGHEST" in lowered(jnp.float32)


@pytest.mark.parametrize(
    "of_rows",
    [
        lambda fit, rows: jaxlin.scores(fit, rows),
        lambda fit, rows: jaxlin.certified_labels(fit, rows),
        lambda fit, rows: jaxlin.evaluate(fit, rows, np.arange(30) % 3).log_loss.value,
    ],
    ids=["scores", "labels", "metrics"],
)
def test_float64_arrays_after_a_program_without_it_has_closed_over_them(of_rows):
    rows = np.random.default_rng(0).normal(size=(30, 6))
    params = linear.Params(rows[:3] + 0.1, rows[0, :3] + 0.1)
    problem = jaxlin.problem(rows.copy(), np.arange(30) % 3)
    fit = jaxlin.certify(problem, params, loss=losses.softmax_cross_entropy, l2=0.1)

    def user(scale):
        return (scale * rows).sum() + sum(map(jnp.sum, fit.params))

    assert jax.jit(user)(1.0).dtype == np.float32
    found = of_rows(fit, rows)
    np.testing.assert_array_equal(found, of_rows(fit, rows.copy()))
