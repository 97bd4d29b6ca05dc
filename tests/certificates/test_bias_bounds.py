"""Certificates with a free bias, against optima of dense float64 methods."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
import random_problems
from random_problems import LOSSES, over_losses

from jaxlin import linear
from jaxlin.certificates import bias_bounds, certification, duality, fenchel_young
from jaxlin.certificates.bias_bounds import RowCenter
from jaxlin.linear import Bias
from jaxlin.objective import row_sums

SHAPE = (20, 5, 3)
KINDS = ("noisy", "separable", "weighted", "constant features", "large scores")
every_loss = over_losses(*LOSSES)


@functools.cache
def problem(name, kind):
    """Arguments of `certification.certificate`, `optima.Data`, the free optimum."""
    generator = np.random.default_rng(list(map(ord, kind)))
    given, arguments, data = random_problems.make(
        generator, kind, name, SHAPE, dtype=np.float64
    )
    of_classes = np.bincount(
        given["targets"].argmax(1) if given["targets"].ndim == 2 else given["targets"],
        weights=given["example_weights"],
        minlength=SHAPE[2],
    )
    assert (of_classes > 0).all(), "a free bias needs an example of each class"
    arguments["example_weights"] = given["example_weights"]
    return (
        (given["features"], given["targets"]),
        arguments,
        data,
        optima.free_optimum(data),
    )


def near(best, generator, scale):
    """Parameters that miss the optimum by about ``scale`` of its size."""
    noise = (
        scale * np.abs(best.weights).max() * generator.normal(size=best.weights.shape)
    )
    folded = best.weights + noise
    return linear.Params(folded[:, :-1], folded[:, -1])


def exactly(params):
    return np.c_[params.weights, params.bias].astype(np.float64)


@every_loss
def test_no_certificate_is_false_and_that_of_the_optimum_is_tight(name):
    generator = np.random.default_rng(0)
    for kind in KINDS:
        arrays, arguments, data, best = problem(name, kind)
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


@functools.partial(jax.jit, static_argnames="loss")
def values_at(
    params,
    features,
    targets,
    weights,
    norms,
    *,
    loss,
    l2,
    arguments,
    center=None,
    curvature=None,
):
    """Values of a pass at any bias, without a search for the best one."""
    width = params.bias.size if loss.__name__ in optima.HINGES else 0
    centers = jnp.zeros((len(norms), width), norms.dtype)
    sums, _ = row_sums.over_rows(
        params,
        features,
        targets,
        fenchel_young.PerExample(centers, norms),
        example_function=fenchel_young.example_function(loss, bias=Bias.FREE),
        shared=fenchel_young.term_arguments(params, jnp.asarray(0.1), arguments),
        example_weights=weights,
    )
    if curvature is not None:
        sums = sums._replace(bias_curvature=curvature)
    if center is None:
        mean = jnp.mean(features, axis=0)
        distances = jnp.linalg.norm(features - mean[None, :], axis=1)
        center = RowCenter(mean, jnp.max(distances))
    return duality.pass_values(
        sums,
        params,
        loss=loss,
        l2=l2,
        loss_arguments=arguments,
        bias=Bias.FREE,
        center=center,
    )


@every_loss
def test_a_gap_holds_at_any_bias(name):
    """The bound on the part of the residual, where that is not small at all."""
    generator = np.random.default_rng(1)
    shares_of_bound, would_be_false = [], False
    for kind in KINDS:
        (features, targets), arguments, data, best = problem(name, kind)
        norms = np.linalg.norm(np.c_[features, np.ones(len(features))], axis=1)
        for scale in (1e-3, 0.1, 1.0, 10.0):
            params = near(best, generator, 0.0)
            params = params._replace(
                bias=params.bias + scale * generator.normal(size=params.bias.shape)
            )
            with jax.enable_x64(True):
                found = values_at(
                    params,
                    features,
                    jnp.asarray(targets),
                    np.float64(arguments["example_weights"]),
                    norms,
                    loss=LOSSES[name],
                    l2=arguments["l2"],
                    arguments=arguments["loss_arguments"],
                )
                found = jax.device_get(found)
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
    (features, targets), arguments, _, best = problem(name, "noisy")
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


@pytest.mark.parametrize("share", [1.0, 1 - 1e-7, 0.9])
def test_a_class_that_is_nearly_alone_has_no_bound_of_its_fall(share):
    """One-vs-rest: the share of the others may be of rounding alone."""
    zeros = jnp.zeros(2)
    term = bias_bounds.bias_term(
        jnp.array([-0.1, 0.0]),
        zeros,
        (jnp.array([share, 0.5], jnp.float32), zeros, zeros),
        loss=LOSSES["one_vs_rest_hinge"],
        loss_arguments=None,
        primal=jnp.asarray(0.5),
        radius=jnp.asarray(1.0),
    )
    # The loss of the others, 0.5 / 0.1, less the margin, bounds the fall.
    expected = 0.1 * (5 - 1) if share == 0.9 else np.inf
    np.testing.assert_allclose(term.constant, expected, rtol=1e-4)


def class_means_of(name, scores, targets, weights):
    """Means of the class values, written out by hand."""
    shares = np.float64(targets)
    if shares.ndim == 1:
        shares = np.eye(SHAPE[2])[targets]
    shares /= shares.sum(axis=1, keepdims=True)
    values = shares, shares * (scores - scores.min(axis=1, keepdims=True)), 0 * scores
    if name == "one_vs_rest_hinge":
        values = shares, shares * scores, (1 - shares) * scores
    return [weights @ value / weights.sum() for value in values]


def curvature_of(params, features, weights):
    """Curvature of softmax along the bias: the smallest eigenvalue and the diagonal."""
    scores = features @ params.weights.T + params.bias
    probabilities = np.exp(scores - scores.max(axis=1, keepdims=True))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    shares = weights / weights.sum()
    hessian = np.diag(shares @ probabilities)
    hessian -= (shares[:, None] * probabilities).T @ probabilities
    diagonal = hessian.diagonal()
    scaled = hessian / np.sqrt(np.outer(diagonal, diagonal))
    return np.linalg.eigvalsh(scaled)[1] * diagonal


def values_with(curvature, params, name, kind):
    """Values of a pass in float64 with a given curvature along the bias."""
    (features, targets), arguments, _, _ = problem(name, kind)
    norms = np.linalg.norm(np.c_[features, np.ones(len(features))], axis=1)
    with jax.enable_x64(True):
        found = values_at(
            params,
            features,
            jnp.asarray(targets),
            np.float64(arguments["example_weights"]),
            norms,
            loss=LOSSES[name],
            l2=arguments["l2"],
            arguments=arguments["loss_arguments"],
            curvature=curvature,
        )
        return jax.device_get(found)


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy"])
def test_the_bound_of_second_order_holds_at_any_bias(name):
    """And grows with the square of the residual, where the other bound is linear."""
    generator = np.random.default_rng(6)
    would_be_false, gains = False, []
    sizes = [(away, scale) for away in (0, 0.03) for scale in (1e-6, 1e-3, 0.03, 0.3)]
    for kind in KINDS:
        (features, _), arguments, data, best = problem(name, kind)
        for away, scale in (*sizes, (0, 3.0)):
            params = near(best, generator, away)
            noise = scale * generator.normal(size=SHAPE[2])
            params = params._replace(bias=params.bias + noise)
            weights = np.float64(arguments["example_weights"])
            curvature = curvature_of(params, features, weights)
            found = values_with(curvature, params, name, kind)
            distance = optima.free_objective(exactly(params), data) - best.value
            gap, rounding = found.certificate.gap, 1e-13 * best.value
            assert gap >= distance - rounding, (kind, away, scale)
            others = found.excess + found.stationarity
            would_be_false |= others < distance - rounding
            without = values_with(0 * curvature, params, name, kind)
            gains.append(without.certificate.gap / gap)
    assert would_be_false
    assert min(gains) >= 1 - 1e-12
    assert max(gains) > 1e3


@every_loss
def test_the_bound_holds_for_any_residual_and_any_center(name):
    """The inequality itself; without the distance of the weights it is false."""
    generator = np.random.default_rng(5)
    is_false_without = False
    for kind in KINDS:
        (features, targets), arguments, data, best = problem(name, kind)
        weights = np.float64(arguments["example_weights"])
        for scale in (0.01, 1.0, 30.0, None):
            params = near(best, generator, scale or 0.0)
            center = features.mean(axis=0) + generator.normal(size=SHAPE[1])
            if scale is None:
                # Weights far from the optimum, with a small objective.
                params = linear.Params(*(0 * leaf for leaf in params))
                center = 30 * center
            scores = features @ params.weights.T + params.bias
            residual = generator.normal(size=SHAPE[2])
            if name != "one_vs_rest_hinge":
                residual -= residual.mean()
            with jax.enable_x64(True):
                term = bias_bounds.bias_term(
                    residual,
                    np.zeros(SHAPE[2]),
                    class_means_of(name, scores, targets, weights),
                    loss=LOSSES[name],
                    loss_arguments=arguments["loss_arguments"],
                    primal=optima.free_objective(exactly(params), data),
                    radius=np.linalg.norm(features - center, axis=1).max(),
                )
                constant, slope = map(float, term)
            change = params.weights - best.weights[:, :-1]
            moved = params.bias - best.weights[:, -1] + change @ center
            needed = moved @ residual
            distance = np.linalg.norm(change)
            assert needed <= constant + slope * distance + 1e-8, (kind, scale)
            is_false_without |= needed > constant + 1e-8
    assert is_false_without


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy"])
def test_the_bias_of_the_optimum_is_within_its_distance(name):
    generator = np.random.default_rng(4)
    ratios = []
    for kind in KINDS:
        (features, targets), arguments, data, best = problem(name, kind)
        of_rows = {
            "example_weights": arguments["example_weights"],
            "normalization": None,
            "l2": data.l2,
        }
        for scale in (0.0, 1e-6, 1e-3, 0.1):
            params = near(best, generator, scale)
            # The optimal bias of these weights is close to them; any other is not.
            proof = certification.certificate(
                params, features, targets, loss=LOSSES[name], bias="free", **arguments
            )
            gap = float(duality.bound(proof)) + 1e-8 * best.value
            found = bias_bounds.bias_distance(
                params, features, certificate_gap=gap, rounding=0.0, **of_rows
            )
            difference = params.bias - best.weights[:, -1]
            distance = np.linalg.norm(difference - difference.mean())
            assert distance <= found, (kind, scale)
            ratios.append(distance / found)
    assert max(ratios) > 1e-3
    infinite = bias_bounds.bias_distance(
        params, features, certificate_gap=np.inf, rounding=0.0, **of_rows
    )
    assert infinite == np.inf


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "one_vs_rest_hinge"])
def test_nothing_is_proven_without_an_example_of_a_class(name):
    (features, targets), arguments, _, best = problem(name, "noisy")
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


def test_a_bias_that_is_not_there_must_be_0():
    (features, targets), arguments, data, best = problem(
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
        features=np.float32(features),
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
