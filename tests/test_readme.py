"""Examples of the README, run as they stand there, one page a test."""

import pathlib
import re

import numpy as np
import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"
NAMES = (
    *("certify", "more", "validate", "kept", "probe", "near", "own", "geometry"),
    *("lines", "richer", "spread", "train", "judge", "grid"),
)


@pytest.fixture
def page(capsys, tmp_path, monkeypatch):
    """Runs examples in their order and returns the variables and what each printed.

    Of an example that is left out the imports are made all the same.
    """
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    codes = dict(zip(NAMES, blocks, strict=True))

    def run(*chosen):
        variables, printed = {}, []
        for name in NAMES[: NAMES.index(chosen[-1]) + 1]:
            if name in chosen:
                exec(codes[name], variables)
                printed.append(capsys.readouterr().out.splitlines())
            else:
                imports = re.findall(r"^(?:import|from) .*$", codes[name], re.MULTILINE)
                exec("\n".join(imports), variables)
        return variables, printed

    return run


def test_a_fit_and_its_proof_neighbours_and_geometry(page):
    variables, printed = page("certify", "near", "own", "geometry", "lines")
    (_, gap, share), near, own, geometry, lines = printed
    assert gap.startswith("True ")
    assert float(share) > 0.9
    assert all(float(line) > 0.96 for line in near)
    left_out, local = own
    left_out = np.fromstring(left_out.strip("[]"), sep=" ")
    assert left_out.shape == (5,)
    assert (left_out > 0.97).all()
    assert float(local) > 0.96
    scores = variables["linear"].scores(variables["raw"], variables["image"])
    added = variables["geometry"].contributions(variables["raw"], variables["image"])
    np.testing.assert_allclose(
        added.sum(axis=1) + variables["raw"].bias, scores, atol=1e-4
    )
    assert 0 < float(variables["nearest"].radius) < 16
    first, *others = np.fromstring(geometry[-1].strip("[]"), sep=" ")
    assert first == np.mean(
        np.asarray(variables["predicted"]) == variables["digits"].test.labels
    )
    assert 0 < others[1] < others[0] < first
    proven, best = lines
    assert proven == "CommonPoint True"
    assert 30 < int(best.split()[0]) < 60


def test_a_probe(page):
    _, (_, (chosen, _)) = page("certify", "probe")
    assert float(chosen.split()[1]) > 0.9


@pytest.mark.full
def test_more_fits_sweeps_and_meshes(page, tmp_path):
    _, printed = page("certify", "more", "validate", "kept", "richer", "spread")
    _, more, validate, kept, richer, spread = printed
    *path, last = more
    assert [line.split()[:2] for line in path] == [
        [l2, "True"] for l2 in ("0.1", "0.01", "0.001")
    ]
    assert last == "True True"
    *rows, chosen = validate
    assert len(rows) == 6
    assert all(float(row.split()[3]) <= 1e-3 for row in rows)
    assert float(chosen.split()[0]) in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
    assert kept[-1].split()[-1] == "True"
    assert (tmp_path / "sweep.npz").exists()
    shape, proven = richer
    assert shape == "(1297, 128)"
    assert proven.startswith("True ")
    proven, accuracies = spread
    assert proven == "True"
    assert (np.fromstring(accuracies.strip("[]"), sep=" ") > 0.85).all()


def test_training_and_a_saved_classifier(page):
    variables, (trained, (accuracy,)) = page("train", "judge")
    assert len(trained) == 30
    assert trained[-1].startswith("30 [")
    # The loss of every model fell from C - 1 to little.
    assert (variables["info"].loss < 1).all()
    assert float(accuracy) > 0.9
    assert (variables["labels"] == variables["scores"].argmax(axis=1)).all()


@pytest.mark.full
def test_a_grid_of_training(page):
    variables, (_, (shape, *_, last)) = page("train", "grid")
    assert shape == "(2, 3, 2, 4)"
    assert last.endswith("False")
    assert variables["accuracy"].min() > 0.8


def test_exactly_two_set_up_commands():
    commands = [
        line
        for line in README.read_text().splitlines()
        if line.startswith("pip install -e")
    ]
    assert commands[:2] == [
        'pip install -e ".[experiments]" '
        "&& python -m experiments.svm_vs_softmax --dataset digits",
        'pip install -e ".[test]" && python -m pytest',
    ]
