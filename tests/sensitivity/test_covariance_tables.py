"""Tables of covariances: units, probabilities, names, print, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from covariance_problems import (
    CONSTANT,
    COUNTS,
    GROUPS,
    L2,
    LABELS,
    ROWS,
    SQUARED,
    VECTORS,
    fitted,
)

import jaxlin
from jaxlin import losses
from jaxlin.normalization import Normalization
from jaxlin.solvers import hessian_system


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
    assert large.matrix_of_params is None
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


def test_covariances_inside_jit_are_refused(penalized):
    with pytest.raises(ValueError, match="outside jax.jit"):
        jax.jit(lambda: jaxlin.covariance(*penalized).shift)()


def test_probabilities_of_a_squared_hinge_are_refused():
    problem = jaxlin.problem(ROWS, LABELS)
    found = jaxlin.covariance(fitted(problem, SQUARED, L2), problem, kind="sandwich")
    with pytest.raises(ValueError, match="for probabilities, got one of weston"):
        found.probabilities(ROWS)
