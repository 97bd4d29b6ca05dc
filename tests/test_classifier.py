"""One file holds all that prediction needs."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
import scipy.sparse

import jaxlin
from jaxlin import checkpoint, classifier, linear, losses, normalization
from jaxlin.solvers import fit_loop, fitting, search_state

RAW = np.random.default_rng(0).integers(0, 256, size=(20, 12)).astype(np.uint8)


def trained(scale="scalar"):
    fit = {
        "scalar": lambda rows: normalization.fit_centered(rows, scale=255.0),
        "vector": normalization.fit_standard,
    }[scale]
    weights = np.random.default_rng(1).normal(size=(3, 12)).astype(np.float32)
    params = linear.Params(weights, np.zeros(3, np.float32))
    return classifier.Classifier(
        params, fit(RAW), ("cat", "car", "frog"), "weston_watkins_hinge", 1e-2
    )


@pytest.mark.parametrize("scale", ["scalar", "vector"])
def test_what_is_loaded_is_what_was_saved(tmp_path, scale):
    path, before = tmp_path / "model.npz", trained(scale)
    classifier.save(path, before)
    after = classifier.load(path)
    for a, b in zip(
        jax.tree.leaves(before[:2]), jax.tree.leaves(after[:2]), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert after[2:6] == before[2:6]
    assert after.versions == {"jaxlin": jaxlin.__version__, "jax": jax.__version__}


def test_scores_equal_a_plain_computation_on_raw_rows(tmp_path):
    model = trained()
    rows = (RAW.astype(np.float64) - model.normalization.mean) / 255
    expected = rows @ np.asarray(model.params.weights).T + np.asarray(model.params.bias)
    np.testing.assert_allclose(classifier.scores(model, RAW), expected, atol=1e-5)
    np.testing.assert_array_equal(
        classifier.predict(model, RAW), expected.argmax(axis=1)
    )
    odds = np.exp(expected - expected.max(axis=1, keepdims=True))
    np.testing.assert_allclose(
        classifier.predict_probabilities(model, RAW),
        odds / odds.sum(axis=1, keepdims=True),
        atol=1e-5,
    )


def test_probabilities_are_those_at_the_temperature(tmp_path):
    """Against NumPy, in memory and from the file."""
    model = trained()._replace(temperature=2.5)
    classifier.save(tmp_path / "model.npz", model)
    odds = np.exp(classifier.scores(model, RAW).astype(np.float64) / 2.5)
    for one in (model, tmp_path / "model.npz"):
        np.testing.assert_allclose(
            classifier.predict_probabilities(one, RAW),
            odds / odds.sum(axis=1, keepdims=True),
            rtol=1e-5,
        )
        np.testing.assert_array_equal(
            classifier.predict(one, RAW), classifier.predict(trained(), RAW)
        )


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_is_above_0(tmp_path, temperature):
    model = trained()._replace(temperature=temperature)
    with pytest.raises(ValueError, match="temperature must be"):
        classifier.save(tmp_path / "model.npz", model)
    with pytest.raises(ValueError, match="temperature must be"):
        classifier.predict_probabilities(model, RAW)


def test_float64_parameters_keep_their_digits(tmp_path):
    """A lead of 1e-10 decides, which float32 does not hold."""
    weights = np.ones((3, 12))
    weights[1, 0] += 1e-10
    rows = np.ones((20, 12))
    rows[::2, 0] = -1
    model = classifier.Classifier(
        linear.Params(weights, np.array([0.0, 0.0, -9.0])),
        normalization.identity(12),
        ("cat", "car", "frog"),
        "softmax_cross_entropy",
        1e-2,
    )
    classifier.save(tmp_path / "model.npz", model)
    for one in (model, tmp_path / "model.npz"):
        for given in (rows, rows.astype(np.float32)):
            assert classifier.predict(one, given).tolist() == [0, 1] * 10
            scores = classifier.scores(one, given)
            np.testing.assert_allclose(
                scores[:, 1] - scores[:, 0], [-1e-10, 1e-10] * 10, rtol=1e-3
            )


def test_images_need_not_be_flattened():
    images = RAW.reshape(20, 2, 2, 3)
    np.testing.assert_array_equal(
        classifier.predict(trained(), images), classifier.predict(trained(), RAW)
    )


def test_one_call_in_a_new_process_predicts(tmp_path):
    classifier.save(tmp_path / "model.npz", trained())
    np.save(tmp_path / "rows.npy", RAW)
    program = (
        "import json, numpy as np\n"
        "from jaxlin import classifier\n"
        "labels = classifier.predict('model.npz', np.load('rows.npy'))\n"
        "print(json.dumps(labels.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == classifier.predict(trained(), RAW).tolist()


BAD_ROWS = {
    "width": (np.ones((2, 11)), "must have 12 features, got 11"),
    "nan": (np.full((2, 12), np.nan), "finite"),
    "sparse": (scipy.sparse.eye(12), "sparse"),
    "ragged": ([[1.0], [1.0, 2.0]], "rectangular"),
    "rank": (np.ones(12), "shape"),
    "no images": (np.ones((0, 2, 2, 3)), "not be empty"),
    "beyond float32": (np.full((2, 12), 1e300), "scores must be finite"),
    "text": (np.full((2, 12), "a"), "floating-point"),
}


@pytest.mark.parametrize(("rows", "message"), BAD_ROWS.values(), ids=BAD_ROWS.keys())
def test_bad_rows(rows, message):
    with pytest.raises(ValueError, match=message):
        classifier.predict(trained(), rows)


def test_parts_that_disagree_are_not_saved(tmp_path):
    path = tmp_path / "model.npz"
    with pytest.raises(ValueError, match="one name for each of 3 classes, got 2"):
        classifier.save(path, trained()._replace(class_names=("cat", "car")))
    narrow = trained()._replace(normalization=normalization.identity(5))
    with pytest.raises(ValueError, match="normalization must be for 12 features"):
        classifier.save(path, narrow)
    biased = trained()._replace(params=trained().params._replace(bias=np.zeros(5)))
    with pytest.raises(ValueError, match=r"bias must have shape \(3,\), got \(5,\)"):
        classifier.save(path, biased)
    assert not path.exists()


def test_another_checkpoint_is_no_classifier(tmp_path):
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"w": np.zeros(3)})
    with pytest.raises(ValueError, match=r"state\.npz must be a jaxlin linear"):
        classifier.load(path)


def test_another_format_is_refused_in_words(tmp_path):
    path = tmp_path / "old.npz"
    checkpoint.save(path, {}, metadata={"kind": "jaxlin linear classifier, format 1"})
    with pytest.raises(
        ValueError, match=r"old\.npz must be .*format 2, got .*format 1"
    ):
        classifier.load(path)


def test_a_missing_file():
    with pytest.raises(OSError, match="nowhere"):
        classifier.load("nowhere.npz")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "model.npz"
    classifier.save(path, trained())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.npz"):
        classifier.load(path)


def labels_by_numpy(fitted, scaling, rows):
    mean, scale = (np.asarray(part, np.float64) for part in scaling)
    weights, bias = (np.asarray(leaf, np.float64) for leaf in fitted.params)
    scores = (rows - mean) / scale @ weights.T + bias
    lead = np.diff(np.sort(scores, axis=1)[:, -2:]).ravel()
    return scores.argmax(axis=1), lead > 1e-4


def nothing_yet(num_examples, l2):
    """A fit from which a polish starts in float64: one program less."""
    zeros = linear.Params(np.zeros((2, 3)), np.zeros(2))
    return fit_loop.Fit(
        params=zeros,
        certificate=None,
        relative_gap=np.inf,
        converged=False,
        evaluations=0,
        float64_evaluations=0,
        multipliers=search_state.Multipliers(np.zeros((num_examples, 0)), 1.0),
        loss=losses.softmax_cross_entropy,
        l2=l2,
        stalled=False,
    )


@pytest.mark.parametrize("offset", [0.0, 14.62, 1e9])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_fit_predicts_what_its_classifier_predicts(tmp_path, offset, dtype):
    """Also beside a constant column, and about a mean that float32 does not hold."""
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(400, 3))
    labels = (rows[:, 1] + 0.5 * generator.normal(size=400) > 1).astype(int)
    rows = np.c_[np.full(400, 14.62), rows[:, 1:] + offset]
    scaling = normalization.fit_standard(rows)
    fitted = fitting.fit(
        *(rows, labels),
        loss=losses.softmax_cross_entropy,
        l2=1e-3,
        normalization=scaling,
        polish=True,
        relative_gap=1e-9,
        start=nothing_yet(400, 1e-3),
    )
    assert fitted.params.weights.dtype == np.float64
    params = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), fitted.params)
    model = classifier.Classifier(params, scaling, ("0", "1"), "softmax", 1e-3)
    classifier.save(tmp_path / "model.npz", model)
    expected, is_clear = labels_by_numpy(fitted, scaling, rows)
    assert is_clear.mean() > 0.99
    for one in (model, classifier.load(tmp_path / "model.npz")):
        assert one.params.weights.dtype == dtype
        found = classifier.predict(one, rows)
        np.testing.assert_array_equal(found[is_clear], expected[is_clear])
        assert classifier.scores(one, rows).dtype == dtype
