"""Arrays in, proof out: agreement with other libraries, and what is refused."""

import types

import jax.numpy as jnp
import numpy as np
import optima
import pytest
from fitting_problems import (
    ALIKE,
    ARGUMENTS_OF_CLASSES,
    EXAMPLES,
    LOSS_OF_CLASSES,
    SOFTMAX,
    WIDTH,
    data,
    exact,
    extended,
    fit,
    folded,
    prepared,
)

from jaxlin import (
    duality,
    label_proofs,
    linear,
    losses,
    normalization,
    row_blocks,
)
from jaxlin.solvers import fit_loop, fitting, streaming

# --- Other libraries.


def test_softmax_agrees_with_scikit_learn():
    """C sum loss + |W|^2 / 2, and so C = 1 / (l2 n)."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, labels = data(3)
    for l2 in (1e-1, 1e-3):
        model = linear_model.LogisticRegression(
            C=1 / (l2 * EXAMPLES), fit_intercept=False, tol=1e-12, max_iter=10_000
        ).fit(extended(rows), labels)
        fitted = fit(3, l2=l2, relative_gap=1e-14, polish=True)
        assert fitted.converged
        assert fitted.params.weights.dtype == np.float64
        theirs = optima.objective(model.coef_, exact(3, l2))
        np.testing.assert_allclose(fitted.certificate.primal, theirs, rtol=1e-6)
        assert fitted.certificate.primal <= theirs * (1 + 1e-10)
        np.testing.assert_allclose(folded(fitted), model.coef_, rtol=1e-4, atol=1e-4)


def test_the_hinge_of_two_classes_agrees_with_liblinear():
    """Their w is the difference of our two rows; C = 2 / (n l2)."""
    svm = pytest.importorskip("sklearn.svm")
    rows, labels = data(2)
    for l2 in (1e-1, 1e-2):
        model = svm.LinearSVC(
            loss="hinge",
            C=2 / (EXAMPLES * l2),
            fit_intercept=False,
            tol=1e-10,
            max_iter=10_000_000,
        ).fit(extended(rows), labels)
        theirs = np.concatenate([-model.coef_ / 2, model.coef_ / 2])
        fitted = fit(2, l2=l2, relative_gap=1e-9, polish=True)
        assert fitted.converged
        value = optima.objective(theirs, exact(2, l2))
        np.testing.assert_allclose(fitted.certificate.primal, value, rtol=1e-6)
        np.testing.assert_allclose(folded(fitted), theirs, rtol=1e-4, atol=1e-4)


def test_a_budget_is_kept():
    for budget in (1, 3):
        fitted = fit(2, l2=1e-2, relative_gap=1e-9, max_evaluations=budget, polish=True)
        assert not fitted.converged
        assert fitted.evaluations == budget
    # What is left of it goes to the polish.
    fitted = fit(2, l2=1e-2, relative_gap=1e-13, max_evaluations=400, polish=True)
    assert fitted.evaluations <= 400


def test_a_fit_is_plain_numbers_and_is_what_duality_certifies():
    fitted = fit(3, l2=0.01)
    assert isinstance(fitted, fit_loop.Fit)
    assert all(type(leaf) is float for leaf in fitted.certificate)
    assert type(fitted.relative_gap) is float
    assert type(fitted.converged) is bool
    assert (fitted.loss, fitted.l2) == (SOFTMAX, 0.01)
    assert fitted.multipliers.centers.shape == (EXAMPLES, 0)
    expected = (fitted.certificate.gap + fitted.certificate.rounding) / (
        fitted.certificate.primal
    )
    np.testing.assert_allclose(fitted.relative_gap, expected, rtol=1e-5)
    rows, labels = data(3)
    again = duality.certificate(
        fitted.params, rows, labels, loss=SOFTMAX, l2=0.01, **ALIKE
    )
    np.testing.assert_allclose(fitted.certificate, again, rtol=1e-3, atol=1e-8)
    assert fit(2, l2=0.01).multipliers.centers.shape == (EXAMPLES, 2)


def test_labels_certified_by_a_fit_are_those_of_the_optimum():
    """On held-out rows, at the gap that a fit has by default and at a tight one."""
    generator = np.random.default_rng(1)
    held_out = generator.normal(size=(500, WIDTH)).astype(np.float32)
    shares = []
    for num_classes, gap in ((3, 1e-3), (3, 1e-9), (2, 1e-3)):
        fitted = fit(num_classes, l2=0.1, relative_gap=gap)
        best = optima.optimum(exact(num_classes, 0.1)).weights
        radius = duality.radius(fitted.certificate, l2=0.1)
        assert np.linalg.norm(np.float64(folded(fitted)) - best) <= radius
        same = label_proofs.same_labels(
            fitted.params, jnp.asarray(held_out), radius=radius
        )
        ours = np.argmax(extended(held_out) @ np.float64(folded(fitted)).T, axis=1)
        truth = np.argmax(extended(held_out) @ best.T, axis=1)
        np.testing.assert_array_equal(ours[same], truth[same])
        shares.append(float(np.mean(same)))
    assert 0.2 < shares[0] < shares[1]
    assert shares[1] > 0.99


def test_features_of_very_different_sizes_are_fitted():
    """From 0.1 to 1,000: a metric that took roundoff for curvature would not move."""
    rows, labels = data(3)
    rows = (rows + 1) * np.float32([1000, 100, 1, 10, 0.1])
    fitted = fitting.fit(rows, labels, loss=SOFTMAX, l2=1e-2)
    assert fitted.converged
    assert not fitted.stalled
    # Where float32 has no more to give, that is said.
    hopeless = fitting.fit(rows, labels, loss=SOFTMAX, l2=1e-2, relative_gap=1e-12)
    assert hopeless.stalled
    assert not hopeless.converged
    assert not fitting.fit(
        rows, labels, loss=SOFTMAX, l2=1e-2, max_evaluations=2
    ).stalled


def test_the_caller_may_watch():
    seen = []
    fitted = fit(2, l2=0.1, watch=lambda done, info: seen.append((done, info)))
    assert [done for done, _ in seen] == list(range(1, fitted.evaluations + 1))
    bounds = [
        float(info.certificate.gap + info.certificate.rounding) for _, info in seen
    ]
    assert all(
        after <= before for before, after in zip(bounds, bounds[1:], strict=False)
    )
    assert float(seen[-1][1].relative_gap) == fitted.relative_gap


def test_numbers_that_overflow_prove_nothing():
    rows, labels = data(3)
    with pytest.raises(ValueError, match=r"norms below 1e\+12 .*scale them to size"):
        fitting.fit(1e20 * rows, labels, loss=SOFTMAX, l2=0.1)
    for size in (1e25, np.nan):
        params = linear.Params(np.full((3, WIDTH), size, np.float32), np.zeros(3))
        proof = duality.certificate(params, rows, labels, loss=SOFTMAX, l2=0.1, **ALIKE)
        assert proof.gap == np.inf
        assert duality.relative_gap(proof) == np.inf


def test_numbers_may_be_arrays_of_no_dimension():
    one = fit(3, l2=jnp.float32(0.5), relative_gap=np.array(1e-3))
    two = fit(3, l2=0.5, relative_gap=1e-3)
    np.testing.assert_array_equal(folded(one), folded(two))


def test_arguments_of_the_loss_may_be_any_mapping():
    given = types.MappingProxyType({"margin": 2.0})
    found = fit(2, l2=0.1, loss_arguments=given)
    same = fit(2, l2=0.1, loss_arguments=dict(given))
    assert found.certificate == same.certificate != fit(2, l2=0.1).certificate


# --- Several fits.


@pytest.mark.parametrize("num_classes", [3, 2])
def test_a_path_gives_the_fits_alone(num_classes):
    l2s = [1e-1, 5e-2, 2e-2]
    loss = LOSS_OF_CLASSES[num_classes]
    how = {"num_classes": num_classes, "loss": loss, "l2s": l2s}
    how |= {"loss_arguments": ARGUMENTS_OF_CLASSES[num_classes]}
    on_path = list(fitting.path(prepared(num_classes), **how))
    alone = [fit(num_classes, l2=l2) for l2 in l2s]
    assert [fitted.l2 for fitted in on_path] == l2s
    for one, two in zip(on_path, alone, strict=True):
        assert one.converged
        assert two.converged
        np.testing.assert_allclose(
            one.certificate.primal, two.certificate.primal, rtol=1e-4
        )
        radii = [float(duality.radius(f.certificate, l2=f.l2)) for f in (one, two)]
        assert np.linalg.norm(folded(one) - folded(two)) <= sum(radii)
    # Warm starts save evaluations of smooth losses; a small hinge has none to save.
    spent, cold = (sum(f.evaluations for f in fits[1:]) for fits in (on_path, alone))
    assert spent <= (0.8 if num_classes == 3 else 1.5) * cold


@pytest.mark.parametrize("num_classes", [3, 2])
def test_a_start_from_the_solution_takes_few_evaluations(num_classes):
    cold = fit(num_classes, l2=1e-2, relative_gap=1e-4)
    warm = fit(num_classes, l2=1e-2, relative_gap=2e-4, start=cold)
    assert warm.converged
    assert warm.evaluations <= 3 < cold.evaluations
    from_params = fit(num_classes, l2=1e-2, start=cold.params)
    assert from_params.converged
    # A polished, float64 fit starts a float32 one as well.
    polished = fit(num_classes, l2=1e-2, relative_gap=1e-13, polish=True)
    assert polished.params.weights.dtype == np.float64
    again = fit(num_classes, l2=1e-2, relative_gap=1e-3, start=polished)
    assert again.converged
    assert again.evaluations <= 3
    assert again.params.weights.dtype == jnp.float32


def test_one_call_prepares_and_counts_the_classes():
    """And takes what the problem takes: lists, float64 rows, normalization, weights."""
    rows, labels = data(3)
    whole = fitting.fit(rows, labels, loss=SOFTMAX, l2=0.1)
    np.testing.assert_allclose(folded(whole), folded(fit(3, l2=0.1)), atol=1e-6)
    lists = fitting.fit(rows.tolist(), labels.tolist(), loss=SOFTMAX, l2=0.1)
    np.testing.assert_array_equal(folded(lists), folded(whole))
    assert fitting._classes_of([0, 0, 4]) == 5
    assert fitting._classes_of([0, 0]) == 2
    assert fitting._classes_of(np.ones((3, 7))) == 7


@pytest.mark.full
def test_weights_normalization_and_distributions_go_into_one_call():
    rows, labels = data(3)
    raw = np.clip(100 + 40 * rows, 0, 255).astype(np.uint8)
    fitted = normalization.fit_centered(raw, scale=40.0)
    soft = np.float32(0.8 * np.eye(3)[labels] + 0.2 / 3)
    weights = np.arange(EXAMPLES) % 3
    found = fitting.fit(
        raw,
        soft,
        loss=losses.cross_entropy,
        l2=0.01,
        relative_gap=1e-9,
        example_weights=weights,
        normalization=fitted,
        polish=True,
    )
    assert found.converged
    truth = optima.Data(
        extended((np.float64(raw) - fitted.mean) / 40),
        soft / np.float64(soft).sum(axis=1, keepdims=True),
        weights / weights.sum(),
        3,
        "cross_entropy",
        0.01,
    )
    best = optima.optimum(truth)
    np.testing.assert_allclose(found.certificate.primal, best.value, rtol=1e-7)
    np.testing.assert_allclose(folded(found), best.weights, atol=1e-4)


# --- Numbers at the ends of float32: no proof of another problem.


def column_of_size(size, dtype):
    """The rows of three classes, one feature of them of another size; their labels."""
    rows, labels = data(3)
    factors = np.where(np.arange(WIDTH) == 1, size, 1.0)
    return (rows * factors).astype(dtype), labels


@pytest.mark.parametrize(
    ("size", "is_normalized"),
    [
        *((size, False) for size in (1e-13, 1e-29, 1e-36, 1e-37, 1e-40)),
        *((size, True) for size in (1e-13, 1e-29)),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_proven_is_true_of_features_of_any_size(size, is_normalized, dtype):
    rows, labels = column_of_size(size, dtype)
    z = np.float64(rows)
    if is_normalized:
        scaling = normalization.fit_standard(rows)
        z = (z - np.float64(scaling.mean)) / np.float64(scaling.scale)
    how = {"loss": SOFTMAX, "l2": 1e-2}
    if is_normalized:
        # One program with what follows.
        how |= {"normalization": scaling, "example_weights": np.ones(EXAMPLES)}
    found = fitting.fit(rows, labels, **how)
    weights = np.full(EXAMPLES, 1 / EXAMPLES)
    truth = optima.Data(extended(z), labels, weights, 3, "softmax_cross_entropy", 1e-2)
    assert found.converged
    value = optima.objective(np.float64(folded(found)), truth)
    np.testing.assert_allclose(found.certificate.primal, value, rtol=1e-5)
    assert value - optima.optimum(truth).value <= duality.bound(found.certificate)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("size", [1e-34, 1e-36, 1e-37, 1e-40, 1e32, 1e37])
def test_features_that_float32_would_lose_are_refused(size, dtype):
    rows, labels = column_of_size(size, dtype)
    with pytest.raises(ValueError, match="not constant must have .* for feature 1"):
        normalization.fit_standard(rows)
    scale = np.float64(rows).std(axis=0)
    by_hand = normalization.Normalization(np.zeros(WIDTH), scale)
    for polish in (False, True):
        with pytest.raises(ValueError, match="normalization must have scales from"):
            fitting.fit(
                *(rows, labels),
                loss=SOFTMAX,
                l2=1e-2,
                normalization=by_hand,
                polish=polish,
            )
    if size > 1:
        with pytest.raises(ValueError, match="features must have norms below"):
            fitting.fit(rows, labels, loss=SOFTMAX, l2=1e-2)


JUNK = {
    "finite": (np.float32, 1e6),
    "norms that overflow": (np.float32, 1e30),
    "beyond float32": (np.float64, 1e300),
}


@pytest.mark.parametrize(("dtype", "value"), JUNK.values(), ids=JUNK.keys())
@pytest.mark.parametrize("num_classes", [3, pytest.param(2, marks=pytest.mark.full)])
def test_rows_of_weight_0_are_as_if_they_were_not_there(dtype, value, num_classes):
    half = EXAMPLES // 2
    rows, labels = (array[:half] for array in data(num_classes))
    junk, their_labels = np.full((half, WIDTH), value), np.arange(half) % num_classes
    places = np.random.default_rng(1).permutation(EXAMPLES)
    rows = rows.astype(dtype)
    given = np.concatenate([rows, junk])[places].astype(dtype)
    targets = np.concatenate([labels, their_labels])[places]
    weights = np.repeat([1.0, 0.0], half)[places]
    # Each of the others twice is the same problem, in as many rows: one program.
    twice = np.repeat(np.flatnonzero(weights), 2)
    how = {"loss": LOSS_OF_CLASSES[num_classes], "l2": 1e-2}
    how |= {"num_classes": num_classes}
    scaling = normalization.fit_standard(given, example_weights=weights)
    how["normalization"] = scaling
    alone = fitting.fit(
        given[twice], targets[twice], example_weights=weights[twice], **how
    )
    whole = fitting.fit(given, targets, example_weights=weights, **how)
    blocks = row_blocks.over(given, targets, example_weights=weights, block_size=half)
    streamed = streaming.fit(blocks, **how)
    assert alone.converged
    for found in (whole, streamed):
        assert found.converged
        np.testing.assert_allclose(
            found.certificate.primal, alone.certificate.primal, rtol=2e-4
        )
        assert abs(found.evaluations - alone.evaluations) <= 2
    proof = duality.certificate(
        alone.params,
        *(given, targets),
        loss=how["loss"],
        l2=1e-2,
        example_weights=weights,
        normalization=scaling,
    )
    np.testing.assert_allclose(proof.primal, alone.certificate.primal, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_weights_of_another_unit_are_one_problem_or_refused(dtype):
    rows, labels = data(3)
    weights = 1.0 + np.arange(EXAMPLES) % 3
    how = {"loss": SOFTMAX, "l2": 1e-2}
    how |= {"normalization": normalization.fit_standard(rows)}
    usual = fitting.fit(rows, labels, example_weights=weights, **how)
    for unit in (1e-10, 1e10):
        given = (unit * weights).astype(dtype)
        found = fitting.fit(rows, labels, example_weights=given, **how)
        assert found.converged
        np.testing.assert_allclose(
            found.certificate.primal, usual.certificate.primal, rtol=2e-4
        )
    for unit in (1e-20, 1e-38, 1e-40, 1e37):
        given = (unit * weights).astype(dtype)
        with pytest.raises(ValueError, match="divide them by their mean"):
            fitting.fit(rows, labels, example_weights=given, **how)
