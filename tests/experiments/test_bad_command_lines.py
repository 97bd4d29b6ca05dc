"""Bad flags, configs and run folders are refused by name, and nothing is lost."""

import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import run_helpers
from bad_input_rows import X, Y, assert_refused, command, full_disk, good_data, write

from experiments.common import run_folder
from experiments.common.files import json_ready
from experiments.train_sgd.config import SMOKE
from jaxlin import data


def some_run(config=SMOKE):
    """A run folder that was started."""
    folder = run_folder.create(Path("run"), config=json_ready(config))
    folder.write_json("data.json", data.summary(data.load("digits")))
    return folder


def run_with(name, content):
    """A run in which one file was replaced."""
    return lambda: write(some_run().path / name, content)


def run_of_other_data():
    folder = some_run()
    facts = folder.read_json("data.json")
    facts["train"]["features"]["sha256"] = "0" * 64
    folder.write_json("data.json", facts)


def theirs():
    """A run of another experiment."""
    Path("theirs").mkdir()
    write("theirs/config.json", b'{"boxed_images": 10}')
    started = {"command": "python -m experiments.viewpoints --smoke --out theirs"}
    Path("theirs/environment.json").write_text(json.dumps(started))


def bad_label(label):
    """A data file in which one label was changed."""

    def made():
        labels = Y.copy()
        labels[5] = label
        run_helpers.write_data("bad.npz", X, labels, test=(X[:9], Y[:9]))

    return made


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


no_network = command(
    "--smoke --dataset cifar10 --data-dir .",
    "no route to host --dataset digits TFDS_DATA_DIR download",
)
no_space = command("--smoke --out run", "out must written run No space left --out")

ROWS = {
    # Numbers on the command line
    "l2 negative": command(
        "--smoke --hinge-l2 0.1 -0.1", "hinge_l2[1] must be above 0, got -0.1"
    ),
    "l2 infinite": command("--smoke --softmax-l2 inf", "softmax_l2[0] finite inf"),
    "l2 not a number": command("--smoke --softmax-l2 nan", "softmax_l2[0] finite nan"),
    "l2 twice": command("--smoke --hinge-l2 0.1 1e-1", "hinge_l2 must be distinct"),
    "grid empty": command("--smoke --hinge-l2", "hinge_l2 must not be empty, got ()"),
    "batch size above n": command(
        "--smoke --batch-size 1168",
        "batch_size must be at most 1167, got 1168 --batch-size 1167 or less",
    ),
    "batch size not whole": command("--smoke --batch-size 1.5", "batch-size int 1.5"),
    "epochs in words": command("--smoke --epochs ten", "epochs int ten"),
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
    "resume an empty config": command(
        "--resume run", "run/config.json valid JSON", run_with("config.json", b"")
    ),
    "resume a binary config": command(
        "--resume run", "config.json valid JSON", run_with("config.json", b"\xff\xfe")
    ),
    "resume a config of a list": command(
        "--resume run", "config.json JSON object list", run_with("config.json", b"[1]")
    ),
    "resume a run of another": command(
        "--resume theirs",
        "theirs/config.json does not fit this experiment: no field made by: "
        "python -m experiments.viewpoints",
        theirs,
        name="hard_cases",
    ),
    "resume a run of nobody": command(
        "--resume theirs",
        "config.json does not fit config has no field 'boxed_images'",
        lambda: (theirs(), Path("theirs/environment.json").unlink()),
        name="hard_cases",
    ),
    # Data; `tests/data` has every other fault of a file
    "data set unknown": command(
        "--dataset cifr10 --data-dir .", "data set cifar10, digits .npz got 'cifr10'"
    ),
    "CIFAR-10 offline": no_network._replace(act=offline(no_network.act)),
    "data missing": command("--dataset gone.npz", "gone.npz cannot be opened No such"),
    "data truncated": command("--dataset bad.npz", "bad.npz cut short", truncated_data),
    "label negative": command(
        "--smoke --dataset bad.npz",
        "y_train must lie in [0, 2], got -1 at position 5",
        bad_label(-1),
    ),
    "class of one": command(
        "--smoke --dataset bad.npz --batch-size 8",
        "labels at least 2 examples 1 of class 7",
        bad_label(7),
    ),
    "batch size above a small n": command(
        "--smoke --dataset bad.npz",
        "batch_size must be at most 36, got 128",
        bad_label(Y[5]),
    ),
    # Flags of some experiments alone
    "case unknown": command(
        "--smoke --cases spiral", "'spiral' --cases one of", name="hard_cases"
    ),
    "no data set": command(
        "--smoke --dataset digits", "--dataset", name="loss_questions"
    ),
    "chapter unknown": command(
        "--smoke --chapters jokes", "'jokes' --chapters one of", name="lecture"
    ),
    "chapters empty": command(
        "--smoke --chapters", "chapters must not be empty, got ()", name="lecture"
    ),
    "lecture of other data": command(
        "--dataset mnist", "'mnist' --dataset one of", name="lecture"
    ),
    "smoke of other data": command(
        "--smoke --dataset cifar10",
        "dataset digits at size smoke got cifar10",
        name="lecture",
    ),
    "lecture resumed nowhere": command(
        "--resume gone", "run folder config.json gone no such", name="lecture"
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_bad_input(row, compiled, tmp_path):
    assert_refused(row, compiled, tmp_path)


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
