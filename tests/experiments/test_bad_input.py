"""Bad input is refused by name, before anything is compiled, and nothing is lost.

One table. A row says what is lying about, what the user does, and key words of the
message in their order. Every row is held to the same promises: one plain message, no
program compiled, no file made, changed or left half-made.
"""

import errno
import json
import os
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
import pytest
import run_helpers
import scipy.sparse

from experiments import benchmark_training
from experiments.common import run_folder
from experiments.common.config import to_dict
from experiments.svm_vs_softmax.config import SMOKE
from jaxlin import (
    check,
    checkpoint,
    classifier,
    comparison,
    data,
    label_proofs,
    linear,
    losses,
    normalization,
)
from jaxlin.selection import splits
from jaxlin.solvers import base, minibatch

X = np.random.default_rng(0).normal(size=(40, 4))
Y = np.arange(40) % 3


class Row(NamedTuple):
    """One bad input.

    Attributes:
      words: of the message, in order.
      act: what the user does, in a folder of its own; returns the message.
      given: makes the files that are there before.
    """

    words: str
    act: Callable[[], str]
    given: Callable[[], Any] = lambda: None


def command(flags, words, given=lambda: None):
    """A row that goes through the command line."""

    def act():
        code, errors = run_helpers.main(*shlex.split(flags))
        assert code == 2, errors
        assert "Traceback" not in errors
        # Errors about flags come in a box.
        return " ".join(re.sub(r"[│╭╮╰╯─]", " ", errors).split())

    return Row(words, act, given)


def call(act, words, given=lambda: None):
    """A row that goes through a function of the library."""

    def message():
        with pytest.raises((ValueError, OSError)) as caught:
            act()
        return str(caught.value)

    return Row(words, message, given)


def without_torch():
    """The benchmark against PyTorch where that is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("importlib.util.find_spec", lambda name: None)
        benchmark_training.run(benchmark_training.Config())


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


def write(name, content):
    Path(name).write_bytes(content)


def with_entry(array, value):
    changed = array.copy()
    changed[5] = value
    return changed


def some_run(config=SMOKE):
    """A run folder that was started and has trained a little."""
    folder = run_folder.create(Path("run"), config=to_dict(config))
    folder.write_json("data.json", data.summary(data.load("digits")))
    tree = {"weights": np.arange(300.0, dtype=np.float32)}
    checkpoint.save(folder.path / "checkpoint-a.npz", tree, metadata={"epochs": 2})
    folder.append_metrics({"stage": "a", "epoch": 2})
    return folder


def run_with(name, content):
    """A run in which one file was replaced."""
    return lambda: write(some_run().path / name, content)


def run_of_other_data():
    folder = some_run()
    facts = folder.read_json("data.json")
    facts["train"]["features"]["sha256"] = "0" * 64
    folder.write_json("data.json", facts)


def flipped_checkpoint():
    path = some_run().path / "checkpoint-a.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def foreign_checkpoint():
    checkpoint.save(some_run().path / "checkpoint-a.npz", {"x": np.ones(2)})


def good_data(name):
    """A file of 160 examples to train on."""
    rows, labels = np.tile(X, (4, 1)), np.tile(Y, 4)
    np.savez(name, x_train=rows, y_train=labels, x_test=X, y_test=Y)


def truncated_data():
    good_data("bad.npz")
    write("bad.npz", Path("bad.npz").read_bytes()[:-200])


def model():
    """A classifier of 3 classes and 4 features."""
    params = linear.Params(np.ones((3, 4)), np.zeros(3))
    made = classifier.Classifier(
        params, normalization.identity(4), ("a", "b", "c"), "hinge", 0.1
    )
    classifier.save("model.npz", made)


def predict(features):
    return lambda: classifier.predict("model.npz", features)


def load_tree(like):
    return lambda: checkpoint.load("tree.npz", like)


def tree():
    checkpoint.save("tree.npz", {"w": np.ones(3, np.float32)})


def cut_tree():
    tree()
    write("tree.npz", Path("tree.npz").read_bytes()[:-99])


def full_disk(act):
    """Does something while the disk is full."""

    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    def on_full_disk():
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            return act()

    return on_full_disk


def save_tree():
    checkpoint.save("tree.npz", {"w": np.zeros(3, np.float32)})


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
no_space = command("--smoke --out run", "out must written run No space left --out")
ragged = np.array([[1.0], [1.0, 2.0]] * 20, dtype=object)

ROWS = {
    # Numbers on the command line
    "l2 negative": command(
        "--smoke --hinge-l2 0.1 -0.1", "hinge_l2[1] must be at least 0, got -0.1"
    ),
    "l2 infinite": command("--smoke --softmax-l2 inf", "softmax_l2[0] finite inf"),
    "l2 not a number": command("--smoke --softmax-l2 nan", "softmax_l2[0] finite nan"),
    "l2 twice": command("--smoke --hinge-l2 0.1 1e-1", "hinge_l2 must be distinct"),
    "grid empty": command("--smoke --hinge-l2", "hinge_l2 must not be empty, got ()"),
    "learning rate 0": command(
        "--smoke --hinge-learning-rates 0", "hinge_learning_rates[0] must above 0 got 0"
    ),
    "learning rate negative": command(
        "--smoke --softmax-learning-rates -1", "softmax_learning_rates[0] above 0 -1"
    ),
    "learning rate not finite": command(
        "--smoke --softmax-learning-rates 1 nan", "softmax_learning_rates[1] finite nan"
    ),
    "learning rates empty": command(
        "--smoke --softmax-learning-rates", "softmax_learning_rates not be empty"
    ),
    "batch size 0": command("--smoke --batch-size 0", "batch_size at least 1, got 0"),
    "batch size above n": command(
        "--smoke --batch-size 1168",
        "batch_size must be at most 1167, got 1168 --batch-size 1167 or less",
    ),
    "batch size not whole": command("--smoke --batch-size 1.5", "batch-size int 1.5"),
    "seeds 0": command("--smoke --seeds 0", "seeds must be at least 1, got 0"),
    "seed negative": command("--smoke --seed -1", "seed must be at least 0, got -1"),
    "seed too large": command("--smoke --seed 4294967296", "seed at most 4294967295"),
    "epochs 0": command("--smoke --epochs 0", "epochs must be at least 1, got 0"),
    "epochs in words": command("--smoke --epochs ten", "epochs int ten"),
    "evaluate every 0": command("--smoke --evaluate-every 0", "evaluate_every least 1"),
    "fraction 0": command(
        "--smoke --validation-fraction 0", "validation_fraction must be above 0, got 0"
    ),
    "fraction 1": command(
        "--smoke --validation-fraction 1", "validation_fraction must be below 1, got 1"
    ),
    "fraction not a number": command(
        "--smoke --validation-fraction nan", "validation_fraction must be finite nan"
    ),
    "fraction of nobody": command(
        "--smoke --validation-fraction 1e-4",
        "fraction leave both parts 0.0001 1297 held-out",
    ),
    "fraction of all": command(
        "--smoke --validation-fraction 0.9999",
        "fraction leave both parts 0.9999 training",
    ),
    "flag unknown": command("--smoke --loss hinge", "--loss"),
    # Files and folders on the command line
    "smoke and config": command(
        "--smoke --config run/config.json", "--smoke --config both got both", some_run
    ),
    "config missing": command("--config gone.json", "gone.json must exist"),
    "config not JSON": command(
        "--config c.json", "c.json must hold valid JSON", lambda: write("c.json", b"{")
    ),
    "config with an unknown field": command(
        "--config c.json",
        "c.json does not fit no field 'momentum' must be one of dataset",
        lambda: write("c.json", b'{"momentum": 0.9}'),
    ),
    "config of wrong type": command(
        "--config c.json",
        "c.json does not fit epochs must be of type int, got '4'",
        lambda: write("c.json", b'{"epochs": "4"}'),
    ),
    "config not finite": command(
        "--config c.json",
        "softmax_l2[0] must be finite, got nan",
        lambda: write("c.json", b'{"dataset": "digits", "softmax_l2": [NaN]}'),
    ),
    "config a list": command(
        "--config c.json",
        "c.json config must be an object got [1]",
        lambda: write("c.json", b"[1]"),
    ),
    "out a file": command(
        "--smoke --out f", "out must be a folder, got f --out", lambda: write("f", b"x")
    ),
    "out below a file": command(
        "--smoke --out f/run",
        "out folder f/run where f a file",
        lambda: write("f", b""),
    ),
    "out another run": command(
        "--smoke --out run", "out must be new or empty, got run --resume run", some_run
    ),
    "out holds files": command(
        "--smoke --out d",
        "out must be new or empty, got d choose another",
        lambda: (Path("d").mkdir(), write("d/thesis.tex", b"precious")),
    ),
    "out on a full disk": no_space._replace(act=full_disk(no_space.act)),
    "resume nowhere": command("--resume gone", "run folder config.json gone no such"),
    "resume no run": command(
        "--resume d",
        "a run folder must hold config.json, got d",
        lambda: Path("d").mkdir(),
    ),
    "resume with out": command(
        "--resume run --out other", "--out must not --resume other run", some_run
    ),
    "resume another config": command(
        "--resume run --seeds 3",
        "--resume must keep seeds is 2 in the run and 3 now",
        some_run,
    ),
    "resume another data set": command(
        "--resume run --dataset bad.npz",
        'dataset is "digits" in the run and "bad.npz" now',
        lambda: (some_run(), good_data("bad.npz")),
    ),
    "resume other data": command(
        "--resume run",
        "--resume must keep the data of run train data.json",
        run_of_other_data,
    ),
    "resume a damaged config": command(
        "--resume run", "run/config.json valid JSON", run_with("config.json", b'{"see')
    ),
    "resume a damaged checkpoint": command(
        "--resume run", "run/checkpoint-a.npz is damaged weights", flipped_checkpoint
    ),
    "resume a checkpoint that is none": command(
        "--resume run",
        "run/checkpoint-a.npz is not a jaxlin checkpoint",
        run_with("checkpoint-a.npz", b"PK"),
    ),
    "resume a foreign checkpoint": command(
        "--resume run", "run/checkpoint-a.npz must be of training", foreign_checkpoint
    ),
    # Data sets
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
    "labels too few": arrays("y_train 39 labels for 40 examples", y_train=Y[:-1]),
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
    # Classifiers and checkpoints
    "predict sparse": call(
        predict(scipy.sparse.eye_array(4)), "features dense sparse .toarray()", model
    ),
    "predict ragged": call(predict([[1.0], [1.0, 2.0]]), "features rectangular", model),
    "predict another width": call(
        predict(X[:, :3]), "features must have 4 features, got 3", model
    ),
    "predict a NaN": call(predict(X * np.nan), "features finite nan row 0", model),
    "predict nothing": call(predict(X[:0]), "features must not be empty", model),
    "classifier missing": call(predict(X), "model.npz"),
    "classifier of another kind": call(
        lambda: classifier.predict("tree.npz", X), "tree.npz classifier.save", tree
    ),
    "checkpoint of other leaves": call(
        load_tree({"v": np.ones(3, np.float32)}), "tree.npz has no leaf ['v']", tree
    ),
    "checkpoint of another shape": call(
        load_tree({"w": np.ones(4, np.float32)}), "tree.npz ['w'] shape (3,) (4,)", tree
    ),
    "checkpoint cut short": call(load_tree({"w": X}), "tree.npz is damaged", cut_tree),
    "checkpoint on a full disk": call(
        full_disk(save_tree), "cannot write tree.npz No space left intact", tree
    ),
    # Functions that users call
    "weights negative": call(
        lambda: check.example_weights("weights", -np.ones(3), num_examples=3),
        "weights must be finite and at least 0, got minimum -1.0",
    ),
    "weights a word": call(
        lambda: check.example_weights("weights", "balanced", num_examples=3),
        "weights must be numbers, got 'balanced'",
    ),
    "normalization a word": call(
        lambda: normalization.check_normalization("standard", num_features=4),
        "normalization must be Normalization or None, got 'standard' fit_standard",
    ),
    "labels of another width": call(
        lambda: label_proofs.same_labels(
            linear.Params(X[:2], X[:2, 0]), X[:, :3], radius=0.1
        ),
        "features must have shape (rows, 4) got (40, 3)",
    ),
    "PyTorch not installed": call(
        without_torch, "peer must be False PyTorch not installed --no-peer"
    ),
    "loss unknown": call(
        lambda: check.choice("loss", "hinge", ("softmax_cross_entropy",)),
        "loss must be one of softmax_cross_entropy, got 'hinge'",
    ),
    "a single class to score": call(
        lambda: linear.init(None, num_classes=1, num_features=4), "num_classes least 2"
    ),
    "solver batch size 0": call(
        lambda: minibatch.solver(
            loss=losses.softmax_cross_entropy, make_optimizer=None, batch_size=0
        ),
        "batch_size must be at least 1, got 0",
    ),
    "solver without an optimiser's maker": call(
        lambda: minibatch.solver(
            loss=losses.softmax_cross_entropy,
            make_optimizer=optax.sgd(0.1),
            batch_size=1,
        ),
        "make_optimizer function of the learning rate optax.sgd",
    ),
    "solver without a learning rate": call(
        lambda: minibatch.solver(
            loss=losses.softmax_cross_entropy, make_optimizer=optax.sgd, batch_size=1
        ).init(None, None, base.Settings(l2=0.1)),
        "settings.learning_rate must be a number, got None",
    ),
    "solver beyond its end": call(
        lambda: base.run(None, None, None, None, None, num_steps=3, first_step=4),
        "first_step must be at most 3, got 4",
    ),
    "split of one": call(
        lambda: splits.random_split(None, 1, fraction=0.5), "num_examples at least 2"
    ),
    "split by float labels": call(
        lambda: splits.stratified_split(None, [0.5, 1.0], fraction=0.5),
        "labels must be integers",
    ),
    "scale 0": call(
        lambda: normalization.fit_centered(X, scale=0), "scale must be above 0, got 0"
    ),
    "comparison of other examples": call(
        lambda: comparison.mcnemar([True], [True, False]), "same examples 1 and 2"
    ),
}


def test_table_is_long_enough():
    assert len(ROWS) >= 40


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """Names of programs compiled from here on, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    # What an earlier test compiled would not be compiled again, nor seen.
    jax.clear_caches()
    names = run_helpers.compiled_programs()
    del names[:]
    return names


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bad_input(row, compiled, tmp_path):
    row.given()
    before = run_helpers.contents(tmp_path)
    del compiled[:]
    message = row.act()
    assert re.search(run_helpers.in_order(row.words), message), message
    assert compiled == []
    assert run_helpers.contents(tmp_path) == before


def test_a_good_command_line_would_have_compiled(compiled, monkeypatch):
    """The table's test can fail: the first thing after the checks compiles."""

    class Reached(Exception):
        pass

    def stop(*_):
        raise Reached

    monkeypatch.setattr("experiments.svm_vs_softmax.protocol.first_losses", stop)
    with pytest.raises(Reached):
        run_helpers.main("--smoke", "--out", "run")
    assert compiled
    config = json.loads(Path("run/config.json").read_text())
    assert config == to_dict(SMOKE)
