"""What the README shows works as it stands there."""

import pathlib
import re

import numpy as np

README = pathlib.Path(__file__).parents[1] / "README.md"


def test_the_library_examples_run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    certify, more, validate, kept, probe, near, own, geometry, lines, *blocks = blocks
    richer, spread, train, judge, grid = blocks
    exec(certify, names := {})
    _, gap, share = capsys.readouterr().out.splitlines()
    assert gap.startswith("True ")
    assert float(share) > 0.9
    exec(more, names)
    *path, last = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in path] == [
        [l2, "True"] for l2 in ("0.1", "0.01", "0.001")
    ]
    assert last == "True True"
    exec(validate, names)
    *rows, chosen = capsys.readouterr().out.splitlines()
    assert len(rows) == 6
    assert all(float(row.split()[3]) <= 1e-3 for row in rows)
    assert float(chosen.split()[0]) in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
    exec(kept, names)
    *_, proven = capsys.readouterr().out.split()
    assert proven == "True"
    assert (tmp_path / "sweep.npz").exists()
    exec(probe, names)
    chosen, _ = capsys.readouterr().out.splitlines()
    assert float(chosen.split()[1]) > 0.9
    exec(near, names)
    assert all(float(line) > 0.96 for line in capsys.readouterr().out.splitlines())
    exec(own, names)
    left_out, local = capsys.readouterr().out.splitlines()
    left_out = np.fromstring(left_out.strip("[]"), sep=" ")
    assert left_out.shape == (5,)
    assert (left_out > 0.97).all()
    assert float(local) > 0.96
    exec(geometry, names)
    scores = names["linear"].scores(names["raw"], names["image"])
    added = names["geometry"].contributions(names["raw"], names["image"]).sum(axis=1)
    np.testing.assert_allclose(added + names["raw"].bias, scores, atol=1e-4)
    assert 0 < float(names["nearest"].radius) < 16
    shares = capsys.readouterr().out.splitlines()[-1]
    first, *others = np.fromstring(shares.strip("[]"), sep=" ")
    assert first == np.mean(
        np.asarray(names["predicted"]) == names["digits"].test.labels
    )
    assert 0 < others[1] < others[0] < first
    exec(lines, names)
    proven, best = capsys.readouterr().out.splitlines()
    assert proven == "CommonPoint True"
    assert 30 < int(best.split()[0]) < 60
    exec(richer, names)
    shape, proven = capsys.readouterr().out.splitlines()
    assert shape == "(1297, 128)"
    assert proven.startswith("True ")
    exec(spread, names)
    proven, accuracies = capsys.readouterr().out.splitlines()
    assert proven == "True"
    assert (np.fromstring(accuracies.strip("[]"), sep=" ") > 0.85).all()

    names = {}
    exec(train, names)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 30
    assert printed[-1].startswith("30 [")
    # The loss of every model fell from C - 1 to little.
    assert (names["info"].loss < 1).all()
    exec(judge, names)
    assert float(capsys.readouterr().out) > 0.9
    assert (names["labels"] == names["scores"].argmax(axis=1)).all()
    exec(grid, names)
    shape, *_, last = capsys.readouterr().out.splitlines()
    assert shape == "(2, 3, 2, 4)"
    assert last.endswith("False")
    assert names["accuracy"].min() > 0.8


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
