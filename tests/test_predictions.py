"""Predictions of a fit on raw rows, against plain NumPy."""

import numpy as np
import pytest
import scipy.sparse
from small_fits import RAW, trained

import jaxlin
from jaxlin import linear, losses, normalization
from jaxlin.stats import intervals

NAMES = np.array(["cat", "car", "frog"])


def plain_scores(fit):
    rows = RAW.astype(np.float64)
    if fit.normalization is not None:
        mean, scale = (np.asarray(part, float) for part in fit.normalization)
        rows = (rows - mean) / scale
    return rows @ np.asarray(fit.params.weights).T + np.asarray(fit.params.bias)


@pytest.mark.parametrize("scale", ["scalar", "vector", "none"])
def test_scores_and_labels_equal_a_plain_computation(scale):
    fit = trained(scale)
    expected = plain_scores(fit)
    np.testing.assert_allclose(jaxlin.scores(fit, RAW), expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_array_equal(
        jaxlin.predict(fit, RAW), NAMES[expected.argmax(axis=1)]
    )


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_probabilities_are_those_at_the_temperature(temperature):
    fit = trained(temperature=temperature)
    expected = plain_scores(fit) / temperature
    odds = np.exp(expected - expected.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        jaxlin.probabilities(fit, RAW),
        odds / odds.sum(axis=1, keepdims=True),
        atol=1e-5,
    )
    np.testing.assert_array_equal(
        jaxlin.predict(fit, RAW), jaxlin.predict(trained(), RAW)
    )


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(ValueError, match="temperature must be"):
        jaxlin.probabilities(trained(temperature=temperature), RAW)


def test_float64_parameters_keep_their_digits(tmp_path):
    """A lead of 1e-10 decides, which float32 does not hold."""
    weights = np.ones((3, 12))
    weights[1, 0] += 1e-10
    rows = np.ones((20, 12))
    rows[::2, 0] = -1
    fit = trained("none", params=linear.Params(weights, np.array([0.0, 0.0, -9.0])))
    jaxlin.save(tmp_path / "fit.npz", fit)
    for one in (fit, jaxlin.load(tmp_path / "fit.npz")):
        for given in (rows, rows.astype(np.float32)):
            assert jaxlin.predict(one, given).tolist() == ["cat", "car"] * 10
            scores = jaxlin.scores(one, given)
            np.testing.assert_allclose(
                scores[:, 1] - scores[:, 0], [-1e-10, 1e-10] * 10, rtol=1e-3
            )


def test_images_need_not_be_flattened():
    images = RAW.reshape(20, 2, 2, 3)
    np.testing.assert_array_equal(
        jaxlin.predict(trained(), images), jaxlin.predict(trained(), RAW)
    )


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        (
            {"converged": True, "stalled": False},
            "relative gap 3.8e-01 proven in 7 passes, 2 of them in float64",
        ),
        (
            {"float64_passes": 0},
            "relative gap 3.8e-01 in 7 passes; requested gap not proven: stalled",
        ),
        (
            {"stalled": False, "passes": 1, "float64_passes": 0},
            "relative gap 3.8e-01 in 1 pass; requested gap not proven: pass limit "
            "reached",
        ),
        ({"relative_gap": np.inf}, "nothing proven"),
    ],
    ids=["proven", "stalled", "out of passes", "no certificate"],
)
def test_a_fit_prints_what_is_proven_and_why_not_more(changes, end):
    start = "weston_watkins_hinge, l2 0.01: objective 0.5, "
    assert str(trained(**changes)) == start + end


BAD_ROWS = {
    "width": (np.ones((2, 11)), "must have 12 features, got 11; give the columns"),
    "nan": (np.full((2, 12), np.nan), "finite"),
    "sparse width": (scipy.sparse.eye(11), "must have 12 features, got 11"),
    "sparse nan": (scipy.sparse.eye(12) * np.nan, "got nan at row 0, feature 0"),
    "ragged": ([[1.0], [1.0, 2.0]], "rectangular"),
    "rank": (np.ones(12), "shape"),
    "no images": (np.ones((0, 2, 2, 3)), "not be empty"),
    "beyond float32": (np.full((2, 12), 1e300), "scores must be finite"),
    "text": (np.full((2, 12), "a"), "floating-point"),
}


@pytest.mark.parametrize("door", [jaxlin.predict, jaxlin.scores])
@pytest.mark.parametrize(("rows", "message"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_bad_rows(door, rows, message):
    with pytest.raises(ValueError, match=message):
        door(trained(), rows)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat"] * 19, "labels must have one entry per example, got 19"),
        (["cat"] * 19 + ["ant"], "labels must be among the 3 classes"),
        (
            np.zeros(20, int),
            r"labels must be text, as the classes are \(cat, .*numbers; .*astype\(str",
        ),
    ],
)
def test_labels_that_fit_no_evaluation(labels, message):
    with pytest.raises(ValueError, match=message):
        jaxlin.evaluate(trained(), RAW, labels)


@pytest.fixture(scope="module")
def fit_and_rows():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(60, 5)).astype(np.float32)
    teacher = generator.normal(size=(3, 5))
    noise = 0.5 * generator.normal(size=(60, 3))
    names = NAMES[np.argmax(rows @ teacher.T + noise, axis=1)]
    fit = jaxlin.fit(
        rows, names, loss=losses.softmax_cross_entropy, l2=0.1, stop=jaxlin.Stop(1e-5)
    )
    return fit, rows, names


def test_an_evaluation_counts_what_is_right(fit_and_rows):
    fit, rows, names = fit_and_rows
    found = jaxlin.evaluate(fit, rows, names)
    right = int((jaxlin.predict(fit, rows) == names).sum())
    assert found.accuracy.value == right / 60
    assert found.num_examples == 60
    assert found.accuracy.interval == intervals.proportion_interval(right, 60)
    certified = jaxlin.certified_labels(fit, rows)
    assert found.optimum.certified == certified.mean()
    assert found.optimum.low <= found.accuracy.value <= found.optimum.high
    assert f"accuracy {100 * found.accuracy.value:.2f} %" in str(found)
    assert "of 60 examples" in str(found)


def test_certified_labels_are_those_of_a_fit_much_nearer_the_optimum(fit_and_rows):
    fit, rows, names = fit_and_rows
    exact = jaxlin.fit(
        rows,
        names,
        loss=losses.softmax_cross_entropy,
        l2=0.1,
        stop=jaxlin.Stop(1e-9),
        refine=True,
        start=fit,
    )
    assert exact.converged
    same = jaxlin.predict(fit, rows) == jaxlin.predict(exact, rows)
    certified = jaxlin.certified_labels(fit, rows)
    assert certified.mean() > 0.5
    assert same[certified].all()
    moved = np.linalg.norm(
        np.c_[exact.params.weights, exact.params.bias]
        - np.c_[fit.params.weights, fit.params.bias]
    )
    assert moved <= fit.radius + exact.radius


@pytest.mark.parametrize("offset", [0.0, 14.62, 1e9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_predicts_what_its_file_predicts(tmp_path, offset, dtype):
    """Also beside a constant column, and about a mean that float32 does not hold."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 3))
    labels = rows[:, 1] + 0.5 * generator.normal(size=400) > 1
    rows = np.c_[np.full(400, 14.62), rows[:, 1:] + offset]
    scaling = normalization.fit_standard(rows)
    zeros = linear.Params(np.zeros((2, 3)), np.zeros(2))
    # A fit from which a refinement starts in float64: one program less.
    nothing_yet = trained(params=zeros, l2=1e-3)
    fit = jaxlin.fit(
        rows,
        labels,
        loss=losses.softmax_cross_entropy,
        l2=1e-3,
        normalization=scaling,
        refine=True,
        stop=jaxlin.Stop(1e-9),
        start=nothing_yet,
    )
    assert fit.params.weights.dtype == np.float64
    assert fit.float64_passes == fit.passes
    params = linear.Params(*(np.asarray(leaf, dtype) for leaf in fit.params))
    jaxlin.save(tmp_path / "fit.npz", fit._replace(params=params))
    mean, scale = (np.asarray(part, np.float64) for part in scaling)
    scores = (rows - mean) / scale @ fit.params.weights.T + fit.params.bias
    is_clear = np.abs(scores[:, 1] - scores[:, 0]) > 1e-4
    assert is_clear.mean() > 0.99
    for one in (fit._replace(params=params), jaxlin.load(tmp_path / "fit.npz")):
        assert one.params.weights.dtype == dtype
        found = jaxlin.predict(one, rows)
        assert found.dtype == bool
        np.testing.assert_array_equal(found[is_clear], scores.argmax(axis=1)[is_clear])
        assert jaxlin.scores(one, rows).dtype == dtype


def empty(kind):
    """A result without values, of which the kind alone matters."""
    return kind(**dict.fromkeys(kind.__annotations__))


_SWEEP = empty(jaxlin.SweepResult)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (RAW, "got a ndarray; give the result of jaxlin.fit, jaxlin.certify or"),
        (None, "got a NoneType; give the result of jaxlin.fit"),
        ([trained()], "got a list; give one of them"),
        (_SWEEP, r"got a SweepResult; give one of its fits, such as result\[0\]"),
        (
            empty(jaxlin.CrossValidation)._replace(fits=_SWEEP),
            r"got a CrossValidation; give .*, such as result.fits\[0\]",
        ),
        (
            empty(jaxlin.ProbeResult)._replace(fit=trained()),
            "got a ProbeResult; give its .fit",
        ),
        (
            empty(jaxlin.TrainingResult),
            r"got a TrainingResult; make the .* of one model a fit: jaxlin.certify\(",
        ),
        (trained().params, "got a Params; make its parameters a fit: jaxlin.certify"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize(
    "door",
    [
        jaxlin.predict,
        jaxlin.scores,
        jaxlin.probabilities,
        jaxlin.certified_labels,
        lambda fit, rows: jaxlin.evaluate(fit, rows, np.zeros(len(rows), int)),
        lambda fit, rows: jaxlin.save("never.npz", fit),
    ],
    ids=["predict", "scores", "probabilities", "certified_labels", "evaluate", "save"],
)
def test_what_is_no_fit_is_refused_by_name(door, given, message):
    with pytest.raises(ValueError, match=f"fit must be a jaxlin.Fit, {message}"):
        door(given, RAW)
