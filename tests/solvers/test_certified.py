"""One contract over all losses: certified fits, held against dense float64 optima.

Each loss has one shape here, and so one program: `certified_runs` says which.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
import random_problems
import scipy.optimize
from certified_runs import QUICK, SHAPE, draw, evaluations, exactly, fit, zeros
from random_problems import LOSSES, over_losses

from jaxlin import linear
from jaxlin.solvers import optimizer_state

EASY = ("noisy", "separable", "duplicated columns", "constant features", "weighted")
every_loss = pytest.mark.parametrize("name", LOSSES)
EXAMPLES = SHAPE[0]
quick_losses = over_losses(*QUICK)


def check_soundness(name, given, keywords, data, *, most, start=None):
    """No certificate of a fit, at whatever evaluation, is below what it bounds."""
    best = optima.optimum(data)
    checked = 0
    for done, state, info in evaluations(name, given, keywords, most=most, start=start):
        if state.idle_passes == 0:  # the certificate is new
            proof = jax.tree.map(float, info.certificate)
            value = optima.objective(exactly(state.params), data)
            above = value - best.value
            # The reference rounds too, as scores of size 1 to 100 do.
            allowed = 1e-14 * (1 + value)
            assert proof.gap + proof.rounding >= above - allowed, done
            near = proof.rounding + 1e-6 * (value + data.margin)
            assert abs(proof.primal - value) <= near, done
            assert proof.dual <= best.value + allowed, done
            # What rounding may have added to it is little.
            taken = (proof.primal - proof.gap) - proof.dual
            size = value + proof.gap + data.margin
            assert 0 <= taken <= 2 * proof.rounding + 1e-4 * size, done
            assert info.relative_gap >= (above - allowed) / value, done
            checked += 1
        if info.stalled:
            break
    assert checked > 0


@pytest.mark.parametrize("kind", random_problems.KINDS)
@quick_losses
def test_no_certificate_of_a_fit_is_false(name, kind):
    """Ten awkward problems a loss: those of `random_problems`."""
    given, keywords, data = draw(name, kind)
    check_soundness(name, given, keywords, data, most=80)


@every_loss
@pytest.mark.full
def test_nor_is_one_whose_objective_is_lost_in_rounding(name):
    """Nearly no penalty on separable rows: the losses themselves are roundoff."""
    dtype = np.uint8 if name in QUICK else np.float32
    for l2 in (1e-6, 1e-9):
        given, keywords, data = draw(
            name, "separable", l2=l2, shape=(12, 6, 3), dtype=dtype
        )
        start = linear.Params(jnp.zeros((3, 6)), jnp.zeros(3))
        check_soundness(name, given, keywords, data, most=40, start=start)


# (shape, dtype of the rows, seeds): with the ten kinds and six losses 480 problems.
MORE = [
    ((1, 4, 2), np.float32, 1),
    ((9, 2, 100), np.float32, 1),
    ((10, 30, 4), np.uint8, 2),
    ((60, 3, 10), np.float32, 2),
    (SHAPE, np.float64, 2),
]


@pytest.mark.full
@pytest.mark.parametrize(("shape", "dtype", "seeds"), MORE)
@every_loss
def test_no_certificate_of_many_fits_is_false(name, shape, dtype, seeds):
    """In float64 where the rows are."""
    with jax.enable_x64(dtype == np.float64):
        start = zeros(shape, jnp.float64 if dtype == np.float64 else jnp.float32)
        for seed in range(1, 1 + seeds):
            for kind in random_problems.KINDS:
                given, keywords, data = draw(
                    name, kind, seed=seed, shape=shape, dtype=dtype
                )
                check_soundness(name, given, keywords, data, most=150, start=start)


# --- What a fit reaches.


@quick_losses
def test_the_requested_gap_is_proven_and_true(name):
    for kind in EASY:
        given, keywords, data = draw(name, kind, l2=0.03)
        best = optima.optimum(data)
        done, state, info = fit(name, given, keywords)
        assert info.relative_gap <= 1e-4, kind
        assert done < 200
        value = optima.objective(exactly(state.params), data)
        assert best.value * (1 - 1e-9) <= value <= best.value * (1 + 1e-4)
        # Strong convexity bounds the distance.
        distance = np.linalg.norm(exactly(state.params) - best.weights)
        assert distance <= np.sqrt(2 * 1.01e-4 * value / data.l2)
        # A warm start from the solution needs no more than a look; a hinge, whose
        # smoothing is between its first and its last, up to half of its rounds.
        duals = optimizer_state.Duals(state.dual_centers, state.smoothing)
        again, _, info = fit(name, given, keywords, start=state.params, duals=duals)
        assert info.relative_gap <= 2e-4, kind
        assert again <= max(3, done // (2 if name in optima.HINGES else 3)), kind


@quick_losses
def test_example_weights_select_and_repeat(name):
    """0 takes an example out, 2 is the example twice."""
    given, keywords, _ = draw(name, "noisy", l2=0.03)
    half = EXAMPLES // 2

    def optimum_of(rows, weights):
        changed = {
            **given,
            "features": given["features"][rows],
            "targets": given["targets"][rows],
            "example_weights": weights,
        }
        _, state, info = fit(name, changed, keywords, gap=1e-5)
        assert info.relative_gap < 1e-4
        return float(state.certificate.primal), exactly(state.params)

    rows, ones = np.arange(EXAMPLES), np.ones(EXAMPLES)
    first = np.where(rows < half, 1.0, 0.0)
    other = np.where(rows < half, rows, half + (rows + 5) % half)
    pairs = (
        # Whatever the examples that are out.
        ((rows, first), (other, first)),
        # All of the first twice, or with weight 2 (and 2 is 1 if it is so for all).
        ((rows, 2 * first), (rows % half, ones)),
        # Some twice.
        (
            (rows, np.where(rows < 4, 2.0, first)),
            (rows % half, np.where(rows < half + 4, 1.0, 0.0)),
        ),
    )
    for one, two in pairs:
        value, weights = optimum_of(*one)
        same_value, same_weights = optimum_of(*two)
        np.testing.assert_allclose(value, same_value, rtol=1e-4)
        # Within the two radii of one optimum.
        radius = np.sqrt(2 * 1e-4 * value / keywords["l2"])
        assert np.linalg.norm(weights - same_weights) <= 2 * radius


@quick_losses
def test_permuted_classes_give_the_permuted_optimum(name):
    given, keywords, _ = draw(name, "noisy", l2=0.1)
    order = np.array([2, 0, 1])
    targets = given["targets"]
    moved = targets[:, order] if targets.ndim == 2 else np.argsort(order)[targets]
    _, state, info = fit(name, given, keywords, gap=1e-5)
    _, other, _ = fit(name, {**given, "targets": moved}, keywords, gap=1e-5)
    bound = 2 * np.sqrt(2 * 1e-4 * info.certificate.primal / keywords["l2"])
    difference = exactly(state.params)[order] - exactly(other.params)
    assert np.linalg.norm(difference) <= bound
    np.testing.assert_allclose(
        state.certificate.primal, other.certificate.primal, rtol=1e-4
    )


def test_the_margin_scales_the_hinges():
    """The optimum with a margin of c is c times the optimum at l2 c."""
    name = "weston_watkins_hinge"
    given, keywords, _ = draw(name, "noisy", l2=0.1)
    results = []
    for margin, l2 in ((1.0, 0.1), (3.0, 0.1 / 3)):
        keywords = {"l2": l2, "loss_arguments": {"margin": margin}}
        _, state, info = fit(name, given, keywords, gap=1e-5)
        results.append((float(state.certificate.primal), exactly(state.params)))
    (value, weights), (large, scaled) = results
    # c l(s / c) has margin c; so W -> c W, l2 -> l2 / c, P -> c P.
    np.testing.assert_allclose(large, 3 * value, rtol=1e-4)
    assert np.linalg.norm(scaled / 3 - weights) <= 2 * np.sqrt(2e-4 * value / 0.1)


@pytest.mark.parametrize(
    "name",
    [
        "weston_watkins_hinge",
        pytest.param("crammer_singer_hinge", marks=pytest.mark.full),
    ],
)
def test_hinges_agree_with_a_general_optimiser_of_the_quadratic_program(name):
    """SLSQP on weights and slacks: no dual, no conjugate, no smoothing."""
    given, keywords, data = draw(name, "noisy", l2=0.1)
    few = 8
    given["example_weights"] = (np.arange(EXAMPLES) < few).astype(np.float32)
    shares = given["example_weights"] / few
    data = data._replace(weights=np.float64(shares))
    width, classes = data.rows.shape[1], SHAPE[2]
    wrong = [(i, j) for i in range(few) for j in range(classes) if j != data.targets[i]]
    owners = [
        i if name == "crammer_singer_hinge" else k for k, (i, _) in enumerate(wrong)
    ]
    slope = np.zeros((len(wrong), classes * width + max(owners) + 1))
    for k, (i, j) in enumerate(wrong):
        slope[k, data.targets[i] * width + np.arange(width)] = data.rows[i]
        slope[k, j * width + np.arange(width)] = -data.rows[i]
        slope[k, classes * width + owners[k]] = 1
    size = classes * width
    cost = np.concatenate([np.zeros(size), np.full(max(owners) + 1, 1 / few)])
    curvature = np.concatenate([np.full(size, data.l2), np.zeros(max(owners) + 1)])
    found = scipy.optimize.minimize(
        lambda z: cost @ z + z @ (curvature * z) / 2,
        np.concatenate([np.zeros(size), np.full(max(owners) + 1, data.margin)]),
        jac=lambda z: cost + curvature * z,
        method="SLSQP",
        bounds=[(None, None)] * size + [(0, None)] * (max(owners) + 1),
        constraints={
            "type": "ineq",
            "fun": lambda z: slope @ z - data.margin,
            "jac": lambda z: slope,
        },
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert found.success
    _, state, info = fit(name, given, keywords, gap=1e-5)
    assert info.relative_gap <= 1e-4
    np.testing.assert_allclose(state.certificate.primal, found.fun, rtol=1e-4)
    weights = found.x[:size].reshape(classes, width)
    radius = np.sqrt(2 * float(info.relative_gap) * found.fun / data.l2)
    assert np.linalg.norm(exactly(state.params) - weights) <= 1.01 * radius
    # And so does the reference of all the tests here, to many more digits.
    best = optima.optimum(data)
    np.testing.assert_allclose(best.value, found.fun, rtol=1e-9)
    np.testing.assert_allclose(best.weights, weights, atol=1e-6)
