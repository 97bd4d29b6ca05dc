"""Each line of the guide's table of files and data sets, executed."""

import bz2
import pathlib
import re
import shutil

import image_copies
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import tensorflow_datasets as tfds
from sklearn.datasets import dump_svmlight_file

from jaxlin import data
from jaxlin.data import official_sets

PAGE = (pathlib.Path(__file__).parents[2] / "docs/guides/data.md").read_text()
SECTION = PAGE.split("## Files and data sets\n")[1].split("\n## ")[0]
LINES = re.findall(r"^\| .* \| `(.*)` \|$", SECTION, re.MULTILINE)
ROWS = np.random.default_rng(0).normal(size=(6, 2))
LABELS = np.array(["x", "y"] * 3)


def write_images(folder):
    """Published sets, small, in the folders of the table."""
    images, gray = image_copies.small(), image_copies.small((28, 28, 1))
    for home in ("tensorflow_datasets", "data"):
        image_copies.cifar_python(folder / home, images)
    image_copies.idx_files(folder / "somewhere" / "MNIST" / "raw", gray)
    image_copies.idx_files(folder / "emnist-letters", gray)
    binary = image_copies.cifar_binary(folder, images)
    image_copies.archive(binary, folder / "my-batches.tar.gz")
    image_copies.hub_parquet(folder / "hub" / "plain_text", images)


def write_tables(folder):
    """Files of the user's own."""
    arrays = {"x_train": ROWS, "y_train": LABELS, "x_test": ROWS, "y_test": LABELS}
    np.savez(folder / "features.npz", **arrays)
    embeddings = {
        f"{part}_{split}": ROWS
        for part in ("image", "question")
        for split in ("train", "test")
    }
    np.savez(folder / "vqa.npz", **embeddings, y_train=LABELS, y_test=LABELS)
    (folder / "features").mkdir()
    for name, array in arrays.items():
        np.save(folder / "features" / f"{name}.npy", array)
    text = "a,label\n1,x\n2,y\n"
    (folder / "flowers.csv").write_text(text.replace("label", "species"))
    (folder / "animals").mkdir()
    for name in ("animals.csv", "animals-test.csv", "animals/train.csv"):
        (folder / name).write_text(text)
    table = pyarrow.table({"vector": ROWS.tolist(), "kind": LABELS})
    pyarrow.parquet.write_table(table, folder / "embeddings.parquet")
    for name in ("a9a", "a9a.t"):
        dump_svmlight_file(ROWS, np.arange(6) % 2, str(folder / name))
    (folder / "a9a.svm.bz2").write_bytes(bz2.compress((folder / "a9a").read_bytes()))


@pytest.fixture
def machine(tmp_path, monkeypatch, prepare_set):
    """A home folder with all that the table speaks of."""
    monkeypatch.chdir(tmp_path)
    for name in ("TFDS_DATA_DIR", "JAXLIN_CACHE", "HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", str(tmp_path / "somewhere"))
    for known in (official_sets.CIFAR10, official_sets.MNIST):
        small = known._replace(
            identity=official_sets.images_per_class, expected=((5,), (2,))
        )
        monkeypatch.setitem(official_sets.SETS, known.name, small)
    write_images(tmp_path)
    write_tables(tmp_path)
    features = {
        "image": tfds.features.Image(shape=(32, 32, 3)),
        "label": tfds.features.ClassLabel(num_classes=10),
    }
    images = image_copies.small()
    splits = {
        split: image_copies.tfds_rows(images, split, with_ids=False)
        for split in ("train", "test")
    }
    made = prepare_set(tmp_path / "made", features, splits)
    shutil.copytree(made, tmp_path / "tensorflow_datasets/emnist/balanced/3.0.0")


@pytest.mark.usefixtures("machine")
def test_every_line_gives_a_data_set():
    assert len(LINES) == SECTION.count("\n| ") - 1 > 15
    for line in LINES:
        found = eval(line, {"data": data})
        dataset = found[0] if line.startswith("data.embeddings") else found
        assert isinstance(dataset, data.Dataset), line
        assert dataset.train.features.shape[0] == len(dataset.train.labels) > 1, line
        assert dataset.num_classes in (2, 10), line
        has_test = "flowers" not in line and '"animals")' not in line
        has_test = has_test and "parquet" not in line and "reader" not in line
        assert bool(len(dataset.test.labels)) == has_test, line


def test_the_cells_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    variables = {}
    for code in re.findall(r"^```\{code-cell\}\n(.*?)^```$", PAGE, re.DOTALL | re.M):
        exec(code, variables)
    names, proven, classes = capsys.readouterr().out.splitlines()
    assert names == "('length', 'width') ('setosa', 'versicolor')"
    assert (proven, classes) == ("True", "('cat', 'dog')")
