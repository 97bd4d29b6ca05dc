"""Arrays in, proof out: agreement with other libraries, and what is refused."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optima
import pytest
from fitting_problems import (
    ALIKE,
    EXAMPLES,
    LOSS_OF_CLASSES,
    SOFTMAX,
    WIDTH,
    data,
    exact,
    extended,
    fit,
    folded,
    problem,
)

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.certificates import certification, duality, label_certificates

STOP = jaxlin.Stop(1e-4)

# --- Other libraries.


def test_softmax_agrees_with_scikit_learn():
    """C sum loss + |W|^2 / 2, and so C = 1 / (l2 n)."""
    linear_model = pytest.importorskip("sklearn.linear_model")
    rows, labels = data(3)
    for l2 in (1e-1, 1e-3):
        model = linear_model.LogisticRegression(
            C=1 / (l2 * EXAMPLES), fit_intercept=False, tol=1e-12, max_iter=10_000
        ).fit(extended(rows), labels)
        fitted = fit(3, l2=l2, relative_gap=1e-14, refine=True)
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
        fitted = fit(2, l2=l2, relative_gap=1e-9, refine=True)
        assert fitted.converged
        value = optima.objective(theirs, exact(2, l2))
        np.testing.assert_allclose(fitted.certificate.primal, value, rtol=1e-6)
        np.testing.assert_allclose(folded(fitted), theirs, rtol=1e-4, atol=1e-4)


def test_a_budget_is_kept():
    for budget in (1, 3):
        fitted = fit(2, l2=1e-2, relative_gap=1e-9, max_passes=budget, refine=True)
        assert not fitted.converged
        assert fitted.passes == budget
    # What is left of it goes to the refinement.
    fitted = fit(2, l2=1e-2, relative_gap=1e-13, max_passes=400, refine=True)
    assert fitted.passes <= 400


def test_a_fit_is_plain_numbers_and_is_what_duality_certifies():
    fitted = fit(3, l2=0.01)
    assert isinstance(fitted, jaxlin.Fit)
    assert all(type(leaf) is float for leaf in fitted.certificate)
    assert type(fitted.relative_gap) is float
    assert type(fitted.converged) is bool
    assert (fitted.loss, fitted.l2) == (SOFTMAX, 0.01)
    assert fitted.duals.dual_centers.shape == (EXAMPLES, 0)
    expected = (fitted.certificate.gap + fitted.certificate.rounding) / (
        fitted.certificate.primal
    )
    np.testing.assert_allclose(fitted.relative_gap, expected, rtol=1e-5)
    rows, labels = data(3)
    again = certification.certificate(
        fitted.params, rows, labels, loss=SOFTMAX, l2=0.01, **ALIKE
    )
    np.testing.assert_allclose(fitted.certificate, again, rtol=1e-3, atol=1e-8)
    assert fit(2, l2=0.01).duals.dual_centers.shape == (EXAMPLES, 2)


def test_labels_certified_by_a_fit_are_those_of_the_optimum():
    """On held-out rows, at the gap that a fit has by default and at a tight one."""
    generator = np.random.default_rng(1)
    held_out = generator.normal(size=(500, WIDTH)).astype(np.float32)
    shares = []
    for num_classes, gap in ((3, 1e-3), (3, 1e-9), (2, 1e-3)):
        fitted = fit(num_classes, l2=0.1, relative_gap=gap)
        best = optima.optimum(exact(num_classes, 0.1)).weights
        radius = fitted.radius
        assert fitted.objective == fitted.certificate.primal
        assert np.linalg.norm(np.float64(folded(fitted)) - best) <= radius
        same = label_certificates.same_labels(
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
    settings = {"loss": SOFTMAX, "l2": 1e-2}
    fitted = jaxlin.fit(rows, labels, stop=STOP, **settings)
    assert fitted.converged
    assert not fitted.stalled
    # Where float32 has no more to give, that is said.
    hopeless = jaxlin.fit(
        rows, labels, stop=jaxlin.Stop(1e-12), refine=False, **settings
    )
    assert hopeless.stalled
    assert not hopeless.converged
    given_up = jaxlin.fit(
        rows, labels, stop=jaxlin.Stop(1e-4, max_passes=2), **settings
    )
    assert not given_up.stalled


def test_the_callback_sees_every_pass():
    seen = []
    fitted = fit(2, l2=0.1, callback=lambda done, info: seen.append((done, info)))
    assert [done for done, _ in seen] == list(range(1, fitted.passes + 1))
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
        jaxlin.fit(1e20 * rows, labels, loss=SOFTMAX, l2=0.1)
    for size in (1e25, np.nan):
        params = linear.Params(np.full((3, WIDTH), size, np.float32), np.zeros(3))
        proof = certification.certificate(
            params, rows, labels, loss=SOFTMAX, l2=0.1, **ALIKE
        )
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


@pytest.mark.parametrize("num_classes", [3, 2])
def test_parameters_from_anywhere_are_certified(num_classes):
    fitted = fit(num_classes, l2=0.1)
    settings = {"loss": LOSS_OF_CLASSES[num_classes], "l2": 0.1}
    found = jaxlin.certify(problem(num_classes), fitted.params, **settings)
    rows, labels = data(num_classes)
    expected = certification.certificate(fitted.params, rows, labels, **settings)
    np.testing.assert_allclose(found.certificate, expected, rtol=1e-3, atol=1e-8)
    assert found.relative_gap == float(duality.relative_gap(expected))
    np.testing.assert_array_equal(folded(found), folded(fitted))
    assert found.passes == 1
    assert found.converged == (found.relative_gap <= 1e-3)
    # Of what is far from an optimum as well.
    zeros = linear.Params(*map(np.zeros_like, fitted.params))
    far = jaxlin.certify(problem(num_classes), zeros, **settings)
    assert not far.converged
    assert far.certificate.dual <= fitted.certificate.primal


def own_loss(scores, label, *, sharpness=1.0):
    """A loss without a conjugate: the share of the other classes, as an expectation."""
    return 1 - jax.nn.softmax(sharpness * scores)[label]


@pytest.mark.parametrize(
    ("loss", "l2", "arguments"),
    [(own_loss, 0.1, {"sharpness": 2.0}), (losses.softmax_cross_entropy, 0.0, {})],
    ids=["own loss", "l2 = 0"],
)
def test_a_fit_without_a_certificate_predicts_and_is_saved(
    loss, l2, arguments, tmp_path
):
    rows, labels = data(3)
    params = fit(3, l2=0.1).params
    found = jaxlin.certify(
        problem(3), params, loss=loss, l2=l2, loss_arguments=arguments
    )
    weights, bias = map(np.asarray, params)
    scores = rows @ weights.T + bias
    each = [loss(s, y, **arguments) for s, y in zip(scores, labels, strict=True)]
    squares = sum(np.square(leaf).sum() for leaf in params)
    expected = np.mean(each) + l2 / 2 * squares
    np.testing.assert_allclose(found.certificate.primal, expected, rtol=1e-5)
    assert found.certificate.dual == -np.inf
    assert found.relative_gap == found.certificate.gap == found.radius == np.inf
    assert not found.converged
    assert str(found).endswith("nothing proven")
    np.testing.assert_array_equal(
        jaxlin.predict(found, rows), found.classes[scores.argmax(axis=1)]
    )
    assert not jaxlin.certified_labels(found, rows).any()
    judged = jaxlin.evaluate(found, rows, labels)
    assert (judged.optimum.low, judged.optimum.high) == (0.0, 1.0)
    jaxlin.save(tmp_path / "fit.npz", found)
    after = jaxlin.load(tmp_path / "fit.npz")
    assert str(after) == str(found)
    np.testing.assert_array_equal(
        jaxlin.predict(after, rows), jaxlin.predict(found, rows)
    )


# --- Several fits.


@pytest.mark.parametrize("num_classes", [3, 2])
def test_a_path_gives_the_fits_alone(num_classes):
    l2s = [1e-1, 5e-2, 2e-2]
    on_path = []
    for l2 in l2s:
        before = on_path[-1] if on_path else None
        on_path.append(fit(num_classes, l2=l2, start=before))
    alone = [fit(num_classes, l2=l2) for l2 in l2s]
    assert [fitted.l2 for fitted in on_path] == l2s
    for one, two in zip(on_path, alone, strict=True):
        assert one.converged
        assert two.converged
        np.testing.assert_allclose(
            one.certificate.primal, two.certificate.primal, rtol=1e-4
        )
        distance = np.linalg.norm(folded(one) - folded(two))
        assert distance <= one.radius + two.radius
    # Warm starts save passes of smooth losses; a small hinge has none to save.
    spent, cold = (sum(f.passes for f in fits[1:]) for fits in (on_path, alone))
    assert spent <= (0.8 if num_classes == 3 else 1.5) * cold


@pytest.mark.parametrize("num_classes", [3, 2])
def test_a_start_from_the_solution_takes_few_passes(num_classes):
    cold = fit(num_classes, l2=1e-2, relative_gap=1e-4)
    warm = fit(num_classes, l2=1e-2, relative_gap=2e-4, start=cold)
    assert warm.converged
    assert warm.passes <= 3 < cold.passes
    from_params = fit(num_classes, l2=1e-2, start=cold.params)
    assert from_params.converged
    # A refined, float64 fit starts a float32 one as well.
    refined = fit(num_classes, l2=1e-2, relative_gap=1e-13, refine=True)
    assert refined.params.weights.dtype == np.float64
    again = fit(num_classes, l2=1e-2, relative_gap=1e-3, start=refined)
    assert again.converged
    assert again.passes <= 3
    assert again.params.weights.dtype == jnp.float32


def test_one_call_prepares_and_finds_the_classes():
    """And takes what the problem takes: lists, float64 rows, normalization, weights."""
    rows, labels = data(3)
    settings = {"loss": SOFTMAX, "l2": 0.1, "stop": STOP}
    whole = jaxlin.fit(rows, labels, **settings)
    np.testing.assert_allclose(folded(whole), folded(fit(3, l2=0.1)), atol=1e-6)
    lists = jaxlin.fit(rows.tolist(), labels.tolist(), **settings)
    np.testing.assert_array_equal(folded(lists), folded(whole))
    assert whole.classes.tolist() == lists.classes.tolist() == [0, 1, 2]
    assert jaxlin.problem(rows[:3], [0, 0, 4]).classes.tolist() == [0, 4]
    assert jaxlin.problem(rows[:3], [0, 0, 4], classes=range(5)).num_classes == 5
    assert jaxlin.problem(rows[:3], np.full((3, 7), 1 / 7)).num_classes == 7
    # Labels with gaps are a fit as well.
    gaps = jaxlin.fit(rows, 10 * labels, **settings)
    assert gaps.classes.tolist() == [0, 10, 20]
    np.testing.assert_array_equal(folded(gaps), folded(whole))


@pytest.mark.full
def test_weights_normalization_and_distributions_go_into_one_call():
    rows, labels = data(3)
    raw = np.clip(100 + 40 * rows, 0, 255).astype(np.uint8)
    fitted = normalization.fit_centered(raw, scale=40.0)
    soft = np.float32(0.8 * np.eye(3)[labels] + 0.2 / 3)
    weights = np.arange(EXAMPLES) % 3
    found = jaxlin.fit(
        raw,
        soft,
        loss=losses.cross_entropy,
        l2=0.01,
        stop=jaxlin.Stop(1e-9),
        weights=weights,
        normalization=fitted,
        refine=True,
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
