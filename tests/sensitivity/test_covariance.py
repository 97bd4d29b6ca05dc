"""Standard errors against statsmodels, automatic differentiation and refits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import statsmodels.api as sm

import jaxlin
from jaxlin import losses, normalization
from jaxlin.normalization import Normalization
from jaxlin.problems import fit_hessian
from jaxlin.solvers import hessian_system

SOFTMAX, SOFT = losses.softmax_cross_entropy, losses.cross_entropy
SQUARED = losses.weston_watkins_squared_hinge
SMALL, L2 = 1e-10, 1e-2
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(60, 5)) + [0, 1, -2, 0.5, 0]
LABELS = (ROWS[:, :3] + 2 * GENERATOR.gumbel(size=(60, 3))).argmax(1)
SHARES = GENERATOR.dirichlet(np.ones(3), size=60)
COUNTS = GENERATOR.integers(0, 4, size=60).astype(float)
GROUPS = np.arange(60) // 4
CONSTANT = np.c_[ROWS, np.ones(60)]
# Contrasts whose factors do not sum to 0 over the classes.
VECTORS = GENERATOR.normal(size=(4, 3, 6))


def fitted(problem, loss=SOFTMAX, l2=SMALL, bias="free", **options):
    return jaxlin.fit(
        problem,
        loss=loss,
        l2=l2,
        bias=bias,
        stop=jaxlin.Stop(1e-13),
        refine=True,
        **options,
    )


@pytest.fixture(scope="module")
def unpenalized():
    problem = jaxlin.problem(ROWS, LABELS)
    return fitted(problem), problem


@pytest.fixture(scope="module")
def penalized():
    problem = jaxlin.problem(ROWS, LABELS)
    return fitted(problem, l2=L2), problem


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


def test_the_shift_is_that_of_fits_at_other_l2(penalized):
    fit, problem = penalized
    table = jaxlin.covariance(fit, problem).coefficients()
    more, less = (fitted(problem, l2=L2 * factor) for factor in (1.001, 0.999))
    change = (more.params.weights - less.params.weights) / 0.002
    np.testing.assert_allclose(table.estimated_bias[:, :5], change, rtol=1e-4)


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


@pytest.mark.parametrize("bias", ["free", "none"])
def test_units_of_the_raw_features(bias, unpenalized):
    """Without a penalty a normalisation changes nothing but the units."""
    moved = Normalization(ROWS.mean(0), np.array([0.5, 2.0, 4.0, 1.0, 0.25]))
    problem = jaxlin.problem(ROWS, LABELS, normalization=moved)
    fit = fitted(problem, bias=bias)
    found = jaxlin.covariance(fit, problem)
    own = found.coefficients(units="normalized")
    raw = found.coefficients()
    np.testing.assert_allclose(own.values[:, :5], fit.params.weights, rtol=1e-6)
    np.testing.assert_allclose(
        raw.standard_errors[:, :5], own.standard_errors[:, :5] / moved.scale, rtol=1e-9
    )
    some = found.coefficients(columns=[4, 1], reference=2)
    np.testing.assert_allclose(
        some.values, (raw.values[:2] - raw.values[2])[:, [4, 1]], rtol=1e-9
    )
    # Scores of a row are contrasts in both units.
    score = np.zeros((1, 3, 6))
    score[0, 1] = np.append(ROWS[3], 1)
    in_raw = found.contrasts(score)
    score[0, 1, :5] = (ROWS[3] - moved.mean) / moved.scale
    in_own = found.contrasts(score, units="normalized")
    np.testing.assert_allclose(in_raw.standard_errors, in_own.standard_errors)
    np.testing.assert_allclose(in_raw.values, in_own.values)
    np.testing.assert_allclose(
        in_raw.values, jaxlin.scores(fit, ROWS[3:4])[:, 1], rtol=1e-5
    )
    if bias == "free":
        plain = jaxlin.covariance(*unpenalized).coefficients()
        np.testing.assert_allclose(raw.values, plain.values, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            raw.standard_errors, plain.standard_errors, rtol=1e-6
        )
    else:
        # The bias of raw features is that of their means.
        assert raw.values.shape == (3, 6)
        assert own.values.shape == (3, 5)


def test_probabilities_by_their_derivatives(penalized):
    fit, problem = penalized
    found = jaxlin.covariance(fit._replace(temperature=1.5), problem, kind="sandwich")

    def probabilities(folded):
        rows = CONSTANT[:4]
        return jax.nn.softmax(rows @ folded.reshape(3, 6).T / 1.5, axis=1)

    with jax.enable_x64(True):
        folded = jnp.asarray(np.c_[found.params.weights, found.params.bias]).ravel()
        slopes = np.asarray(jax.jacobian(probabilities)(folded))
        expected = probabilities(folded)
    table = found.probabilities(ROWS[:4])
    variances = np.einsum("ncp,pq,ncq->nc", slopes, found.matrix(), slopes)
    np.testing.assert_allclose(table.values, expected, rtol=1e-9)
    np.testing.assert_allclose(table.standard_errors, np.sqrt(variances), rtol=1e-6)
    shift = np.c_[found.shift.weights, found.shift.bias].ravel()
    np.testing.assert_allclose(table.estimated_bias, slopes @ shift, rtol=1e-6)
    assert (table.low > 0).all()
    assert (table.high < 1).all()
    assert table.z is table.p_values is None


@pytest.mark.parametrize("given", [{}, {"kind": "sandwich", "groups": GROUPS}])
def test_large_fits_solve_systems_for_what_is_asked(given, penalized, monkeypatch):
    fit, problem = penalized
    dense = jaxlin.covariance(fit, problem, **given)
    monkeypatch.setattr(hessian_system, "MAX_DENSE", 17)
    large = jaxlin.covariance(fit, problem, **given)
    assert large.of_params is None
    assert ".coefficients(columns=...)" in str(large)
    for ask in (
        lambda found: found.contrasts(VECTORS),
        lambda found: found.probabilities(ROWS[:3]),
        lambda found: found.coefficients(reference=1, columns=[3]),
    ):
        ours, theirs = ask(large), ask(dense)
        for name in ("values", "standard_errors", "low", "estimated_bias"):
            np.testing.assert_allclose(
                getattr(ours, name), getattr(theirs, name), rtol=1e-5, atol=1e-8
            )
    np.testing.assert_allclose(
        large.matrix(columns=[3]), dense.matrix(columns=[3]), rtol=1e-6, atol=1e-12
    )
    for ask in (large.coefficients, large.matrix):
        with pytest.raises(
            ValueError, match="columns must be given for a fit with more than 17"
        ):
            ask()


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


def test_tables_are_read_and_say_where_l2_shifts_them(penalized, unpenalized):
    fit, problem = penalized
    found = jaxlin.covariance(fitted(problem, l2=1.0), problem)
    lines = str(found).splitlines()
    assert lines[0] == "model covariance of 60 examples, l2 1"
    assert lines[1].strip().startswith("estimate  std. error  ")
    assert lines[1].endswith("  95 % interval")
    assert lines[2] == "0"
    assert lines[3].split()[:2] == ["feature", "0"]
    assert len(lines) == 2 + 3 * 7 + 1
    table = found.coefficients()
    largest = np.max(np.abs(table.estimated_bias) / table.standard_errors)
    assert table.bias_ratio == pytest.approx(largest)
    assert largest > 0.25
    assert lines[-1].startswith(f"note: biased by up to {largest:.2g} standard errors")
    plain = jaxlin.covariance(*unpenalized)
    assert "note" not in str(plain)
    assert repr(plain) == "Covariance(model covariance of 60 examples, l2 1e-10)"
    many = str(plain.contrasts(np.repeat(VECTORS, 25, axis=0))).splitlines()
    assert len(many) == 62
    assert many[-1] == "... and 40 more rows"
    rows = str(plain.probabilities(ROWS[:2])).splitlines()
    assert "  p  " not in rows[0]
    assert [rows[1], rows[5]] == ["row 0", "row 1"]


def test_names_of_columns():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(ROWS, columns=list("abcde"))
    problem = jaxlin.problem(table, LABELS)
    found = jaxlin.covariance(fitted(problem, l2=L2), problem)
    one = found.coefficients(columns=["d"])
    assert one.names == (("0", "1", "2"), ("d",))
    np.testing.assert_array_equal(one.values, found.coefficients().values[:, [3]])
    with pytest.raises(ValueError, match="columns must be among the names .* got 'z'"):
        found.coefficients(columns=["z"])


BAD_FITS = {
    "another kind": ({"kind": "HC3"}, "kind must be one of model, sandwich, got 'HC3'"),
    "groups of a model": (
        {"groups": GROUPS},
        'groups must be None for kind="model"',
    ),
    "one group": (
        {"kind": "sandwich", "groups": np.zeros(60, int)},
        "groups must be at least two with positive weight, got 1",
    ),
    "groups of other examples": (
        {"kind": "sandwich", "groups": GROUPS[:9]},
        "groups must have one entry per example, got 9",
    ),
    "groups of fractions": (
        {"kind": "sandwich", "groups": np.ones(60)},
        "groups must be integers or strings",
    ),
    "no problem": ({"problem": ROWS}, "problem must be a jaxlin.Problem, got a ndarr"),
    "no fit": ({"fit": None}, "fit must be a jaxlin.Fit, got a NoneType"),
    "a hinge": (
        {"loss": losses.weston_watkins_hinge},
        "fit must be of a smooth loss .* for jaxlin.covariance, got one of weston",
    ),
    "no likelihood": (
        {"loss": SQUARED},
        'fit must be of softmax_cross_entropy or cross_entropy for kind="model", got '
        'one of weston_watkins_squared_hinge, .*with kind="sandwich"',
    ),
    "weights that are no frequencies": (
        {"problem": jaxlin.problem(ROWS, LABELS, weights=COUNTS + 0.5)},
        'weights must be frequencies, whole numbers, for kind="model", got .*5 at pos',
    ),
    "another problem": (
        {"problem": jaxlin.problem(ROWS[:, :4], LABELS)},
        "problem must be the one that was fitted",
    ),
}


@pytest.mark.parametrize("kind", BAD_FITS)
def test_fits_without_a_covariance_are_refused(kind, penalized):
    fit, problem = penalized
    changes, message = BAD_FITS[kind]
    options = dict(changes)
    if "loss" in options:
        fit = fit._replace(loss=options.pop("loss"))
    fit, problem = options.pop("fit", fit), options.pop("problem", problem)
    if kind == "no fit":
        fit = None
    with pytest.raises(ValueError, match=message):
        jaxlin.covariance(fit, problem, **options)


BAD_TABLES = {
    "reference": (
        lambda found: found.coefficients(reference=7),
        r"reference must be one of the 3 classes \(0, 1, 2\), got 7",
    ),
    "units": (
        lambda found: found.coefficients(units="standard"),
        "units must be one of raw, normalized, got 'standard'",
    ),
    "confidence": (
        lambda found: found.coefficients(confidence=95),
        "confidence must be below 1, got 95",
    ),
    "no columns": (
        lambda found: found.coefficients(columns=[]),
        "columns must be a sequence of names or indices",
    ),
    "one name": (
        lambda found: found.matrix(columns="age"),
        "columns must be a sequence of names or indices of features.* got 'age'",
    ),
    "a column too many": (
        lambda found: found.coefficients(columns=[5]),
        "columns must be at most 4, got 5",
    ),
    "shape of contrasts": (
        lambda found: found.contrasts(VECTORS[0]),
        r"vectors must have shape \(contrasts, 3, 6\), .* got \(3, 6\)",
    ),
    "no contrasts": (
        lambda found: found.contrasts(VECTORS[:0]),
        r"vectors must have shape \(contrasts, 3, 6\)",
    ),
    "infinite contrasts": (
        lambda found: found.contrasts(np.where(VECTORS > 1, np.inf, VECTORS)),
        "vectors must be finite, got inf in contrast",
    ),
    "text": (
        lambda found: found.contrasts(VECTORS.astype(str)),
        "vectors must be numbers",
    ),
    "rows": (
        lambda found: found.probabilities(ROWS[:, :4]),
        "features must have",
    ),
    "level of probabilities": (
        lambda found: found.probabilities(ROWS, confidence=0),
        "confidence must be above 0, got 0",
    ),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_tables_of_what_there_is_not_are_refused(kind, penalized):
    ask, message = BAD_TABLES[kind]
    with pytest.raises(ValueError, match=message):
        ask(jaxlin.covariance(*penalized))


def test_probabilities_of_a_squared_hinge_are_refused():
    problem = jaxlin.problem(ROWS, LABELS)
    found = jaxlin.covariance(fitted(problem, SQUARED, L2), problem, kind="sandwich")
    with pytest.raises(ValueError, match="for probabilities, got one of weston"):
        found.probabilities(ROWS)
