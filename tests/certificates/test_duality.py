"""Certificates, held against optima that dense float64 methods find by themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
import random_problems
from certificate_problems import exactly, near, problem, unfolded
from optimization_modes import BOTH
from random_problems import LOSSES, SMOOTH, over_losses

from jaxlin import linear, objective
from jaxlin.certificates import certification, duality, fenchel_young
from jaxlin.objective import row_sums

# One hinge stands for three; what makes the dual value a bound, Fenchel and Young's
# inequality, the tests of conjugates have for every loss.
every_loss = over_losses("weston_watkins_hinge", *SMOOTH)


def certify(name, kind, params, **change):
    arrays, arguments, data, best = problem(name, kind)
    proof = certification.certificate(params, *arrays, **{**arguments, **change})
    return jax.tree.map(float, proof)


# --- In float64, where rounding does not matter.


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gap_of_a_smooth_loss_is_its_squared_gradient(name):
    """Fenchel-Young equality: gap = ||grad P||^2 / (2 l2)."""
    generator = np.random.default_rng(1)
    with jax.enable_x64(True):
        for kind in ("noisy", "weighted", "large scores"):
            data, best = problem(name, kind)[2:]
            for scale in (1e-4, 1e-1, 1.0):
                params = near(best, generator, scale)
                proof = certify(name, kind, params)
                value, gradient, _ = optima.parts(exactly(params), data)
                expected = (gradient**2).sum() / (2 * data.l2)
                np.testing.assert_allclose(proof.gap, expected, rtol=1e-6)
                np.testing.assert_allclose(proof.primal, value, rtol=1e-12)


@every_loss
def test_no_parameters_are_below_the_dual_value(name):
    """Weak duality; of all parameters the optimum is the hardest to stay below."""
    generator = np.random.default_rng(2)
    tried = 0
    with jax.enable_x64(True):
        for kind in random_problems.KINDS:
            data, best = problem(name, kind)[2:]
            for scale in (0.0, 1e-3, 0.3):
                params = near(best, generator, scale)
                proof = certify(name, kind, params)
                value = optima.objective(exactly(params), data)
                np.testing.assert_allclose(proof.primal, value, rtol=1e-11)
                taken = proof.primal - proof.gap - proof.dual
                assert 0 < taken <= 1e-9 * (value + proof.gap + data.margin)
                assert proof.gap >= 0
                assert 0 < proof.rounding <= 1e-9 * (value + proof.gap + data.margin)
                allowed = proof.rounding + 1e-14 * (value + data.margin)
                assert proof.dual <= best.value + allowed
                for spread in (1e-3, 0.1, 1.0, 10.0):
                    noise = generator.normal(size=best.weights.shape)
                    other = best.weights + spread * noise
                    assert proof.dual <= optima.objective(other, data) + allowed
                    tried += 1
    assert tried == 12 * len(random_problems.KINDS)


@every_loss
def test_primal_is_the_objective(name):
    arrays, arguments, data, best = problem(name, "weighted")
    with jax.enable_x64(True):
        params = near(best, np.random.default_rng(3), 0.1)
        expected = jax.jit(
            lambda params, rows, targets: objective.objective(
                params, rows, targets, **arguments
            )
        )(params, *map(jnp.asarray, arrays))
        proof = certify(name, "weighted", params)
    np.testing.assert_allclose(proof.primal, expected, rtol=1e-7)


@every_loss
def test_deliberately_wrong_parameters_are_seen_to_be_wrong(name):
    with jax.enable_x64(True):
        data, best = problem(name, "noisy")[2:]
        for wrong in (-best.weights, best.weights[::-1], 10 * best.weights):
            proof = certify(name, "noisy", unfolded(wrong, np.float64))
            above = optima.objective(wrong, data) - best.value
            assert above > 0.1 * best.value
            assert proof.gap >= above * (1 - 1e-12)
            assert duality.relative_gap(proof) > 0.1
            assert duality.radius(proof, l2=data.l2) >= np.linalg.norm(
                wrong - best.weights
            ) * (1 - 1e-12)


def test_targets_that_sum_to_one_only_roughly_count_as_distributions():
    """Divided by their sums, as a float32 row seldom has the sum 1."""
    (rows, targets), arguments, data, best = problem("cross_entropy", "noisy")
    generator = np.random.default_rng(6)
    rough = targets * generator.uniform(0.9995, 1.0005, size=(len(targets), 1))
    sums = rough.sum(axis=1, keepdims=True)
    assert np.abs(sums - 1).max() > 1e-4
    exact = data._replace(targets=rough / sums)
    truth = optima.optimum(exact)
    with jax.enable_x64(True):
        for scale in (0.0, 1e-5, 1e-2):
            params = near(truth, generator, scale)
            proof = certification.certificate(
                params, rows, jnp.asarray(rough), **arguments
            )
            value = optima.objective(exactly(params), exact)
            np.testing.assert_allclose(proof.primal, value, rtol=1e-12)
            assert proof.gap + proof.rounding >= value - truth.value - 1e-14 * (
                1 + value
            )
        at_optimum = unfolded(truth.weights, np.float64)
        proof = certification.certificate(
            at_optimum, rows, jnp.asarray(rough), **arguments
        )
        assert duality.relative_gap(proof) < 1e-12


# --- In float32, where a certificate must allow for its rounding.


@BOTH
@over_losses("weston_watkins_hinge", "softmax_cross_entropy")
def test_certificates_of_any_parameters_bound_their_suboptimality(name):
    """From far off to as near as float32 comes, and so does the radius."""
    generator = np.random.default_rng(4)
    for kind in random_problems.KINDS:
        data, best = problem(name, kind)[2:]
        for scale in (0.0, 1e-6, 1e-4, 1e-2, 1.0, 100.0):
            params = near(best, generator, scale, np.float32)
            proof = certify(name, kind, params)
            folded = exactly(params)
            above = optima.objective(folded, data) - best.value
            assert proof.gap + proof.rounding >= above - 1e-14 * (1 + best.value), (
                kind,
                scale,
            )
            radius = float(duality.radius(duality.Certificate(*proof), l2=data.l2))
            distance = np.linalg.norm(folded - best.weights)
            # The reference is exact to nine digits of its value.
            reference = np.sqrt(2e-9 * best.value / data.l2)
            assert distance <= radius * (1 + 1e-6) + min(
                reference, 1e-6 * np.linalg.norm(best.weights)
            )


@BOTH
@over_losses("weston_watkins_hinge", names=optima.HINGES)
def test_the_optimum_with_its_multipliers_is_certified_to_rounding(name):
    """The true duals are the center, like those of a fit's last round."""
    generator = np.random.default_rng(5)
    evaluate = jax.jit(_evaluate, static_argnames="loss")
    for kind in random_problems.KINDS:
        arrays, arguments, data, best = problem(name, kind)
        for scale in (0.0, 1e-7, 1e-5, 1e-3):
            params = near(best, generator, scale, np.float32)
            found = evaluate(
                params,
                *arrays,
                np.float32(best.duals),
                np.float32(np.linalg.norm(data.rows, axis=1)),
                arguments["example_weights"],
                np.float32(data.l2),
                np.float32(data.margin),
                loss=LOSSES[name],
            )
            proof = jax.tree.map(float, found.certificate)
            above = optima.objective(exactly(params), data) - best.value
            assert proof.gap + proof.rounding >= above - 1e-14 * (1 + best.value), (
                kind,
                scale,
            )
            if scale == 0 and data.l2 > 1e-2 and kind != "large scores":
                assert float(duality.relative_gap(found.certificate)) < 1e-3
                assert float(found.excess) <= proof.gap


def _evaluate(params, rows, targets, dual_centers, norms, weights, l2, margin, *, loss):
    shared = fenchel_young.term_arguments(params, 0.1 * margin, {"margin": margin})
    sums, _ = row_sums.over_rows(
        params,
        rows,
        targets,
        fenchel_young.PerExample(dual_centers, norms),
        example_function=fenchel_young.example_function(loss),
        shared=shared,
        example_weights=weights,
    )
    return duality.pass_values(sums, params, loss=loss, l2=l2)


@BOTH
@pytest.mark.parametrize("constant", [10.1, 3.3])
@pytest.mark.parametrize(
    ("examples", "block_size", "weight"),
    [
        # A multiple of the rows of a block: the last is no program of its own.
        (204_800, None, None),
        pytest.param(20_000, None, 0.1, marks=pytest.mark.full),
        (5_000, 1, 0.1),
    ],
)
def test_sums_of_many_equal_terms(constant, examples, block_size, weight):
    """Their rounding errors agree. While all margins are violated, P is a parabola."""
    rows = np.full((examples, 1), constant, np.float32)
    weights = None if weight is None else np.full(examples, weight, np.float32)
    proof = certification.certificate(
        linear.Params(jnp.zeros((2, 1)), jnp.zeros(2)),
        rows,
        np.zeros(examples, np.int32),
        loss=LOSSES["weston_watkins_hinge"],
        l2=1000.0,
        example_weights=weights,
        block_size=block_size,
    )
    proof = jax.tree.map(float, proof)
    # The slope is (x, 1) for one class and its negative for the other.
    above = 2 * (float(rows[0, 0]) ** 2 + 1) / (2 * 1000.0)
    assert proof.gap + proof.rounding >= above
    assert proof.dual <= 1 - above
    assert proof.gap + proof.rounding <= 1.001 * above


@pytest.mark.parametrize("weight", [2e38, 0.0])
def test_weights_whose_sum_is_no_number_prove_nothing(weight):
    def certify(weights):
        return certification.certificate(
            linear.Params(jnp.zeros((2, 1)), jnp.zeros(2)),
            jnp.full((2, 1), 0.1),
            jnp.array([0, 1]),
            loss=LOSSES["softmax_cross_entropy"],
            l2=1.0,
            example_weights=weights,
        )

    proof = jax.jit(certify)(jnp.full(2, weight))
    assert proof.gap == np.inf
    assert proof.dual == -np.inf


@BOTH
def test_soft_targets_count_with_the_rounding_of_both_distributions():
    """The difference of targets and a prediction that agrees is all roundoff."""
    proof = certification.certificate(
        linear.Params(jnp.zeros((2, 1)), jnp.zeros(2)),
        np.ones((1, 1)),
        np.array([[0.5, 0.5]], np.float32),
        loss=LOSSES["cross_entropy"],
        l2=10.0,
    )
    assert proof.gap < 1e-20
    # Two units of roundoff in the slope.
    assert proof.rounding > 4 * np.finfo(np.float32).eps ** 2 / (2 * 10.0)
