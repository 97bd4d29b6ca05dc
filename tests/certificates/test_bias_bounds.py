"""Bounds on the part of a free bias, against optima of dense float64 methods."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from certificate_problems import SHAPE, exactly, free_problem, near
from free_bias_passes import KINDS, exact_values_at
from random_problems import LOSSES, over_losses

from jaxlin import linear
from jaxlin.certificates import bias_bounds, certification, duality

every_loss = over_losses(*LOSSES)


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


@pytest.mark.parametrize(
    ("name", "share"),
    [
        ("one_vs_rest_hinge", 0.0),
        ("one_vs_rest_hinge", 1.0),
        ("softmax_cross_entropy", 0.0),
        ("weston_watkins_squared_hinge", 0.0),
    ],
)
def test_no_residual_makes_no_bound_of_one_that_does_not_exist(name, share):
    """0 times infinity is infinity here, not NaN."""
    zeros = jnp.zeros(2)
    term = bias_bounds.bias_term(
        zeros,
        zeros,
        (jnp.array([share, 1 - share]), zeros, zeros),
        loss=LOSSES[name],
        loss_arguments=None,
        primal=jnp.asarray(0.5),
        radius=jnp.asarray(1.0),
    )
    assert (term.constant, term.slope) == (np.inf, 0)


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


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "cross_entropy"])
def test_the_bound_of_second_order_holds_at_any_bias(name):
    """And grows with the square of the residual, where the other bound is linear."""
    generator = np.random.default_rng(6)
    would_be_false, gains = False, []
    sizes = [(away, scale) for away in (0, 0.03) for scale in (1e-6, 1e-3, 0.03, 0.3)]
    for kind in KINDS:
        rows, arguments, data, best = free_problem(name, kind)
        pass_at = functools.partial(
            exact_values_at, rows=rows, arguments=arguments, loss=LOSSES[name]
        )
        for away, scale in (*sizes, (0, 3.0)):
            params = near(best, generator, away)
            noise = scale * generator.normal(size=SHAPE[2])
            params = params._replace(bias=params.bias + noise)
            weights = np.float64(arguments["example_weights"])
            curvature = curvature_of(params, rows[0], weights)
            found = pass_at(params, curvature=curvature)
            distance = optima.free_objective(exactly(params), data) - best.value
            gap, rounding = found.certificate.gap, 1e-13 * best.value
            assert gap >= distance - rounding, (kind, away, scale)
            others = found.excess + found.stationarity
            would_be_false |= others < distance - rounding
            without = pass_at(params, curvature=0 * curvature)
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
        (features, targets), arguments, data, best = free_problem(name, kind)
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
        (features, targets), arguments, data, best = free_problem(name, kind)
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
