"""Certificates with a free bias, against optima of dense float64 methods."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from certificate_problems import SHAPE, exactly, free_problem, near
from free_bias_passes import KINDS, exact_values_at, values_at
from random_problems import LOSSES, over_losses

from jaxlin import linear
from jaxlin.certificates import certification, duality
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.linear import Bias
from jaxlin.numerics.compensated import Compensated
from jaxlin.objective import row_sums

every_loss = over_losses(*LOSSES)


@every_loss
def test_no_certificate_is_false_and_that_of_the_optimum_is_tight(name):
    generator = np.random.default_rng(0)
    for kind in KINDS:
        arrays, arguments, data, best = free_problem(name, kind)
        for scale in (0.0, 1e-3, 0.1, 3.0):
            params = near(best, generator, scale)
            proof = certification.certificate(
                params, *arrays, loss=LOSSES[name], bias="free", **arguments
            )
            value = optima.free_objective(exactly(params), data)
            above = value - best.value
            allowed = 1e-8 * value
            np.testing.assert_allclose(proof.primal, value, rtol=1e-10)
            assert proof.gap + proof.rounding >= above - allowed, (kind, scale)
            assert proof.dual <= best.value + allowed, (kind, scale)
            if scale == 0 and name not in optima.HINGES:
                assert proof.gap <= 1e-6 * value, kind


@every_loss
def test_a_gap_holds_at_any_bias(name):
    """The bound on the part of the residual, where that is not small at all."""
    generator = np.random.default_rng(1)
    shares_of_bound, would_be_false = [], False
    for kind in KINDS:
        rows, arguments, data, best = free_problem(name, kind)
        for scale in (1e-3, 0.1, 1.0, 10.0):
            params = near(best, generator, 0.0)
            params = params._replace(
                bias=params.bias + scale * generator.normal(size=params.bias.shape)
            )
            found = exact_values_at(params, rows, arguments, loss=LOSSES[name])
            proof = found.certificate
            value = optima.free_objective(exactly(params), data)
            np.testing.assert_allclose(proof.primal, value, rtol=1e-10)
            bound = proof.gap + proof.rounding
            assert bound >= value - best.value - 1e-8 * value, (kind, scale)
            would_be_false |= found.excess + found.stationarity < value - best.value
            shares_of_bound.append(float((value - best.value) / bound))
            assert not found.gradient[:, -1].any()
    assert max(shares_of_bound) > 1e-3
    # Without the part of the residual, certificates of some losses would be false.
    assert would_be_false or name in (*optima.HINGES, "weston_watkins_squared_hinge")


def test_the_gradient_at_a_far_center_counts_its_rounding():
    """It has the errors of the residual, times the size of the center."""
    name = "softmax_cross_entropy"
    (features, targets), arguments, _, best = free_problem(name, "noisy")
    params = near(best, np.random.default_rng(6), 0.0)

    def found(dtype):
        rows, bias, weights = (
            np.float32(one).astype(dtype)
            for one in (features, params.bias, params.weights)
        )
        norms = np.linalg.norm(np.c_[rows, np.ones(len(rows))], axis=1)
        # Of radius 0, so that no other part of the bound grows with the center.
        center = RowCenter(np.full(SHAPE[1], 1e5, dtype), np.zeros((), dtype))
        values = values_at(
            linear.Params(weights, bias),
            rows,
            targets,
            np.float32(arguments["example_weights"]).astype(dtype),
            norms.astype(dtype),
            loss=LOSSES[name],
            l2=np.asarray(arguments["l2"], dtype),
            arguments=arguments["loss_arguments"],
            center=center,
        )
        return jax.device_get(values)

    rounded = found(np.float32)
    with jax.enable_x64(True):
        precise = found(np.float64)
    error = abs(float(rounded.stationarity) - float(precise.stationarity))
    assert error <= rounded.certificate.rounding


@functools.partial(jax.jit, static_argnames=("loss", "bias"))
def certificates_of_sums(added, *, loss, bias):
    """Certificates of plausible sums over 10 examples of 2 classes, plus ``added``."""
    params = linear.Params(jnp.full((2, 1), 0.1), jnp.zeros(2))
    of_example = [0.7, 0.7, 0.01, 1e-6, 1e-6, 1.0]
    sizes, shares, leads, of_others = [0.5, 0.5], [0.4, 0.6], [0.1, 0.2], [0.0, 0.0]
    values = 10 * jnp.array([*of_example, *sizes, *shares, *leads, *of_others])
    residual, weight = jnp.array([1.0, -1.0]), jnp.float32(10)
    center = RowCenter(jnp.zeros(1), jnp.ones(())) if bias is Bias.FREE else None
    options = {"loss": loss, "l2": 0.1, "bias": bias, "center": center}

    def with_added(added):
        sums = row_sums.zeros(params, values.shape)._replace(
            values=Compensated(values + added[:14], jnp.zeros(14)),
            bias=Compensated(residual + added[14:16], jnp.zeros(2)),
            weight=Compensated(weight + added[16], jnp.float32(0)),
            rows=weight,
            parts=jnp.float32(1),
        )
        return duality.pass_values(sums, params, **options).certificate

    return jax.vmap(with_added)(added)


@pytest.mark.parametrize(
    ("name", "bias", "num_used"),
    [
        ("softmax_cross_entropy", Bias.PENALIZED, 6),
        ("softmax_cross_entropy", Bias.FREE, 12),
        ("weston_watkins_squared_hinge", Bias.FREE, 12),
        ("one_vs_rest_hinge", Bias.FREE, 14),
    ],
)
def test_a_sum_that_is_no_number_proves_nothing(name, bias, num_used):
    """Each one in turn is NaN, but for the smoothed loss and those without use."""
    places = np.r_[1:num_used, 14:17]
    added = np.zeros((1 + len(places), 17), np.float32)
    added[1 + np.arange(len(places)), places] = np.nan
    found = certificates_of_sums(added, loss=LOSSES[name], bias=bias)
    assert found.gap[0] < np.inf
    assert found.dual[0] > -np.inf
    np.testing.assert_array_equal(found.gap[1:], np.inf)
    np.testing.assert_array_equal(found.dual[1:], -np.inf)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "one_vs_rest_hinge"])
def test_nothing_is_proven_without_an_example_of_a_class(name):
    (features, targets), arguments, _, best = free_problem(name, "noisy")
    arguments = {**arguments, "example_weights": np.float64(targets != 1)}
    proof = certification.certificate(
        near(best, np.random.default_rng(2), 0.1),
        features,
        targets,
        loss=LOSSES[name],
        bias="free",
        **arguments,
    )
    assert (proof.gap, proof.dual) == (np.inf, -np.inf)
