"""Arguments of `certification.certificate`: refused, traced, and how they compile."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from certificate_problems import SHAPE, exactly, free_problem, near, problem, unfolded
from random_problems import LOSSES

from jaxlin import linear, losses, normalization
from jaxlin.certificates import (
    certification,
    duality,
    fenchel_young,
    label_certificates,
)
from jaxlin.losses import transforms

PLATFORMS = ("cpu", "cuda", "tpu")


@pytest.mark.parametrize("l2", [0, 0.0, -1e-3, float("nan"), float("inf"), None, "1"])
def test_without_a_penalty_there_is_no_certificate(l2):
    arrays, arguments, _, best = problem("softmax_cross_entropy", "noisy")
    params = unfolded(best.weights, np.float32)
    with pytest.raises(ValueError, match="l2 must be"):
        certification.certificate(params, *arrays, **{**arguments, "l2": l2})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.full(20, 3)}, r"targets must lie in \[0, 2\], got 3"),
        ({"targets": np.zeros(20)}, "targets must be integers"),
        ({"targets": np.eye(3)}, "targets must be integers"),
        ({"features": np.ones((20, 4))}, "features must have 5 features, got 4"),
        ({"features": np.full((20, 5), np.nan)}, "features must be finite"),
        ({"example_weights": np.zeros(20)}, "example_weights must have a positive sum"),
        ({"loss_arguments": {"margin": 1.0}}, "loss_arguments must be among"),
        ({"loss_arguments": 1.0}, "loss_arguments must be keywords .* got 1.0; such"),
        ({"normalization": normalization.identity(4)}, "normalization must be for 5"),
        (
            {"params": linear.Params(np.zeros((3, 5)), np.zeros(2))},
            r"params must have weights \(classes, features\) and bias",
        ),
    ],
)
def test_data_are_checked(change, message):
    (rows, labels), arguments, *_ = problem("softmax_cross_entropy", "noisy")
    params = linear.Params(jnp.zeros((3, 5)), jnp.zeros(3))
    given = {
        "params": params,
        "features": rows,
        "targets": labels,
        **arguments,
        **change,
    }
    with pytest.raises(ValueError, match=message):
        certification.certificate(**given)


def test_a_bias_that_is_not_there_must_be_0():
    (features, targets), arguments, data, best = free_problem(
        "softmax_cross_entropy", "noisy"
    )
    loss = LOSSES["softmax_cross_entropy"]
    params = near(best, np.random.default_rng(3), 0.1)
    given = (features, targets)
    with pytest.raises(
        ValueError, match=r'params must have a bias of 0 for bias="none'
    ):
        certification.certificate(params, *given, loss=loss, bias="none", **arguments)
    with pytest.raises(ValueError, match="bias must be .*'no'"):
        certification.certificate(params, *given, loss=loss, bias="no", **arguments)
    # A traced bias is not looked at; its certificate proves nothing.
    traced = functools.partial(
        certification.certificate,
        features=features,
        targets=targets,
        loss=loss,
        bias="none",
        **arguments,
    )
    rounded = jax.tree.map(np.float32, params)
    assert jax.jit(traced)(rounded).gap == np.inf
    without = params._replace(bias=0 * params.bias)
    assert jax.jit(traced)(rounded._replace(bias=np.zeros(SHAPE[2]))).gap < np.inf
    proof = certification.certificate(
        without, *given, loss=loss, bias="none", **arguments
    )
    rows = data.rows.copy()
    rows[:, -1] = 0
    best = optima.optimum(data._replace(rows=rows))
    value = optima.objective(exactly(without), data)
    np.testing.assert_allclose(proof.primal, value, rtol=1e-12)
    assert proof.gap + proof.rounding >= value - best.value
    _, gradient, _ = optima.parts(exactly(without), data._replace(rows=rows))
    expected = (gradient**2).sum() / (2 * data.l2)
    np.testing.assert_allclose(proof.gap, expected, rtol=1e-6)


def test_traced_rows_normalizations_and_float64_parameters():
    """Whatever is traced: nothing then is looked at, and digits are those of JAX."""
    (rows, labels), arguments, _, best = problem("softmax_cross_entropy", "noisy")
    fitted = normalization.Normalization(jnp.full(5, 0.1), jnp.float32(2))
    params = unfolded(best.weights, np.float32)
    precise = jax.tree.map(np.float64, params)

    def proof(params, rows, fitted):
        given = {**arguments, "normalization": fitted}
        return certification.certificate(params, rows, labels, **given)

    plain = proof(params, rows, fitted)
    for one, given in (
        (lambda fitted: proof(params, rows, fitted), fitted),
        (lambda rows: proof(precise, rows, fitted), rows),
    ):
        np.testing.assert_allclose(jax.jit(one)(given), plain, rtol=1e-3, atol=1e-6)


def test_float64_arrays_that_a_program_has_closed_over():
    """Without float64 in JAX; certificates before and after it are in float64."""
    (rows, labels), arguments, _, best = problem(
        "softmax_cross_entropy", "noisy", np.float64
    )
    params = unfolded(best.weights, np.float64)

    def proof(l2):
        given = {**arguments, "l2": l2, "normalization": None}
        return certification.certificate(params, rows, labels, **given)

    def user(scale):
        return (scale * rows).sum() + sum(map(jnp.sum, params))

    assert not jnp.isnan(jax.jit(user)(1.0))
    np.testing.assert_allclose(label_certificates.label_radii(params, rows).size, 20)
    l2 = arguments["l2"]
    traced = [jax.jit(proof)(l2), jax.jit(lambda zero: (zero, proof(l2)))(0.0)[1]]
    precise = proof(l2)
    assert precise.gap.dtype == np.float64
    assert precise.gap < 1e-12
    for found in traced:
        assert found.gap.dtype == np.float32
        np.testing.assert_allclose(found, precise, rtol=1e-4, atol=1e-6)


def test_a_loss_without_a_conjugate_is_refused():
    arrays, arguments, _, best = problem("weston_watkins_hinge", "noisy")
    params = unfolded(best.weights, np.float32)
    for loss in (
        transforms.mean_over_all_classes(losses.weston_watkins_hinge),
        lambda scores, label: 0.0,
    ):
        with pytest.raises(ValueError, match="loss must be one of"):
            certification.certificate(params, *arrays, **{**arguments, "loss": loss})
        with pytest.raises(ValueError, match="loss must be one of"):
            fenchel_young.example_function(loss)


def test_products_are_at_full_precision_on_every_platform():
    (rows, labels), arguments, *_ = problem("weston_watkins_hinge", "noisy", np.uint8)

    def bound(params, rows, labels, weights, fitted):
        proof = certification.certificate(
            params,
            rows,
            labels,
            loss=LOSSES["weston_watkins_hinge"],
            l2=0.1,
            example_weights=weights,
            normalization=fitted,
        )
        return duality.radius(proof, l2=0.1)

    params = linear.Params(jnp.zeros((3, 5)), jnp.zeros(3))
    exported = jax.export.export(jax.jit(bound), platforms=PLATFORMS)(
        params, rows, labels, arguments["example_weights"], arguments["normalization"]
    )
    assert exported.platforms == PLATFORMS
    products = re.findall(r"dot_general .*contracting.*", exported.mlir_module())
    assert products
    for product in products:
        assert "precision = [HIGHEST, HIGHEST]" in product
