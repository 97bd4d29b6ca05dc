"""Bad input is refused by name, before anything is compiled, and nothing is lost.

A row of the table says what the user does, key words of the message in their order, and
what is lying about before. Every row is held to the same promises: one plain message,
no program compiled, no file made, changed or left half-made.
"""

import json
import re
import shlex
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optax
import pytest
import run_helpers

from experiments.common import run_folder
from experiments.common.files import json_ready
from experiments.train_sgd.config import SMOKE
from jaxlin import check, data, linear, losses, normalization
from jaxlin.certificates import label_certificates
from jaxlin.solvers import interface, minibatch

X = np.random.default_rng(0).normal(size=(40, 4))
Y = np.arange(40) % 3
PARAMS = linear.Params(X[:2], X[:2, 0])


class Row(NamedTuple):
    """Words of the message, the act that returns it, and a maker of files."""

    words: str
    act: Callable[[], str]
    given: Callable[[], Any] = lambda: None


def command(flags, words, given=lambda: None, *, name="train_sgd"):
    """A row that goes through the command line of an experiment."""

    def act():
        code, errors = run_helpers.main(*shlex.split(flags), name=name)
        assert code == 2, errors
        assert "Traceback" not in errors
        # Errors about flags come in a box.
        return " ".join(re.sub(r"[│╭╮╰╯─]", " ", errors).split())

    return Row(words, act, given)


def call(function, words):
    """A row that goes through a function of the library."""

    def act():
        with pytest.raises(ValueError, match="must") as caught:
            function()
        return str(caught.value)

    return Row(words, act)


def write(name, content):
    return lambda: Path(name).write_bytes(content)


def some_run():
    """A run folder that was started."""
    folder = run_folder.create(Path("run"), config=json_ready(SMOKE))
    folder.write_json("data.json", data.summary(data.load("digits")))
    return folder


def run_with_config(content):
    """A run whose config.json was replaced."""
    return lambda: (some_run().path / "config.json").write_bytes(content)


def run_of_other(split):
    """A run of which a split of the data is another now."""

    def made():
        folder = some_run()
        facts = folder.read_json("data.json")
        facts[split]["features"]["sha256"] = "0" * 64
        folder.write_json("data.json", facts)

    return made


def run_of_viewpoints(*, knows_its_command):
    """A run of another experiment."""

    def made():
        folder = run_folder.create(Path("theirs"), config={"boxed_images": 10})
        started = "python -m experiments.viewpoints --smoke --out theirs"
        if knows_its_command:
            folder.write_json("environment.json", {"command": started})

    return made


def folder_with_a_thesis():
    Path("d").mkdir()
    Path("d/thesis.tex").write_text("precious")


def bad_label(label):
    """A data file in which one label was changed."""

    def made():
        labels = Y.copy()
        labels[5] = label
        run_helpers.write_data("bad.npz", X, labels, test=(X[:9], Y[:9]))

    return made


def truncated_data():
    run_helpers.write_data("bad.npz", np.tile(X, (4, 1)), np.tile(Y, 4), test=(X, Y))
    write("bad.npz", Path("bad.npz").read_bytes()[:-200])()


def sparse_data():
    Path("wide").mkdir()
    for split in ("train", "test"):
        write(f"wide/{split}.svm", b"1 1:1\n2 2:1\n")()


def with_patch(row, patched):
    """A row that is acted under a patch."""

    def act():
        with pytest.MonkeyPatch.context() as patch:
            patched(patch)
            return row.act()

    return row._replace(act=act)


def without_network(patch):
    def fail(*_, **__):
        raise urllib.error.URLError("no route to host")

    patch.setattr(urllib.request, "urlopen", fail)
    patch.delenv("TFDS_DATA_DIR", raising=False)


def a_solver(make_optimizer):
    return minibatch.solver(
        loss=losses.softmax_cross_entropy, make_optimizer=make_optimizer, batch_size=1
    )


ROWS = [
    # Numbers on the command line; `test_configs` has the bounds of every field
    command("--smoke --hinge-l2 0.1 -0.1", "hinge_l2[1] must be above 0, got -0.1"),
    command("--smoke --batch-size 1.5", "batch-size int 1.5"),
    command(
        "--smoke --validation-fraction 1e-4",
        "fraction leave both parts 0.0001 1297 held-out",
    ),
    command(
        "--smoke --validation-fraction 0.9999",
        "fraction leave both parts 0.9999 training",
    ),
    command("--smoke --loss hinge", "--loss"),
    # Files and folders on the command line
    command("--smoke --config run/config.json", "--smoke --config both", some_run),
    command("--config gone.json", "gone.json must exist"),
    command("--config c.json", "c.json must hold valid JSON", write("c.json", b"{")),
    command(
        "--config c.json",
        "c.json does not fit no field 'momentum' must be one of dataset",
        write("c.json", b'{"momentum": 0.9}'),
    ),
    command(
        "--config c.json",
        "softmax_l2[0] must be finite, got nan",
        write("c.json", b'{"dataset": "digits", "softmax_l2": [NaN]}'),
    ),
    command("--smoke --out f", "out must be a folder, got f --out", write("f", b"x")),
    command("--smoke --out f/run", "out folder f/run f a file", write("f", b"")),
    command(
        "--smoke --out run", "out must be new or empty got run --resume run", some_run
    ),
    command(
        "--smoke --out d",
        "out must be new or empty, got d choose another",
        folder_with_a_thesis,
    ),
    with_patch(
        command("--smoke --out run", "out must written run No space left --out"),
        run_helpers.full_disk,
    ),
    command("--resume gone", "run folder config.json gone no such"),
    command("--resume d", "must hold config.json, got d", folder_with_a_thesis),
    command("--resume run --out other", "--out must not --resume other run", some_run),
    command(
        "--resume run --seeds 3",
        "--resume must keep seeds is 2 in the run and 3 now",
        some_run,
    ),
    command("--resume run", "must keep the data train", run_of_other("train")),
    command("--resume run", "must keep the data the test", run_of_other("test")),
    command("--resume run", "run/config.json valid JSON", run_with_config(b'{"see')),
    command("--resume run", "config.json valid JSON", run_with_config(b"\xff\xfe")),
    command("--resume run", "config.json JSON object list", run_with_config(b"[1]")),
    command(
        "--resume theirs",
        "theirs/config.json does not fit this experiment: no field 'boxed_images' "
        "made by: python -m experiments.viewpoints --smoke --out theirs",
        run_of_viewpoints(knows_its_command=True),
        name="hard_cases",
    ),
    command(
        "--resume theirs",
        "config.json does not fit config has no field 'boxed_images'",
        run_of_viewpoints(knows_its_command=False),
        name="hard_cases",
    ),
    # Data; `tests/data` has every other fault of a file
    command("--dataset cifr10 --data-dir .", "cifar10, digits .npz got 'cifr10'"),
    with_patch(
        command(
            "--smoke --dataset cifar10 --data-dir .",
            "no route to host --dataset digits TFDS_DATA_DIR download",
        ),
        without_network,
    ),
    command("--dataset gone.npz", "gone.npz cannot be opened No such"),
    command("--dataset bad.npz", "bad.npz cut short", truncated_data),
    command(
        "--dataset one.csv",
        "test examples none 'one.csv' folder train test",
        write("one.csv", b"a,label\n1,x\n2,y\n"),
    ),
    command("--dataset wide", "dense rows sparse 'wide' .toarray()", sparse_data),
    command(
        "--smoke --dataset bad.npz",
        "y_train must lie in [0, 2], got -1 at position 5",
        bad_label(-1),
    ),
    command(
        "--smoke --dataset bad.npz --batch-size 8",
        "labels at least 2 examples 1 of class 7",
        bad_label(7),
    ),
    command(
        "--smoke --dataset bad.npz",
        "batch_size must be at most 36, got 128",
        bad_label(Y[5]),
    ),
    # The lecture
    command("--smoke --chapters jokes", "'jokes' --chapters one of", name="lecture"),
    command("--smoke --chapters", "chapters must not be empty, got ()", name="lecture"),
    command("--smoke --dataset cifar10", "digits smoke got cifar10", name="lecture"),
    # Functions of the library
    call(
        lambda: check.example_weights("weights", "balanced", num_examples=3),
        "weights must be numbers, got 'balanced'",
    ),
    call(
        lambda: normalization.check_normalization("standard", num_features=4),
        "normalization must be Normalization or None, got 'standard' fit_standard",
    ),
    call(
        lambda: label_certificates.same_labels(PARAMS, X[:, :3], radius=0.1),
        "features must have shape (rows, 4) got (40, 3)",
    ),
    call(
        lambda: a_solver(optax.sgd(0.1)),
        "make_optimizer must function of the learning rate optax.sgd",
    ),
    call(
        lambda: a_solver(optax.sgd).init(None, None, interface.Settings(l2=0.1)),
        "settings.learning_rate must be a number, got None",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.words)
def test_bad_input(row, compiled, tmp_path):
    row.given()
    before = run_helpers.contents(tmp_path)
    del compiled[:]
    message = row.act()
    assert re.search(run_helpers.in_order(row.words), message), message
    assert compiled == [], f"compiled {compiled}"
    assert run_helpers.contents(tmp_path) == before


def test_a_good_command_line_would_have_compiled(compiled, monkeypatch):
    """The table's test can fail: the first thing after the checks compiles."""

    class Reached(Exception):
        pass

    def stop(*_):
        raise Reached

    monkeypatch.setattr("experiments.train_sgd.measure._first_loss", stop)
    with pytest.raises(Reached):
        run_helpers.main("--smoke", "--out", "run")
    assert compiled
    config = json.loads(Path("run/config.json").read_text())
    assert config == json_ready(SMOKE)
