"""One pass over the rows, held against double loops; what it copies and how it sums."""

import functools
import re
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from optimization_modes import BOTH

from jaxlin import linear, losses, normalization, objective
from jaxlin.numerics import compensated
from jaxlin.objective import row_norms, row_sums

PLATFORMS = ("cpu", "cuda", "tpu")
EXAMPLES, WIDTH, CLASSES = 7, 5, 3
BLOCK_SIZES = (*range(1, EXAMPLES + 2), None)


class Rows(NamedTuple):
    """All that a pass takes; a tree, so that one argument of a program is all."""

    params: Any
    features: Any
    labels: Any
    extra: Any
    weights: Any
    normalization: Any

    @property
    def exact(self):
        """Normalised rows in float64."""
        rows = np.asarray(self.features, np.float64)
        if self.normalization is None:
            return rows
        mean, scale = map(np.float64, self.normalization)
        return (rows - mean) / scale


def draw(dtype):
    generator = np.random.default_rng(0)
    rows = generator.integers(0, 256, size=(EXAMPLES, WIDTH)).astype(np.uint8)
    fitted = normalization.fit_centered(rows, scale=100.0)
    if dtype != np.uint8:
        rows, fitted = generator.normal(size=rows.shape).astype(dtype), None
    return Rows(
        linear.Params(
            generator.normal(size=(CLASSES, WIDTH)).astype(np.float32),
            generator.normal(size=CLASSES).astype(np.float32),
        ),
        rows,
        generator.integers(0, CLASSES, size=EXAMPLES).astype(np.int32),
        generator.uniform(1, 2, size=EXAMPLES).astype(np.float32),
        np.asarray([2, 0, 0.5, 1, 0, 3, 1], np.float32),
        fitted,
    )


def example_function(shared, scores, label, extra):
    """Numbers of an example that tell its scores, label, extra and shared apart."""
    values = jnp.stack([jnp.sum(jnp.square(scores)), shared * scores[label] / extra])
    return values, scores * extra, {"of_label": scores[label], "extra": extra}


@functools.cache
def loss_link(loss):
    def value_and_slope(arguments, scores, label, _):
        value, slope = jax.value_and_grad(loss)(scores, label, **arguments)
        return value[None], slope, ()

    return value_and_slope


def one_pass(rows, *, example_function=example_function, shared=3.0, size=3, sums=None):
    return row_sums.over_rows(
        *rows[:4],
        example_function=example_function,
        shared=shared,
        example_weights=rows.weights,
        normalization=rows.normalization,
        block_size=size,
        sums=sums,
    )


compiled = jax.jit(one_pass, static_argnames=("example_function", "size"))


def totals(sums):
    parts = jax.tree.map(np.asarray, (sums.values, sums.weights, sums.bias))
    return [compensated.total(part) for part in parts]


def double_loop(rows, shared=3.0):
    template, bias = (np.asarray(leaf, np.float64) for leaf in rows.params)
    values, of_weights, of_bias = (
        np.zeros(2),
        np.zeros_like(template),
        np.zeros(CLASSES),
    )
    weights = np.ones(EXAMPLES) if rows.weights is None else rows.weights
    for row, label, extra, weight in zip(
        rows.exact, rows.labels, rows.extra, weights, strict=True
    ):
        scores = np.zeros(CLASSES)
        for c in range(CLASSES):
            scores[c] = sum(template[c, d] * row[d] for d in range(WIDTH)) + bias[c]
        values[0] += weight * sum(score * score for score in scores)
        values[1] += weight * shared * scores[label] / extra
        for c in range(CLASSES):
            of_bias[c] += weight * scores[c] * extra
            for d in range(WIDTH):
                of_weights[c, d] += weight * scores[c] * extra * row[d]
    return values, of_weights, of_bias


@pytest.mark.parametrize(
    ("dtype", "weighted", "sizes"),
    [
        (np.uint8, True, (1, 3)),
        (np.float32, False, (5, None)),
        *[
            pytest.param(dtype, weighted, BLOCK_SIZES, marks=pytest.mark.full)
            for dtype in (np.uint8, np.float32)
            for weighted in (True, False)
        ],
    ],
)
def test_sums_are_those_of_a_double_loop_for_any_block_size(dtype, weighted, sizes):
    rows = draw(dtype)
    if not weighted:
        rows = rows._replace(weights=None)
    expected = double_loop(rows)
    scores = rows.exact @ rows.params.weights.T + rows.params.bias
    for size in sizes:
        sums, outputs = compiled(rows, size=size)
        for found, truth in zip(totals(sums), expected, strict=True):
            np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-4)
        assert compensated.total(sums.weight) == (
            rows.weights.sum() if weighted else EXAMPLES
        )
        # One output an example, in the order of the rows, whatever its weight.
        np.testing.assert_array_equal(outputs["extra"], rows.extra)
        of_label = scores[np.arange(EXAMPLES), rows.labels]
        np.testing.assert_allclose(outputs["of_label"], of_label, rtol=1e-5, atol=1e-5)


def test_an_example_of_weight_zero_stays_out_even_if_infinite():
    rows = draw(np.uint8)
    out = rows.weights == 0
    assert out.sum() == 2
    infinite = rows.extra.copy()
    infinite[out] = np.nan, np.inf
    plain, _ = compiled(rows)
    found, _ = compiled(rows._replace(extra=infinite))
    jax.tree.map(np.testing.assert_array_equal, found, plain)
    zero, _ = compiled(rows._replace(extra=np.where(out, 0, rows.extra)))
    jax.tree.map(np.testing.assert_array_equal, zero, plain)


@pytest.mark.parametrize(
    ("dtype", "loss", "arguments"),
    [
        (np.uint8, losses.weston_watkins_hinge, {"margin": 0.5}),
        (np.float32, losses.softmax_cross_entropy, {}),
    ],
)
def test_the_gradient_is_that_of_the_mean_loss(dtype, loss, arguments):
    rows = draw(dtype)

    def mean_loss(params, rows):
        return objective.mean_loss(
            params,
            rows.features,
            rows.labels,
            loss=loss,
            loss_arguments=arguments,
            example_weights=rows.weights,
            normalization=rows.normalization,
        )

    value, gradient = jax.jit(jax.value_and_grad(mean_loss))(rows.params, rows)
    sums, _ = compiled(rows, example_function=loss_link(loss), shared=arguments)
    weight = compensated.total(jax.tree.map(np.asarray, sums.weight))
    found = [part / weight for part in totals(sums)]
    np.testing.assert_allclose(found[0][0], value, rtol=1e-6)
    np.testing.assert_allclose(found[1], gradient.weights, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found[2], gradient.bias, rtol=1e-5, atol=1e-6)


def test_sums_of_several_calls_are_those_of_one_pass():
    rows = draw(np.uint8)
    sums = jax.tree.map(np.asarray, row_sums.zeros(rows.params, (2,)))
    for start in range(0, EXAMPLES, 4):
        part = rows._replace(
            **{
                name: getattr(rows, name)[start : start + 4]
                for name in ("features", "labels", "extra", "weights")
            }
        )
        sums, outputs = compiled(part, sums=sums)
        np.testing.assert_array_equal(outputs["extra"], part.extra)
    for found, truth in zip(totals(sums), double_loop(rows), strict=True):
        np.testing.assert_allclose(found, truth, rtol=1e-5, atol=1e-4)


def test_the_dtype_of_the_parameters_decides():
    """float64 parameters on uint8 rows: sixteen digits."""
    rows = draw(np.uint8)
    with jax.enable_x64(True):
        params = linear.Params(*map(np.float64, rows.params))
        sums, _ = compiled(rows._replace(params=params, extra=np.float64(rows.extra)))
    for found, truth in zip(totals(sums), double_loop(rows), strict=True):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, truth, rtol=1e-13, atol=1e-12)


# --- Sums that do not lose digits.


def ones(extra):
    """Rows of one feature that is 1, with these numbers beside them."""
    return Rows(
        linear.Params(np.ones((2, 1), np.float32), np.zeros(2, np.float32)),
        np.ones((len(extra), 1), np.float32),
        np.zeros(len(extra), np.int32),
        extra,
        None,
        None,
    )


def of_extra(shared, scores, label, extra):
    return extra[None], jnp.stack([extra, -extra]), ()


@BOTH
@pytest.mark.parametrize(
    "terms",
    [
        [2.0**24] + [1.0] * 63,
        [1.0, 1e10, 3.0, -1e10] * 16,
        [2.0**24, 1.0, 2.0**-10, -(2.0**24)] * 16,
    ],
)
def test_compensation_keeps_what_float32_sums_lose(terms):
    """1 added to 2^24 is lost in float32, and so is what a large pair leaves."""
    extra = np.asarray(terms, np.float32)
    exact = np.float64(extra).sum()
    rows = ones(extra)
    found = totals(compiled(rows, example_function=of_extra, size=1)[0])
    np.testing.assert_allclose(found[0], [exact], rtol=2e-7)
    np.testing.assert_allclose(found[1][:, 0], [exact, -exact], rtol=2e-7)
    np.testing.assert_allclose(found[2], [exact, -exact], rtol=2e-7)
    plain = np.float32(0)
    for term in extra:
        plain += term
    assert abs(plain - exact) > 2e-6 * exact


# --- What is compiled.


@pytest.mark.parametrize("size", [8, 25])
def test_uint8_rows_are_never_copied_as_floats(size):
    rows = draw(np.uint8)._replace(
        features=jax.ShapeDtypeStruct((50, WIDTH), jnp.uint8),
        labels=jax.ShapeDtypeStruct((50,), jnp.int32),
        extra=jax.ShapeDtypeStruct((50,), jnp.float32),
        weights=None,
    )

    def norms(rows):
        return row_norms.norms(
            rows.features, normalization=rows.normalization, block_size=size
        )

    for function in (functools.partial(one_pass, size=size), norms):
        jaxpr = str(jax.make_jaxpr(function)(rows))
        assert f"u8[50,{WIDTH}]" in jaxpr
        assert f"f32[{size},{WIDTH}]" in jaxpr
        assert f"f32[50,{WIDTH}]" not in jaxpr
        # Nor are they reshaped into blocks, which would be a copy of their own.
        assert f"u8[{50 // size},{size}" not in jaxpr


def test_products_are_at_full_precision_on_every_platform():
    exported = jax.export.export(jax.jit(one_pass), platforms=PLATFORMS)(draw(np.uint8))
    assert exported.platforms == PLATFORMS
    products = re.findall(r"dot_general .*contracting.*", exported.mlir_module())
    assert products
    for product in products:
        assert "precision = [HIGHEST, HIGHEST]" in product


# --- Small things.


@pytest.mark.parametrize("size", [3, 7, 100, None])
def test_norms_are_those_of_the_extended_rows(size):
    """Called as it is, not compiled as a whole."""
    for dtype in (np.uint8, np.float32):
        rows = draw(dtype)
        expected = np.linalg.norm(np.c_[rows.exact, np.ones(EXAMPLES)], axis=1)
        found = row_norms.norms(
            jnp.asarray(rows.features),
            normalization=rows.normalization,
            block_size=size,
        )
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def of_square(shared, scores, label, extra):
    return jnp.square(scores[label])[None], scores, ()


@pytest.mark.parametrize(
    ("size", "is_weighted"),
    [
        (513, True),
        (1300, False),
        *(
            pytest.param(*case, marks=pytest.mark.full)
            for case in ((1024, True), (1300, True), (513, False), (1024, False))
        ),
    ],
)
def test_long_blocks_are_summed_in_short_parts(size, is_weighted):
    draw = np.random.default_rng(0)
    features = draw.integers(0, 256, (1300, 5), dtype=np.uint8)
    labels, weights = draw.integers(0, 3, 1300), draw.uniform(size=1300)
    params = linear.Params(draw.normal(size=(3, 5)) / 100, draw.normal(size=3))
    params = jax.tree.map(np.float32, params)

    given = np.float32(weights) if is_weighted else None
    rows = Rows(params, features, labels, (), given, None)
    sums, _ = jax.tree.map(
        np.asarray, compiled(rows, example_function=of_square, size=size)
    )
    weights = weights if is_weighted else np.ones(1300)
    scores = features @ np.float64(params.weights).T + params.bias
    squares = np.square(scores[np.arange(1300), labels])
    expected = (
        (weights @ squares)[None],
        (scores * weights[:, None]).T @ features,
        weights @ scores,
        weights.sum(),
    )
    for found, truth in zip(sums[:4], expected, strict=True):
        np.testing.assert_allclose(
            compensated.total(found), truth, rtol=1e-6, atol=1e-2
        )
    # None of more than 512 rows.
    parts = {513: 2 + 2 + 1, 1024: 2 + 1, 1300: 3}
    assert sums.parts == parts[size]
    assert sums.rows == 1300


@BOTH
def test_parts_of_a_block_are_added_with_compensation():
    """Two of eight parts of 512 cancel, which would take the others with them."""
    extra = np.repeat(np.float32([2.0**27, *[1.0] * 6, -(2.0**27)]), 512)
    rows = ones(extra)
    sums, _ = compiled(rows, example_function=of_extra, size=4096)
    assert sums.parts == 8
    found = totals(sums)
    np.testing.assert_array_equal(found[0], [3072])
    np.testing.assert_array_equal(found[1][:, 0], [3072, -3072])
    np.testing.assert_array_equal(found[2], [3072, -3072])


@pytest.mark.parametrize("size", [0, -1, 1.5])
def test_a_bad_block_size_is_refused(size):
    with pytest.raises(ValueError, match="block_size must be"):
        one_pass(draw(np.float32), size=size)
