"""Standard errors against statsmodels, automatic differentiation and refits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm
from covariance_problems import (
    CONSTANT,
    COUNTS,
    GENERATOR,
    GROUPS,
    L2,
    LABELS,
    ROWS,
    SHARES,
    SOFT,
    SOFTMAX,
    SQUARED,
    VECTORS,
    fitted,
)

import jaxlin
from jaxlin import normalization
from jaxlin.problems import fit_hessian
from jaxlin.sensitivity import function_covariance

KINDS = {
    "model": ({}, {}),
    "HC0": ({"kind": "sandwich"}, {"cov_type": "HC0"}),
    "groups": (
        {"kind": "sandwich", "groups": GROUPS},
        {
            "cov_type": "cluster",
            "cov_kwds": {"groups": GROUPS, "use_correction": False},
        },
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_coefficients_are_those_of_mnlogit(kind, unpenalized):
    """Class 0 is the reference; the order of MNLogit is the same."""
    ours, theirs = KINDS[kind]
    found = jaxlin.covariance(*unpenalized, **ours)
    given = sm.MNLogit(LABELS, CONSTANT).fit(disp=0, tol=1e-12, maxiter=99, **theirs)
    table = found.coefficients(reference=0, confidence=0.9)
    np.testing.assert_allclose(table.values.T, given.params, rtol=1e-6)
    np.testing.assert_allclose(table.standard_errors.T, given.bse, rtol=1e-6)
    np.testing.assert_allclose(table.z.T, given.tvalues, rtol=1e-6)
    np.testing.assert_allclose(table.p_values.T, given.pvalues, rtol=1e-5)
    ends = np.stack([table.low, table.high], axis=-1)
    np.testing.assert_allclose(ends, given.conf_int(alpha=0.1), rtol=1e-6)
    np.testing.assert_allclose(
        found.matrix(reference=0), given.cov_params(), rtol=1e-5, atol=1e-8
    )
    assert table.bias_ratio < 1e-6
    assert table.note == ""


@pytest.mark.parametrize("kind", KINDS)
def test_two_classes_are_those_of_logit(kind):
    """Probabilities too, whose intervals are those of the linear predictor."""
    ours, theirs = KINDS[kind]
    labels = np.where(LABELS == 2, "yes", "no")
    problem = jaxlin.problem(ROWS, labels)
    found = jaxlin.covariance(fitted(problem), problem, **ours)
    model = sm.Logit(labels == "yes", CONSTANT)
    given = model.fit(disp=0, tol=1e-12, maxiter=99, **theirs)
    table = found.coefficients(reference="no")
    np.testing.assert_allclose(table.values[0], given.params, rtol=1e-6)
    np.testing.assert_allclose(table.standard_errors[0], given.bse, rtol=1e-6)
    predicted = given.get_prediction(CONSTANT[:9]).summary_frame(alpha=0.05)
    rows = found.probabilities(ROWS[:9])
    assert rows.names == (tuple(f"row {i}" for i in range(9)), ("no", "yes"))
    for column, name in (
        (rows.values, "predicted"),
        (rows.standard_errors, "se"),
        (rows.low, "ci_lower"),
        (rows.high, "ci_upper"),
    ):
        np.testing.assert_allclose(column[:, 1], predicted[name], rtol=1e-5)


def test_published_covariance_of_a_binary_logit():
    """Stata 11 on Spector's data, as statsmodels keeps it in its tests."""
    published = [
        [1.59502033639, -0.036920566629, 0.427615725153, -4.57347950298],
        [-0.036920566629, 0.0200375937069, 0.0149126464275, -0.346255757562],
        [0.427615725153, 0.0149126464275, 1.13329715236, -2.35916128427],
        [-4.57347950298, -0.346255757562, -2.35916128427, 24.3179625937],
    ]
    data = sm.datasets.spector.load_pandas()
    problem = jaxlin.problem(
        data.exog, data.endog.astype(int), normalization=normalization.fit_standard
    )
    found = jaxlin.covariance(fitted(problem, l2=1e-11), problem)
    table = found.coefficients(reference=0)
    assert table.names == (("1",), ("GPA", "TUCE", "PSI", "bias"))
    np.testing.assert_allclose(found.matrix(reference=0), published, rtol=1e-6)
    np.testing.assert_allclose(
        table.standard_errors[0], np.sqrt(np.diag(published)), rtol=5e-7
    )


def parts_of(loss, bias, targets, fit, rows=ROWS):
    """Hessian, that of the mean loss, and gradients of examples, by JAX."""
    allowed = np.append(np.ones(5), bias != "none")
    penalized = np.append(np.ones(5), bias == "penalized")

    def of_example(folded, row, target):
        return loss(folded @ (allowed * jnp.append(row, 1.0)), target)

    def mean(folded):
        each = jax.vmap(of_example, (None, 0, 0))(folded, rows, targets)
        return jnp.mean(each)

    with jax.enable_x64(True):
        folded = jnp.asarray(np.c_[fit.params.weights, fit.params.bias])
        size = folded.size
        of_loss = np.asarray(jax.hessian(mean)(folded)).reshape(size, size)
        slopes = jax.vmap(jax.grad(of_example), (None, 0, 0))(folded, rows, targets)
    slopes = np.asarray(slopes) + L2 * penalized * np.asarray(folded)
    matrix = of_loss + L2 * np.diag(np.tile(penalized, 3))
    return np.linalg.pinv(matrix), of_loss, slopes.reshape(60, size)


@pytest.mark.parametrize("bias", ["penalized", "free", "none"])
@pytest.mark.parametrize("loss", fit_hessian.SMOOTH, ids=lambda loss: loss.__name__)
def test_formulas_under_a_penalty(loss, bias):
    """By inverses of matrices of automatic differentiation, in 18 unknowns."""
    targets = SHARES if loss is SOFT else LABELS
    problem = jaxlin.problem(ROWS, targets)
    fit = fitted(problem, loss, L2, bias)
    inverse, of_loss, slopes = parts_of(loss, bias, targets, fit)
    sandwich = inverse @ slopes.T @ slopes @ inverse / 60**2
    grouped = slopes.reshape(15, 4, -1).sum(1)
    of_groups = inverse @ grouped.T @ grouped @ inverse / 60**2
    expected = {
        None: sandwich,
        "groups": of_groups,
        "model": inverse @ of_loss @ inverse / 60,
    }
    # 18 or, without a bias, 15 coefficients.
    kept = np.flatnonzero(np.tile(np.append(np.ones(5), bias != "none"), 3))
    for kind, matrix in expected.items():
        if kind == "model" and loss is SQUARED:
            continue
        given = {"kind": "model" if kind == "model" else "sandwich"}
        if kind == "groups":
            given["groups"] = [f"group {i}" for i in GROUPS]
        found = jaxlin.covariance(fit, problem, **given)
        np.testing.assert_allclose(
            found.matrix(), matrix[np.ix_(kept, kept)], rtol=1e-5, atol=1e-9
        )
        contrasts = found.contrasts(VECTORS)
        flat = VECTORS - VECTORS.mean(axis=1, keepdims=True)
        flat = flat.reshape(4, -1)[:, kept]
        np.testing.assert_allclose(
            contrasts.standard_errors**2,
            np.diag(flat @ matrix[np.ix_(kept, kept)] @ flat.T),
            rtol=1e-5,
        )
        np.testing.assert_allclose(
            contrasts.values,
            np.einsum("kcd,cd->k", VECTORS, np.c_[fit.params.weights, fit.params.bias]),
            rtol=1e-6,
            atol=1e-7,
        )


def test_effects_of_examples_are_those_of_refits(penalized):
    """Differences of optima in the weight of an example; a group is an example."""
    fit, problem = penalized
    groups = np.where(np.arange(60) == 7, "seven", "others")
    found = jaxlin.covariance(fit, problem, kind="sandwich", groups=groups)
    ends = []
    for sign in (1, -1):
        weights = np.ones(60)
        weights[7] += sign * 1e-3
        ends.append(fitted(jaxlin.problem(ROWS, LABELS, weights=weights), l2=L2))
    change = (ends[0].params.weights - ends[1].params.weights) / 2e-3
    # The other group moves the optimum by the opposite.
    np.testing.assert_allclose(
        found.coefficients().standard_errors[:, :5],
        np.sqrt(2) * np.abs(change),
        rtol=1e-4,
        atol=1e-9,
    )


@pytest.mark.parametrize("bias", ["penalized", "free", "none"])
def test_the_shift_of_a_quadratic_loss_is_exact(bias):
    """No violation changes its sign: each row has all labels, by like weights."""
    rows, weights = np.repeat(ROWS[:20], 3, axis=0), 1 + SHARES.ravel()[:60]
    problem = jaxlin.problem(rows, np.arange(60) % 3, weights=weights)
    without = fitted(problem, SQUARED, 1e-8, bias)
    for l2 in (1e-2, 10.0):
        fit = fitted(problem, SQUARED, l2, bias)
        found = jaxlin.covariance(fit, problem, kind="sandwich")
        change = fit.params.weights - without.params.weights
        np.testing.assert_allclose(found.shift.weights, change, rtol=1e-5, atol=1e-6)


def test_the_shift_is_first_order_in_the_penalty(unpenalized):
    """The error beside the optimum at l2 = 0 falls with l2.

    Errors are .14, .036, .0043 and .00044 of the shift.
    """
    without, problem = unpenalized
    errors = []
    for l2 in (1e-1, 1e-2, 1e-3, 1e-4):
        fit = fitted(problem, l2=l2)
        table = jaxlin.covariance(fit, problem).coefficients()
        change = fit.params.weights - without.params.weights
        error = np.linalg.norm(table.estimated_bias[:, :5] - change)
        errors.append(error / np.linalg.norm(change))
    limits = [0.3, 0.07, 8e-3, 8e-4]
    assert (np.array(errors) < limits).all(), errors


def test_the_shift_has_no_part_without_curvature():
    """A column of zeros, and the difference of two equal columns, have none."""
    rows = np.c_[ROWS[:, :3], np.zeros(60), ROWS[:, 0]]
    problem = jaxlin.problem(rows, LABELS)
    for l2 in (1e-8, 1e-2):
        shift = jaxlin.covariance(fitted(problem, l2=l2), problem).shift.weights
        size = np.abs(shift).max()
        assert 0 < size < 1
        np.testing.assert_allclose(shift[:, 3], 0, atol=1e-6 * size)
        np.testing.assert_allclose(shift[:, 0], shift[:, 4], atol=1e-3 * size)


def test_a_shift_of_few_rounds_is_too_small(penalized, monkeypatch):
    """Along the weights, to which the system's right side is proportional."""
    fit, problem = penalized
    lengths = []
    for rounds in (1, 2, 3, 50):
        monkeypatch.setattr(function_covariance, "_MAX_ROUNDS", rounds)
        shift = jaxlin.covariance(fit, problem).shift
        lengths.append(-np.vdot(fit.params.weights, shift.weights))
    assert (np.diff(lengths) > 0).all()
    assert lengths[0] > 0.5 * lengths[-1]


def test_whole_weights_are_repeated_rows():
    """In a sandwich all copies of a row are one group."""
    weighted = jaxlin.problem(ROWS, LABELS, weights=COUNTS)
    times = COUNTS.astype(int)
    rows, labels = np.repeat(ROWS, times, axis=0), np.repeat(LABELS, times)
    repeated = jaxlin.problem(rows, labels)
    fit, other = fitted(weighted, l2=L2), fitted(repeated, l2=L2)
    for given, copies in (
        ({}, {}),
        (
            {"kind": "sandwich"},
            {"kind": "sandwich", "groups": np.repeat(np.arange(60), times)},
        ),
    ):
        one = jaxlin.covariance(fit, weighted, **given)
        two = jaxlin.covariance(other, repeated, **copies)
        np.testing.assert_allclose(one.matrix(), two.matrix(), rtol=1e-6, atol=1e-12)
    assert jaxlin.covariance(fit, weighted).num_examples == COUNTS.sum()
    assert one.num_examples == two.num_groups == (COUNTS > 0).sum()


def test_shares_among_whole_weights_are_repeated_rows():
    draws = np.array([2.0, 3.0, 1.0] * 20)
    counts = np.eye(3)[LABELS] + (draws - 1)[:, None] * np.eye(3)[1]
    grouped = jaxlin.problem(ROWS, counts / draws[:, None], weights=draws)
    row, label = np.nonzero(counts)
    repeated = jaxlin.problem(ROWS[row], label, weights=counts[row, label])
    one = jaxlin.covariance(fitted(grouped, SOFT, L2), grouped)
    two = jaxlin.covariance(fitted(repeated, SOFTMAX, L2), repeated)
    assert one.num_examples == two.num_examples == draws.sum()
    np.testing.assert_allclose(one.matrix(), two.matrix(), rtol=1e-6, atol=1e-12)


def test_sandwiches_do_not_depend_on_the_scale_of_weights():
    weights = GENERATOR.uniform(0.5, 2, size=60)
    matrices = []
    for factor in (1, 37):
        problem = jaxlin.problem(ROWS, LABELS, weights=factor * weights)
        fit = fitted(problem, l2=L2)
        matrices.append(jaxlin.covariance(fit, problem, kind="sandwich").matrix())
    np.testing.assert_allclose(*matrices, rtol=1e-6, atol=1e-12)


def test_columns_without_information_leave_the_others():
    """A column of zeros has no variance; a copy shares the sum with its original."""
    rows = np.c_[ROWS[:, :3], np.zeros(60), ROWS[:, 0]]
    problem = jaxlin.problem(rows, LABELS)
    table = jaxlin.covariance(fitted(problem, l2=1e-8), problem).coefficients(
        reference=0
    )
    given = sm.MNLogit(LABELS, CONSTANT[:, [0, 1, 2, 5]]).fit(disp=0, tol=1e-12)
    np.testing.assert_array_equal(table.standard_errors[:, 3], 0)
    assert np.isnan(table.z[:, 3]).all()
    assert np.isnan(table.p_values[:, 3]).all()
    np.testing.assert_allclose(
        table.standard_errors[:, [1, 2, 5]].T, given.bse[1:], rtol=1e-5
    )
    for column in (0, 4):
        np.testing.assert_allclose(
            2 * table.standard_errors[:, column], given.bse[0], rtol=1e-5
        )
