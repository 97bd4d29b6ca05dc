"""One file holds all that prediction needs, and the proof."""

import json
import subprocess
import sys

import jax
import numpy as np
import pytest
from small_fits import RAW, trained

import jaxlin
from jaxlin import normalization
from jaxlin.certificates.duality import Certificate
from jaxlin.io import checkpoint

CLASSES = {
    "text": np.array(["cat", "car", "frog"]),
    "integers with gaps": np.array([7, -1, 300]),
    "whole floats": np.array([-1.0, 0.0, 1.0]),
}


@pytest.mark.parametrize("scale", ["scalar", "vector", "none"])
@pytest.mark.parametrize("classes", CLASSES.values(), ids=CLASSES.keys())
def test_what_is_loaded_is_what_was_saved(tmp_path, scale, classes):
    path, before = tmp_path / "fit.npz", trained(scale, classes=classes)
    jaxlin.save(path, before)
    after = jaxlin.load(path)
    for name in ("params", "normalization"):
        pairs = zip(
            jax.tree.leaves(getattr(before, name)),
            jax.tree.leaves(getattr(after, name)),
            strict=True,
        )
        for a, b in pairs:
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(after.classes, classes)
    assert after.classes.dtype == classes.dtype
    rest = set(before._fields) - {"params", "normalization", "classes"}
    for name in rest:
        assert getattr(after, name) == getattr(before, name), name
    assert str(after) == str(before)
    versions = checkpoint.load_metadata(path)["versions"]
    assert versions == {"jaxlin": jaxlin.__version__, "jax": jax.__version__}


SCALARS = {
    "text": [np.str_("cat"), np.str_("car"), np.str_("frog")],
    "integers": [np.int8(7), np.int64(-1), np.uint16(300)],
    "objects": np.array([np.int64(7), np.int64(-1), np.int64(300)], object),
}


@pytest.mark.parametrize("classes", SCALARS.values(), ids=SCALARS.keys())
def test_class_names_that_are_numpy_scalars_are_saved(tmp_path, classes):
    jaxlin.save(tmp_path / "fit.npz", trained(classes=classes))
    after = jaxlin.load(tmp_path / "fit.npz")
    assert after.classes.tolist() == list(classes)
    assert set(jaxlin.predict(after, RAW)) <= set(classes)


def test_a_fit_without_a_proof_is_saved(tmp_path):
    """At l2 = 0 the gap is infinite, for which JSON has no number."""
    nothing = Certificate(0.25, -np.inf, np.inf, 0.0)
    unproven = trained()._replace(l2=0.0, certificate=nothing, relative_gap=np.inf)
    jaxlin.save(tmp_path / "fit.npz", unproven)
    after = jaxlin.load(tmp_path / "fit.npz")
    assert after.certificate == unproven.certificate
    assert after.relative_gap == np.inf
    assert after.l2 == 0


def test_the_temperature_is_kept(tmp_path):
    jaxlin.save(tmp_path / "fit.npz", trained(temperature=2.5))
    assert jaxlin.load(tmp_path / "fit.npz").temperature == 2.5


@pytest.mark.parametrize("temperature", [0.0, -1.0, np.nan, np.inf])
def test_a_temperature_is_above_0(tmp_path, temperature):
    with pytest.raises(ValueError, match="temperature must be"):
        jaxlin.save(tmp_path / "fit.npz", trained(temperature=temperature))


def test_one_call_in_a_new_process_predicts(tmp_path):
    jaxlin.save(tmp_path / "fit.npz", trained())
    np.save(tmp_path / "rows.npy", RAW)
    program = (
        "import json, jaxlin, numpy as np\n"
        "labels = jaxlin.predict(jaxlin.load('fit.npz'), np.load('rows.npy'))\n"
        "print(json.dumps(labels.tolist()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path, check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert json.loads(done.stdout) == jaxlin.predict(trained(), RAW).tolist()


def test_parts_that_disagree_are_not_saved(tmp_path):
    path, fit = tmp_path / "fit.npz", trained()
    with pytest.raises(ValueError, match="one label for each of 3 classes, got 2"):
        jaxlin.save(path, fit._replace(classes=np.array(["cat", "car"])))
    with pytest.raises(ValueError, match="classes must be distinct, got cat"):
        jaxlin.save(path, fit._replace(classes=np.array(["cat", "car", "cat"])))
    narrow = fit._replace(normalization=normalization.identity(5))
    with pytest.raises(ValueError, match="normalization must be for 12 features"):
        jaxlin.save(path, narrow)
    biased = fit._replace(params=fit.params._replace(bias=np.zeros(5)))
    with pytest.raises(ValueError, match=r"bias must have shape \(3,\), got \(5,\)"):
        jaxlin.save(path, biased)
    assert not path.exists()


def test_another_checkpoint_is_no_fit(tmp_path):
    path = tmp_path / "state.npz"
    checkpoint.save(path, {"w": np.zeros(3)})
    with pytest.raises(ValueError, match=r"state\.npz must be a jaxlin fit"):
        jaxlin.load(path)


def test_a_fit_of_version_0_1_0_has_a_penalised_bias(tmp_path):
    """Its file says nothing of the bias."""
    path, before = tmp_path / "fit.npz", trained()
    jaxlin.save(path, before)
    metadata = checkpoint.load_metadata(path)
    del metadata["bias"], metadata["bias radius"]
    checkpoint.save(path, (before.params, before.normalization), metadata=metadata)
    after = jaxlin.load(path)
    assert (after.bias, after.bias_radius) == ("penalized", 0.0)
    np.testing.assert_array_equal(after.params.weights, before.params.weights)


def test_another_format_is_refused_in_words(tmp_path):
    path = tmp_path / "old.npz"
    checkpoint.save(path, {}, metadata={"kind": "jaxlin linear classifier, format 1"})
    with pytest.raises(
        ValueError, match=r"old\.npz must be .*format 3, got .*format 1"
    ):
        jaxlin.load(path)


def test_a_missing_file():
    with pytest.raises(OSError, match="nowhere"):
        jaxlin.load("nowhere.npz")


def test_a_damaged_file_is_named(tmp_path):
    path = tmp_path / "fit.npz"
    jaxlin.save(path, trained())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"fit\.npz"):
        jaxlin.load(path)
