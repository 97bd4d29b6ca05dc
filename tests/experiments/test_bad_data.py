"""Bad data sets are refused by name, before anything is compiled."""

import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
from bad_input_rows import X, Y, assert_refused, command, good_data, write


def arrays(words, *, flags="", **changes):
    """A row about a data file with changed arrays (``...`` leaves one out)."""
    good = {"x_train": X, "y_train": Y, "x_test": X[:9], "y_test": Y[:9]}
    kept = {k: v for k, v in {**good, **changes}.items() if v is not ...}
    return command(
        f"--smoke --dataset bad.npz {flags}", words, lambda: np.savez("bad.npz", **kept)
    )


def file(content, words):
    """A row about a data file that is none."""
    return command(
        "--dataset bad.npz", f"bad.npz {words}", lambda: write("bad.npz", content)
    )


def with_entry(array, value):
    changed = array.copy()
    changed[5] = value
    return changed


def truncated_data():
    good_data("bad.npz")
    write("bad.npz", Path("bad.npz").read_bytes()[:-200])


def offline(act):
    """Does something while there is no network."""

    def fail(*_, **__):
        raise urllib.error.URLError("no route to host")

    def without_network():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(urllib.request, "urlopen", fail)
            patch.delenv("TFDS_DATA_DIR", raising=False)
            return act()

    return without_network


no_network = command("--smoke --dataset cifar10 --data-dir .", "no route to host")
ragged = np.array([[1.0], [1.0, 2.0]] * 20, dtype=object)

ROWS = {
    "data set unknown": command(
        "--dataset cifr10 --data-dir .", "data set cifar10, digits .npz got 'cifr10'"
    ),
    "CIFAR-10 offline": no_network._replace(
        words="no route to host --dataset digits TFDS_DATA_DIR download",
        act=offline(no_network.act),
    ),
    "label negative": arrays(
        "y_train must lie in [0, 2], got -1 at position 5", y_train=with_entry(Y, -1)
    ),
    "label out of range": arrays(
        "y_train must lie in [0, 1], got 2 at position 2", class_names=["a", "b"]
    ),
    "label a hash": arrays("labels 4294967296 gaps", y_train=with_entry(Y, 2**32)),
    "label float": arrays("y_train must be integers, float64", y_train=Y.astype(float)),
    "label text": arrays("y_test must be integers", y_test=Y[:9].astype(str)),
    "labels one-hot": arrays("y_train (40, 3) argmax", y_train=np.eye(3, dtype=int)[Y]),
    "labels too few": arrays("y_train 39 for 40 examples", y_train=Y[:-1]),
    "no examples": arrays("x_train not be empty", x_train=X[:0], y_train=Y[:0]),
    "no test examples": arrays("x_test not be empty", x_test=X[:0], y_test=Y[:0]),
    "one class": arrays("y_train at least two classes only class 0", y_train=Y * 0),
    "class of one": arrays(
        "labels at least 2 examples 1 of class 7",
        y_train=with_entry(Y, 7),
        flags="--batch-size 8",
    ),
    "batch size above a small n": arrays("batch_size must be at most 36, got 128"),
    "feature not a number": arrays(
        "x_train finite row 5", x_train=with_entry(X, np.nan)
    ),
    "feature infinite": arrays("x_test finite inf", x_test=with_entry(X[:9], np.inf)),
    "feature too large": arrays("x_train finite inf", x_train=with_entry(X, 1e300)),
    "features ragged": arrays("x_train rectangular objects", x_train=ragged),
    "features of rank 1": arrays(
        "x_train shape (examples, features)", x_train=X[:, 0], x_test=X[:9, 0]
    ),
    "features text": arrays(
        "x_train floating-point", x_train=X.astype(str), x_test=X[:9].astype(str)
    ),
    "widths differ": arrays("x_test shape of x_train (4,) (3,)", x_test=X[:9, :3]),
    "dtypes differ": arrays(
        "x_test dtype of x_train", x_train=(X * 9).astype(np.uint8), x_test=X[:9]
    ),
    "an array is missing": arrays("missing y_test found x_train", y_test=...),
    "sparse file": command(
        "--dataset bad.npz",
        "bad.npz sparse out of scope .toarray()",
        lambda: scipy.sparse.save_npz("bad.npz", scipy.sparse.eye_array(4).tocsr()),
    ),
    "file missing": command("--dataset gone.npz", "gone.npz cannot be opened No such"),
    "file a folder": command(
        "--dataset d.npz", "d.npz cannot be opened", lambda: Path("d.npz").mkdir()
    ),
    "file empty": file(b"", "not a .npz file numpy.savez"),
    "file of text": file(b"a,b\n1,2\n", "not a .npz file numpy.savez"),
    "file truncated": command("--dataset bad.npz", "bad.npz cut short", truncated_data),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bad_input(row, compiled, tmp_path):
    assert_refused(row, compiled, tmp_path)
