"""Bootstrap of fits against refits one by one, and against covariances."""

import jax
import numpy as np
import pytest

import jaxlin
from jaxlin import losses, normalization
from jaxlin.selection import resampling
from jaxlin.sensitivity import fit_bootstrap

SOFTMAX = losses.softmax_cross_entropy
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(400, 3)) + [0, 1, -2]
LABELS = (ROWS + [0, -1, 2] + 2 * GENERATOR.gumbel(size=(400, 3))).argmax(1)
GROUPS = np.arange(400) // 10
KEY, L2 = jax.random.key(0), 5e-2
COUNTS = np.tile([1.0, 0.0, 2.0, 1.0, 1.0], 80)


def fitted(problem, loss=SOFTMAX, bias="free", l2=L2):
    return jaxlin.fit(
        problem, loss=loss, l2=l2, bias=bias, stop=jaxlin.Stop(1e-10), refine=True
    )


@pytest.fixture(scope="module")
def given():
    problem = jaxlin.problem(ROWS, LABELS, normalization=normalization.fit_standard)
    return fitted(problem), problem


@pytest.fixture(scope="module")
def drawn(given):
    """Both kinds, of 200 resamples."""
    return {
        kind: fit_bootstrap.bootstrap(*given, key=KEY, kind=kind, num_resamples=200)
        for kind in ("nonparametric", "parametric")
    }


@pytest.mark.parametrize("kind", ["nonparametric", "parametric"])
def test_standard_errors_are_about_those_of_the_covariance(kind, drawn, given):
    """Standard errors of 200 draws are off by 5 % each, and by terms of order 1 / n."""
    of_kind = "model" if kind == "parametric" else "sandwich"
    found = jaxlin.covariance(*given, kind=of_kind)
    ours, theirs = drawn[kind].coefficients(), found.coefficients()
    ratio = ours.standard_errors / theirs.standard_errors
    assert 0.93 < ratio.mean() < 1.12
    assert (np.abs(np.log(ratio)) < 0.25).all()
    np.testing.assert_allclose(ours.values, theirs.values, atol=1e-4)
    rows, same = (one.probabilities(ROWS[:5]) for one in (drawn[kind], found))
    np.testing.assert_allclose(rows.values, same.values, atol=1e-4)
    np.testing.assert_allclose(rows.standard_errors, same.standard_errors, rtol=0.25)
    assert drawn[kind].num_unproven == 0


def test_labels_of_a_parametric_bootstrap_shift_as_the_penalty_does(drawn, given):
    """Resamples of the shrunk model shift by l2 times its derivative, and by noise.

    That is less than the shift of the fit itself, whose model is not shrunk.
    """
    table = drawn["parametric"].coefficients(units="normalized")
    ours, errors = table.estimated_bias[:, :3], table.standard_errors[:, :3]
    more, less = (fitted(given[1], l2=L2 * factor) for factor in (1.01, 0.99))
    theirs = (more.params.weights - less.params.weights) / 0.02
    assert np.abs((ours - theirs) / errors).max() < 0.4
    assert np.max(np.abs(theirs) / errors) > 0.5
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.9
    shift = jaxlin.covariance(*given).shift.weights
    assert np.linalg.norm(theirs) < np.linalg.norm(shift)


def test_fits_are_those_of_the_drawn_weights(drawn, given):
    _, problem = given
    weights = resampling.bootstrap(KEY, 400, num_resamples=3)
    fits = drawn["nonparametric"].fits
    for number, one in enumerate(weights):
        resample = jaxlin.problem(
            ROWS, LABELS, weights=one, normalization=problem.normalization
        )
        expected = fitted(resample)
        np.testing.assert_allclose(
            fits[number].params.weights, expected.params.weights, atol=2e-2
        )
        # The gap asked for is a twentieth of a standard error.
        gap = fits[number].certificate.primal - expected.certificate.primal
        assert np.sqrt(2 * 400 * max(gap, 0)) < 0.05


def test_tables_are_those_of_the_draws(drawn):
    """By the units of raw features, one class against another, and percentiles."""
    found = drawn["nonparametric"]
    weights = np.asarray(found.fits.params.weights, float)
    scale = np.asarray(found.fit.normalization.scale, float)
    draws = (weights[:, 1] - weights[:, 0])[:, [2]] / scale[2]
    table = found.coefficients(reference=0, columns=[2], confidence=0.8)
    np.testing.assert_allclose(table.standard_errors[0], draws.std(0, ddof=1))
    np.testing.assert_allclose(table.low[0], np.quantile(draws, 0.1, axis=0))
    np.testing.assert_allclose(table.high[0], np.quantile(draws, 0.9, axis=0))
    # Percentile intervals and normal tests would contradict each other.
    assert table.z is table.p_values is None
    np.testing.assert_allclose(
        table.estimated_bias[0], draws.mean(0) - table.values[0], rtol=1e-5, atol=1e-7
    )
    contrast = np.zeros((1, 3, 4))
    contrast[0, :2, 2] = [-1, 1]
    same = found.contrasts(contrast, confidence=0.8)
    np.testing.assert_allclose(same.low, table.low[0], rtol=1e-6)
    each = np.stack([jaxlin.probabilities(fit, ROWS[:2]) for fit in found.fits])
    rows = found.probabilities(ROWS[:2])
    np.testing.assert_allclose(rows.standard_errors, each.std(0, ddof=1), rtol=1e-4)
    np.testing.assert_allclose(rows.low, np.quantile(each, 0.025, axis=0), rtol=1e-4)
    lines = str(found).splitlines()
    assert lines[0] == (
        "nonparametric bootstrap of 200 resamples, l2 0.05, 0 fits unproven"
    )
    assert len(lines) >= 2 + 3 * 5


def test_whole_groups_are_drawn_and_rows_without_weight_never():
    weights = np.where(GROUPS == 5, 0.0, 1.0)
    problem = jaxlin.problem(ROWS, LABELS, weights=weights)
    options = {"key": KEY, "num_resamples": 3}
    found = fit_bootstrap.bootstrap(fitted(problem), problem, groups=GROUPS, **options)
    assert found.num_groups == 39
    counts = resampling.bootstrap(KEY, 39, num_resamples=3)
    each = np.zeros((3, 400))
    each[:, weights > 0] = np.repeat(counts, 10, axis=1)
    for number, one in enumerate(each):
        expected = fitted(jaxlin.problem(ROWS, LABELS, weights=one))
        np.testing.assert_allclose(
            found.fits[number].params.weights, expected.params.weights, atol=2e-2
        )


def test_labels_are_drawn_as_often_as_weights_say():
    problem = jaxlin.problem(ROWS, LABELS, weights=COUNTS)
    found = fit_bootstrap.bootstrap(
        fitted(problem), problem, key=KEY, kind="parametric", num_resamples=200
    )
    ours = found.coefficients().standard_errors
    theirs = jaxlin.covariance(found.fit, problem).coefficients().standard_errors
    assert 0.9 < (ours / theirs).mean() < 1.1


def test_resamples_without_a_class_have_an_optimum_where_the_bias_is_penalised():
    labels = np.where(np.arange(400) == 0, 2, LABELS % 2)
    problem = jaxlin.problem(ROWS, labels)
    options = {"key": KEY, "num_resamples": 5}
    counts = resampling.bootstrap(KEY, 400, num_resamples=5)
    absent = np.flatnonzero(counts[:, 0] == 0)
    assert 0 < len(absent) < 5
    for bias in ("penalized", "none"):
        fit = fitted(problem, bias=bias)
        found = fit_bootstrap.bootstrap(fit, problem, **options)
        assert found.num_unproven == 0
        weights = counts[absent[0]]
        expected = fitted(jaxlin.problem(ROWS, labels, weights=weights), bias=bias)
        np.testing.assert_allclose(
            found.fits[absent[0]].params.weights, expected.params.weights, atol=2e-2
        )


def test_the_stopping_criterion_does_not_depend_on_the_scale_of_weights():
    fits = []
    for scale in (1, 1024):
        problem = jaxlin.problem(ROWS, LABELS, weights=scale * (COUNTS + 0.5))
        found = fit_bootstrap.bootstrap(
            fitted(problem), problem, key=KEY, num_resamples=3
        )
        fits.append(found.draws)
    # With 1024 times the sample size they would be off by a thousandth.
    np.testing.assert_allclose(fits[1], fits[0], rtol=1e-6, atol=1e-6)


def test_bootstraps_inside_jit_are_refused(given):
    with pytest.raises(ValueError, match="outside jax.jit"):
        jax.jit(lambda: fit_bootstrap.bootstrap(*given, key=KEY).draws)()


def test_unproven_fits_are_counted(given):
    stop = jaxlin.Stop(1e-15, max_passes=2)
    found = fit_bootstrap.bootstrap(*given, key=KEY, num_resamples=3, stop=stop)
    assert found.num_unproven == 3
    assert repr(found).endswith("3 fits unproven)")


def test_hinges_have_a_nonparametric_bootstrap(given):
    _, problem = given
    fit = fitted(problem, losses.weston_watkins_hinge, "penalized")
    found = fit_bootstrap.bootstrap(fit, problem, key=KEY, num_resamples=20)
    assert found.num_unproven == 0
    assert (found.coefficients().standard_errors > 0).all()
    with pytest.raises(ValueError, match="for probabilities, got one of weston"):
        found.probabilities(ROWS)


BAD = {
    "kind": ({"kind": "pairs"}, "kind must be one of nonparametric, parametric"),
    "key": ({"key": 0}, "key must be a key, got 0"),
    "one resample": ({"num_resamples": 1}, "num_resamples must be at least 2, got 1"),
    "stop": ({"stop": 1e-3}, "stop must be a jaxlin.Stop"),
    "groups of labels": (
        {"kind": "parametric", "groups": GROUPS},
        'groups must be None for kind="parametric"',
    ),
    "one group": ({"groups": np.zeros(400, int)}, "groups must be at least two"),
    "no problem": ({"problem": ROWS}, "problem must be a jaxlin.Problem"),
    "no likelihood": (
        {"kind": "parametric", "loss": losses.weston_watkins_hinge},
        'fit must be of softmax.* for kind="parametric", got one of weston_watkins_h',
    ),
    "distributions": (
        {
            "kind": "parametric",
            "loss": losses.cross_entropy,
            "problem": jaxlin.problem(
                ROWS,
                np.eye(3)[LABELS],
                normalization=normalization.fit_standard(ROWS),
            ),
        },
        "labels must be integers .*, got distributions",
    ),
    "weights that are no frequencies": (
        {
            "kind": "parametric",
            "problem": jaxlin.problem(
                ROWS,
                LABELS,
                weights=COUNTS + 0.5,
                normalization=normalization.fit_standard(ROWS),
            ),
        },
        'weights must be frequencies, whole numbers, for kind="parametric"',
    ),
    "a class of one example": (
        {
            "problem": jaxlin.problem(
                ROWS,
                np.where(np.arange(400) == 0, 2, LABELS % 2),
                normalization=normalization.fit_standard(ROWS),
            )
        },
        "problem must have enough examples of each class for a bootstrap of a fit with "
        "a free bias, got none of class 2 in resample",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bootstraps_that_draw_nothing_useful_are_refused(kind, given):
    fit, problem = given
    options = {"key": KEY, "num_resamples": 20, **BAD[kind][0]}
    problem = options.pop("problem", problem)
    fit = fit._replace(loss=options.pop("loss", fit.loss))
    with pytest.raises(ValueError, match=BAD[kind][1]):
        fit_bootstrap.bootstrap(fit, problem, **options)
