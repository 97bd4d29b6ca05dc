"""Examples of the README, run as they stand there, one page a test."""

import ast
import inspect
import pathlib
import re
import types

import numpy as np
import pytest

README = pathlib.Path(__file__).parents[1] / "README.md"
NAMES = (
    *("hello", "digits", "proof", "more", "validate", "kept", "probe", "near", "own"),
    *("geometry", "lines", "richer", "spread", "train", "judge", "grid"),
)


def examples():
    """The code of each, by its name."""
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    return dict(zip(NAMES, blocks, strict=True))


def imports_of(code):
    return "\n".join(re.findall(r"^(?:import|from) .*$", code, re.MULTILINE))


def test_names_and_arguments_are_those_of_the_library():
    """Of every example, of those too that are run with ``--full`` only."""
    variables, calls = {}, 0
    for code in examples().values():
        exec(imports_of(code), variables)
        tree = [*ast.walk(ast.parse(code))]
        # jaxlin's own, by the node that names it: `neighbors.vote`.
        named = {
            node: getattr(variables[node.value.id], node.attr)
            for node in tree
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and isinstance(variables.get(node.value.id), types.ModuleType)
            and variables[node.value.id].__name__.split(".")[0] == "jaxlin"
        }
        for node in tree:
            if isinstance(node, ast.Call) and node.func in named:
                signature = inspect.signature(named[node.func])
                names = [keyword.arg for keyword in node.keywords]
                bind = signature.bind_partial if None in names else signature.bind
                # Starred is a pair of features and labels.
                given = [2 if isinstance(arg, ast.Starred) else 1 for arg in node.args]
                bind(*range(sum(given)), **{name: 0 for name in names if name})
                calls += 1
    assert calls > 40, calls


@pytest.fixture
def page(capsys, tmp_path, monkeypatch):
    """Runs examples in their order and returns the variables and what each printed.

    Of an example that is left out the imports are made all the same.
    """
    monkeypatch.chdir(tmp_path)
    codes = examples()

    def run(*chosen):
        variables, printed = {}, []
        for name in NAMES[: NAMES.index(chosen[-1]) + 1]:
            if name in chosen:
                exec(codes[name], variables)
                printed.append(capsys.readouterr().out.splitlines())
            else:
                exec(imports_of(codes[name]), variables)
        return variables, printed

    return run


def first_features():
    """Of the three rows that the first example predicts."""
    return np.random.default_rng(0).normal(size=(200, 3))[:3, 0]


def test_a_fit_and_its_proof_neighbours_and_geometry(page):
    chosen = ("hello", "digits", "proof", "near", "geometry", "lines")
    variables, printed = page(*chosen)
    hello, (said, judged, labels), (_, gap, radius, share), *printed = printed
    near, geometry, lines = printed
    assert re.fullmatch(
        r"weston_watkins_hinge, l2 0.01: .* proven in \d+ passes", hello[0]
    )
    assert hello[1] == str(np.where(first_features() > 0, "cat", "dog"))
    assert said.startswith("weston_watkins_hinge, l2 0.01: objective ")
    assert " proven in " in said
    assert judged.startswith("accuracy 9")
    assert " of 500 examples, exact optimum [" in judged
    digits = variables["digits"].test
    kept = np.fromstring(labels.strip("[]"), int, sep=" ")
    np.testing.assert_array_equal(
        kept, variables["jaxlin"].predict(variables["fit"], digits.features[:5])
    )
    assert (kept == digits.labels[:5]).mean() > 0.7
    assert gap.startswith("True ")
    assert float(radius) > 0
    assert float(share) > 0.9
    assert all(float(line) > 0.96 for line in near)
    image = variables["images"][0]
    scores = variables["linear"].scores(variables["raw"], image)
    added = variables["hyperplanes"].contributions(variables["raw"], image)
    np.testing.assert_allclose(
        added.sum(axis=1) + variables["raw"].bias, scores, atol=1e-4
    )
    assert (variables["radii"] > 0).all()
    assert (variables["radii"] < 16).all()
    assert (variables["rivals"] != variables["predicted"]).all()
    first, *others = np.fromstring(geometry[-1].strip("[]"), sep=" ")
    assert first == np.mean(
        np.asarray(variables["predicted"]) == variables["digits"].test.labels
    )
    assert 0 < others[1] < others[0] < first
    proven, best = lines
    assert proven == "CommonPoint True"
    assert 30 < int(best.split()[0]) < 60


@pytest.mark.full
def test_a_metric_of_ones_own_and_local_fits(page):
    _, (_, _, (left_out, local)) = page("digits", "near", "own")
    left_out = np.fromstring(left_out.strip("[]"), sep=" ")
    assert left_out.shape == (5,)
    assert (left_out > 0.97).all()
    assert float(local) > 0.96


@pytest.mark.full
def test_a_probe(page):
    _, (_, (chosen, _)) = page("digits", "probe")
    assert float(chosen.split()[1]) > 0.9


@pytest.mark.full
def test_more_fits_sweeps_and_meshes(page, tmp_path):
    _, printed = page("digits", "more", "validate", "kept", "richer", "spread")
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


def test_training_and_a_fit_of_it_in_a_file(page):
    variables, (trained, (accuracy,)) = page("train", "judge")
    assert len(trained) == 30
    assert trained[-1].startswith("30 [")
    # The loss of every model fell from C - 1 to little.
    assert (variables["info"].loss < 1).all()
    # Parameters of SGD, certified: no optimum, and said so.
    assert variables["trained"].relative_gap > 1e-3
    assert not variables["trained"].converged
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
