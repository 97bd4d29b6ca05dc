"""Home folders and environment variables in paths."""

import pathlib

import numpy as np
import pytest

import jaxlin
from jaxlin import losses
from jaxlin.io import checkpoint, files


@pytest.fixture(autouse=True)
def home(monkeypatch, tmp_path):
    """A home folder, and a variable that names one below it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PLACE", str(tmp_path / "place"))
    monkeypatch.delenv("NOWHERE", raising=False)
    (tmp_path / "place").mkdir()
    monkeypatch.chdir(tmp_path / "place")
    return tmp_path


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("~", ""),
        ("~/a.npz", "a.npz"),
        ("$PLACE/a.npz", "place/a.npz"),
        ("${PLACE}er/$PLACE", None),
        (pathlib.Path("~", "a b.npz"), "a b.npz"),
    ],
)
def test_they_are_replaced(home, path, below):
    if below is None:
        assert files.expanded(path) == pathlib.Path(f"{home}/placeer/{home}/place")
    else:
        assert files.expanded(path) == home / below


@pytest.mark.parametrize("path", ["a/b.npz", "/a/b.npz", "a~b", "5$", "."])
def test_other_paths_stay_as_they_are(path):
    assert files.expanded(path) == pathlib.Path(path)


@pytest.mark.parametrize("path", ["$NOWHERE/a.npz", "~/${NOWHERE}/a.npz"])
def test_variables_that_are_not_set_are_refused(path):
    """Else a folder of that name would be made in the current one."""
    with pytest.raises(ValueError, match=r"that are set, got \$\{?NOWHERE"):
        files.expanded(path)


def test_a_file_with_a_dollar_sign_in_its_name(home):
    (home / "place" / "$NOWHERE.npz").touch()
    assert files.expanded("$NOWHERE.npz") == pathlib.Path("$NOWHERE.npz")


def test_checkpoints_and_fits_are_found_there(home):
    checkpoint.save("~/tree.npz", {"a": np.arange(3)}, metadata={"b": 1})
    assert (home / "tree.npz").exists()
    restored = checkpoint.load("$PLACE/../tree.npz", {"a": np.zeros(3, int)})
    np.testing.assert_array_equal(restored["a"], np.arange(3))
    assert checkpoint.load_metadata("~/tree.npz") == {"b": 1}
    rows = np.random.default_rng(0).normal(size=(20, 2))
    fit = jaxlin.fit(rows, np.arange(20) % 2, loss=losses.softmax_cross_entropy, l2=0.1)
    jaxlin.save("$PLACE/fit.npz", fit)
    assert jaxlin.load("~/place/fit.npz").l2 == fit.l2
