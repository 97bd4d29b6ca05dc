"""Leave-one-out against optima of an objective without the example."""

import jax
import numpy as np
import pytest
from left_out_problems import (
    LABELS,
    ROWS,
    WEIGHTS,
    centered,
    fit_of,
    problem_of,
    scores_at,
    targets_of,
    without_each,
)
from smooth_cases import LOSS_AND_BIAS

import jaxlin
from jaxlin import losses
from jaxlin.problems import fit_hessian
from jaxlin.sensitivity import left_out, refits
from jaxlin.solvers import hessian_system

SOFTMAX = losses.softmax_cross_entropy


def own(scores):
    """Scores of each example by its own model."""
    return scores[np.arange(len(scores)), np.arange(len(scores))]


@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS)
def test_scores_are_those_of_the_optimum_without_the_example(loss, bias):
    problem = problem_of(loss)
    fit = fit_of(problem, loss, bias)
    found = jaxlin.leave_one_out(fit, problem)
    expected = own(scores_at(without_each(), loss=loss, bias=bias))
    difference = np.abs(centered(found.scores) - expected).max(axis=1)
    np.testing.assert_allclose(difference, 0, atol=1e-9)
    if loss is losses.weston_watkins_squared_hinge and bias == "free":
        assert len(found.refits.examples) == 20
        assert np.isinf(found.errors).all()
        assert not found.is_proven.any()
        return
    assert (difference <= found.errors).all()
    assert found.errors.max() < 1e-8
    assert found.is_proven.all()
    likeliest = targets_of(loss)
    if likeliest.ndim == 2:
        likeliest = likeliest.argmax(axis=1)
    np.testing.assert_array_equal(found.labels, expected.argmax(axis=1))
    np.testing.assert_array_equal(found.is_correct, found.labels == likeliest)


@pytest.mark.parametrize("bias", ["penalized", "free"])
def test_examples_whose_steps_do_not_converge_are_fitted_anew(bias, monkeypatch):
    fitted = []
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX, bias)
    monkeypatch.setattr(left_out, "_MAX_STEPS", 5)
    anew = refits.optimum_without
    monkeypatch.setattr(
        refits, "optimum_without", lambda *given: fitted.append(1) or anew(*given)
    )
    found = jaxlin.leave_one_out(fit, problem)
    assert 0 < len(fitted) < len(LABELS)
    expected = own(scores_at(without_each(), loss=SOFTMAX, bias=bias))
    difference = np.abs(centered(found.scores) - expected).max(axis=1)
    assert (difference <= found.errors).all()
    assert found.errors.max() < 1e-5


@pytest.mark.parametrize("bias", ["penalized", "free"])
def test_bounds_hold_after_each_step(bias, monkeypatch):
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX, bias)
    expected = own(scores_at(without_each(), loss=SOFTMAX, bias=bias))
    bounds = []
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        for steps in range(1, 6):
            monkeypatch.setattr(left_out, "_MAX_STEPS", steps)
            found = left_out.without_each(system, loss=SOFTMAX)
            difference = np.abs(centered(found.scores) - expected).max(axis=1)
            assert (difference <= found.errors).all()
            bounds.append(np.median(found.errors))
    assert bounds[4] < 0.01 * bounds[1]


def test_models_of_chunks_are_the_same(monkeypatch):
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        whole = left_out.without_each(system, loss=SOFTMAX)
        monkeypatch.setattr(left_out, "_MAX_SCORES", 7 * system.scores.size)
        parts = left_out.without_each(system, loss=SOFTMAX)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-12)


def test_an_example_of_weight_0_has_the_scores_of_the_fit():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    found = jaxlin.leave_one_out(fit, problem)
    expected = scores_at(WEIGHTS[None], loss=SOFTMAX)[0, 7]
    np.testing.assert_allclose(centered(found.scores)[7], expected, atol=1e-9)
    counts = np.flatnonzero(WEIGHTS)
    assert found.accuracy.value == pytest.approx(np.mean(found.is_correct[counts]))
    assert found.loss.value == pytest.approx(np.mean(found.losses[counts]))


def test_losses_and_labels_are_those_of_the_scores():
    names = np.array(["a", "b", "c"])[LABELS]
    problem = jaxlin.problem(ROWS, names)
    fit = fit_of(problem, SOFTMAX)
    found = jaxlin.leave_one_out(fit, problem)
    shifted = found.scores - found.scores.max(axis=1, keepdims=True)
    label = shifted[np.arange(len(LABELS)), LABELS]
    expected = np.log(np.exp(shifted).sum(axis=1)) - label
    np.testing.assert_allclose(found.losses, expected, atol=1e-12)
    assert found.accuracy.value == np.mean(found.labels == names)
    assert f"{100 * found.accuracy.value:.2f} % [" in str(found)
    assert "100.0 % of labels proven" in str(found)


def test_one_step_is_that_of_newton_without_the_example():
    """By a dense Hessian of the penalty and all examples but one."""
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    found = jaxlin.leave_one_out(fit, problem, exact=False, num_refits=3)
    with jax.enable_x64(True):
        system = fit_hessian.of_fit(fit, problem)
        in_scores = np.asarray(hessian_system.of_examples(SOFTMAX, system))
        weights, scores = np.asarray(system.weights), np.asarray(system.scores)
        gradients = np.asarray(system.gradients)
    rows = (ROWS - NORMALIZED.mean) / NORMALIZED.scale
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    shares = WEIGHTS / WEIGHTS.sum(dtype=np.float64)
    blocks = [
        share * np.kron(block, np.outer(row, row))
        for share, block, row in zip(shares, in_scores, rows, strict=True)
    ]
    whole = sum(blocks) + fit.l2 * np.eye(weights.size)
    for example in (0, 7, 12):
        right = np.outer(gradients[:, example], rows[example]) + fit.l2 * weights
        change = np.linalg.solve(
            whole - blocks[example], shares[example] * right.ravel()
        )
        expected = scores[:, example] + change.reshape(weights.shape) @ rows[example]
        np.testing.assert_allclose(
            centered(found.scores[example]), centered(expected), atol=2e-6
        )
    assert np.isinf(found.errors).all()
    assert len(found.refits.examples) == 3


NORMALIZED = jaxlin.normalization.fit_standard(ROWS)


@pytest.mark.parametrize(("loss", "bias"), LOSS_AND_BIAS[:6])
def test_large_problems_have_an_approximate_step_and_refits(loss, bias, monkeypatch):
    problem = problem_of(loss)
    fit = fit_of(problem, loss, bias, 0.1)
    exact = jaxlin.leave_one_out(fit, problem)
    monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    found = jaxlin.leave_one_out(fit, problem, num_refits=40)
    fitted = centered(jaxlin.scores(fit, ROWS))
    change = centered(exact.scores) - fitted
    error = centered(found.scores) - centered(exact.scores)
    assert np.linalg.norm(error) < 0.4 * np.linalg.norm(change)
    np.testing.assert_array_equal(found.refits.examples, np.arange(40))
    np.testing.assert_allclose(
        centered(found.refits.scores), centered(exact.scores), atol=1e-4
    )
    np.testing.assert_allclose(
        found.refits.deviations,
        np.abs(centered(found.refits.scores) - centered(found.scores)).max(axis=1),
        atol=1e-9,
    )
    same = found.scores.argmax(axis=1) == found.refits.scores.argmax(axis=1)
    np.testing.assert_array_equal(found.refits.same_labels, same)
    proven = found.refits.is_proven
    assert proven.sum() > 20
    assert (exact.scores.argmax(1) == found.refits.scores.argmax(1))[proven].all()
    assert "40 certified refits: scores differ by at most" in str(found)


GROUPS = np.arange(40) % 7


@pytest.mark.parametrize("method", ["factorised", "certified refits"])
@pytest.mark.parametrize(
    "bias",
    ["free", *(pytest.param(b, marks=pytest.mark.full) for b in ("penalized", "none"))],
)
def test_groups_are_left_out_together(bias, method, monkeypatch):
    if method != "factorised":
        monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX, bias)
    names = np.array(list("abcdefg"))[GROUPS]
    found = jaxlin.leave_one_out(fit, problem, groups=names)
    sets = np.where(GROUPS[None] == np.arange(7)[:, None], 0, WEIGHTS[None])
    scores = scores_at(sets, loss=SOFTMAX, bias=bias)
    expected = scores[GROUPS, np.arange(40)]
    difference = np.abs(centered(found.scores) - expected).max(axis=1)
    assert (difference <= found.errors).all()
    assert difference.max() < (1e-9 if method == "factorised" else 1e-4)
    assert found.errors.max() < (1e-8 if method == "factorised" else 0.1)
    assert not len(found.refits.examples)
    np.testing.assert_array_equal(found.labels, expected.argmax(axis=1))


def test_the_factor_is_that_of_examples_with_a_gradient(monkeypatch):
    """Most examples of a squared hinge may have none, the first among them."""
    loss = losses.weston_watkins_squared_hinge
    far = np.where(np.arange(40)[:, None] % 20, 5 * np.eye(3, 4)[LABELS], 0.3 * ROWS)
    problem = jaxlin.problem(far[::-1].copy(), LABELS[::-1].copy())
    fit = fit_of(problem, loss, l2=1e-2)
    exact = jaxlin.leave_one_out(fit, problem)
    monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    found = jaxlin.leave_one_out(fit, problem, num_refits=0)
    assert np.isfinite(found.scores).all()
    assert (found.scores.argmax(1) == exact.scores.argmax(1)).mean() > 0.9


def test_separable_rows_at_a_tiny_l2_have_exact_scores_or_new_fits():
    """Steps of a third of these examples diverge, far beyond the fit's scores."""
    far = 3 * np.eye(3, 4)[LABELS] + 0.3 * ROWS
    problem = jaxlin.problem(far, LABELS)
    fit = fit_of(problem, SOFTMAX, l2=1e-9)
    found = jaxlin.leave_one_out(fit, problem)
    largest = np.abs(jaxlin.scores(fit, far)).max()
    assert found.errors.max() < 1e-2 * largest
    for example in np.argsort(-found.errors)[:3]:
        kept = np.arange(40) != example
        own = fit_of(jaxlin.problem(far[kept], LABELS[kept]), SOFTMAX, l2=1e-9)
        scores = centered(jaxlin.scores(own, far[example : example + 1]))[0]
        bound = found.errors[example] + own.radius * np.linalg.norm(far[example])
        error = np.abs(scores - centered(found.scores[example])).max()
        assert error <= bound


@pytest.mark.parametrize("is_warm", [False, True])
def test_refits_are_certified_for_their_own_weights(is_warm):
    """Weights of float64, with arrays on the device before and after."""
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    if is_warm:
        jaxlin.leave_one_out(fit, problem)
    found, left = refits.without(fit, problem, 3)
    weights = np.where(np.arange(40) == 3, 0, WEIGHTS)
    again = jaxlin.certify(
        problem_of(SOFTMAX, weights=weights), found.params, loss=SOFTMAX, l2=fit.l2
    )
    assert left.whole_rows.example_weights.dtype == np.float64
    np.testing.assert_allclose(
        found.certificate.primal, again.certificate.primal, rtol=1e-14
    )
    with jax.enable_x64(True):
        assert left.examples_in_float64().example_weights.dtype == np.float64


def test_other_problems_than_the_fits_own_are_refused():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    doors = (
        jaxlin.leave_one_out,
        jaxlin.covariance,
        lambda *given: jaxlin.influence(*given, ROWS[:1], LABELS[:1]),
    )
    others = {
        "normalization of the fit": problem_of(SOFTMAX, normalization=None),
        "the objective of the fit is": problem_of(SOFTMAX, weights=None),
    }
    for door in doors:
        for message, other in others.items():
            with pytest.raises(ValueError, match=message):
                door(fit, other)
    permuted = jaxlin.problem(ROWS, LABELS[::-1].copy(), normalization=NORMALIZED)
    with pytest.raises(ValueError, match="problem must be the one that was fitted"):
        jaxlin.leave_one_out(fit, permuted)


def test_a_fit_far_from_its_optimum_is_refused():
    problem = problem_of(SOFTMAX)
    params = fit_of(problem, SOFTMAX).params
    bad = params._replace(weights=params.weights * 300)
    far = jaxlin.certify(problem, bad, loss=SOFTMAX, l2=1e-2)
    with pytest.raises(ValueError, match="fit must be nearer to its optimum"):
        jaxlin.influence(far, problem, ROWS[:1], LABELS[:1])


def test_inside_a_compiled_program_it_is_refused():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    for door in (
        jaxlin.leave_one_out,
        jaxlin.covariance,
        lambda *given: jaxlin.influence(*given, ROWS[:1], LABELS[:1]),
    ):
        with pytest.raises(ValueError, match="must be of concrete numbers"):
            jax.jit(lambda door=door: door(fit, problem))()


@pytest.mark.parametrize("examples", [99, -1, 0.5, [[1]], list(range(40))])
def test_refits_without_other_indices_are_refused(examples):
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    with pytest.raises(ValueError, match="examples"):
        refits.without(fit, problem, examples)


def test_few_examples_have_at_most_as_many_refits():
    problem = jaxlin.problem(ROWS[:12], LABELS[:12])
    fit = fit_of(problem, SOFTMAX)
    found = jaxlin.leave_one_out(fit, problem, exact=False)
    assert len(found.refits.examples) == 12


def test_leverages_near_1_do_not_spoil_the_approximate_step(monkeypatch):
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX, l2=1e-5)
    monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    found = jaxlin.leave_one_out(fit, problem, num_refits=0)
    largest = np.abs(jaxlin.scores(fit, ROWS)).max()
    assert np.abs(found.scores).max() < 100 * largest


def test_refits_share_rows_and_are_those_of_a_new_problem():
    problem = problem_of(SOFTMAX)
    fit = fit_of(problem, SOFTMAX)
    found, left = refits.without(fit, problem, [3, 4])
    weights = WEIGHTS.copy()
    weights[[3, 4]] = 0
    other = problem_of(SOFTMAX, weights=weights)
    expected = fit_of(other, SOFTMAX)
    np.testing.assert_allclose(found.params.weights, expected.params.weights, atol=1e-5)
    np.testing.assert_array_equal(left.whole_rows.example_weights, weights)
    np.testing.assert_allclose(left.examples.example_weights, weights, rtol=1e-6)
    assert left.examples.features is problem.examples.features
    assert found.converged


BAD = {
    "a hinge": (losses.weston_watkins_hinge, {}, "fit must be of a smooth loss"),
    "exact": (SOFTMAX, {"exact": True}, "exact must be False or None where"),
    "refits": (SOFTMAX, {"num_refits": 41}, "num_refits must be"),
    "key": (SOFTMAX, {"key": 1}, "key must be a key"),
    "groups": (SOFTMAX, {"groups": [1, 2]}, "groups must have one entry per example"),
    "one group": (SOFTMAX, {"groups": [1] * 40}, "groups must be at least two"),
    "groups and refits": (
        SOFTMAX,
        {"groups": GROUPS, "num_refits": 1},
        "exact and num_refits must be left out with groups",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_by_name(kind, monkeypatch):
    loss, settings, message = BAD[kind]
    if kind == "exact":
        monkeypatch.setattr(hessian_system, "MAX_DENSE", 0)
    problem = problem_of(loss)
    fit = fit_of(problem, loss)
    with pytest.raises(ValueError, match=message):
        jaxlin.leave_one_out(fit, problem, **settings)
    with pytest.raises(ValueError, match="fit must be a jaxlin.Fit"):
        jaxlin.leave_one_out(fit.params, problem)
    with pytest.raises(ValueError, match="problem must be a jaxlin.Problem"):
        jaxlin.leave_one_out(fit, ROWS)


def test_the_only_example_of_a_class_with_a_free_bias_is_refused():
    labels = np.where(np.arange(40) == 5, 2, LABELS % 2)
    problem = jaxlin.problem(ROWS, labels)
    fit = fit_of(problem, SOFTMAX, "free")
    with pytest.raises(ValueError, match="two examples of each class"):
        jaxlin.leave_one_out(fit, problem)
    shares = np.eye(3)[labels]
    soft = jaxlin.problem(ROWS, shares)
    with pytest.raises(ValueError, match="two examples of each class"):
        jaxlin.leave_one_out(fit_of(soft, losses.cross_entropy, "free"), soft)
    penalized = fit_of(problem, SOFTMAX)
    found = jaxlin.leave_one_out(penalized, problem)
    assert not found.is_correct[5]
    assert found.errors.max() < 1e-8
