"""Code of the README and of the documentation, run as it stands there."""

import ast
import inspect
import pathlib
import re
import types

import matplotlib
import numpy as np
import pytest

from experiments.common import cli, measurements, pages, study
from jaxlin import chapters

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted(
    str(path.relative_to(ROOT))
    for path in (ROOT / "README.md", *ROOT.glob("docs/**/[a-z]*.md"))
    if "_build" not in path.parts
)
CELL = re.compile(r"^```(?:python|\{code-cell\})\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def readme():
    return (ROOT / "README.md").read_text()


def cells(page):
    """Blocks of Python on a page, in their order."""
    return CELL.findall((ROOT / page).read_text())


def imports_of(code):
    """Imports of the library; others may be of packages of the documentation alone."""
    found = re.findall(r"^(?:import|from) jaxlin\b.*$", code, re.MULTILINE)
    return "\n".join(found)


def calls_of_jaxlin(code, variables):
    """Each call of a function of the library, such as `neighbors.vote`."""
    for node in ast.walk(ast.parse(code)):
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if not is_call or not isinstance(node.func.value, ast.Name):
            continue
        module = variables.get(node.func.value.id)
        if isinstance(module, types.ModuleType) and module.__name__.startswith(
            "jaxlin"
        ):
            yield node, getattr(module, node.func.attr)


def test_names_and_arguments_are_those_of_the_library():
    """Checks every cell, also those that run with ``--full`` only."""
    calls = 0
    picture = (ROOT / "docs" / "templates.py").read_text()
    for codes in [*map(cells, PAGES), [picture]]:
        variables = {}
        for code in codes:
            exec(imports_of(code), variables)
            for node, function in calls_of_jaxlin(code, variables):
                signature = inspect.signature(function)
                names = [keyword.arg for keyword in node.keywords]
                bind = signature.bind_partial if None in names else signature.bind
                # Starred is a pair of features and labels.
                given = [1 + isinstance(value, ast.Starred) for value in node.args]
                bind(*range(sum(given)), **{name: 0 for name in names if name})
                calls += 1
    assert calls > 40, calls


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Runs the first cells of a page; returns variables and what each printed."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")

    def run_cells(page, *, first=None):
        variables, printed = {}, []
        for code in cells(page)[:first]:
            exec(code, variables)
            printed.append(capsys.readouterr().out.splitlines())
        return variables, printed

    return run_cells


def numbers(line):
    return np.fromstring(line.strip("[]"), sep=" ")


def test_hello_world(run):
    _, ((fit, predicted),) = run("README.md")
    assert re.fullmatch(r"weston_watkins_hinge, l2 0.01: .* proven in \d+ passes", fit)
    first = np.random.default_rng(0).normal(size=(200, 3))[:3, 0]
    assert predicted == str(np.where(first > 0, "cat", "dog"))
    shown, kept = re.search(r"```text\n(.*)\n(.*)\n```", readme()).groups()
    # The gap and the passes may change with the release of JAX.
    assert shown[:50] == fit[:50]
    assert kept == predicted


def test_quickstart(run):
    variables, ((said,), (judged, labels), proof) = run("docs/quickstart.md")
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
    _, gap, radius, share = proof
    assert gap.startswith("True ")
    assert float(radius) > 0
    assert float(share) > 0.9


def test_geometry(run):
    variables, (printed, _, lines) = run("docs/guides/geometry.md")
    image = variables["images"][0]
    scores = variables["linear"].scores(variables["raw"], image)
    added = variables["hyperplanes"].contributions(variables["raw"], image)
    np.testing.assert_allclose(
        added.sum(axis=1) + variables["raw"].bias, scores, atol=1e-4
    )
    assert (variables["radii"] > 0).all()
    assert (variables["radii"] < 16).all()
    assert (variables["rivals"] != variables["predicted"]).all()
    first, *others = numbers(printed[-1])
    assert first == np.mean(
        np.asarray(variables["predicted"]) == variables["digits"].test.labels
    )
    assert 0 < others[1] < others[0] < first
    assert [ax.get_title() for ax in variables["axes"]] == list("0123456789")
    proven, best = lines
    assert proven == "CommonPoint True"
    assert 30 < int(best.split()[0]) < 60


def test_neighbours(run):
    _, (near,) = run("docs/guides/neighbors.md", first=1)
    assert all(float(line) > 0.96 for line in near)


@pytest.mark.full
def test_a_metric_of_ones_own_and_local_fits(run):
    _, (_, (left_out, local)) = run("docs/guides/neighbors.md")
    assert numbers(left_out).shape == (5,)
    assert (numbers(left_out) > 0.97).all()
    assert float(local) > 0.96


@pytest.mark.full
def test_a_probe(run):
    variables, ((chosen, _), metrics, grouped, (compared, _), (few, _)) = run(
        "docs/guides/probes.md"
    )
    test = variables["answer"].test
    assert float(chosen.split()[0]) == variables["answer"].l2
    assert test.accuracy.value > 0.9
    assert len(metrics) == 8
    assert metrics[0].split()[1] == f"{test.accuracy.value:.4f}"
    assert len(grouped) == 2
    # Half an image is worse.
    assert compared.startswith("accuracy +")
    assert variables["difference"].accuracy.interval.low > 0
    assert few.endswith("% over 4 draws, 4 of them proven")


@pytest.mark.full
def test_fits_in_float64_in_blocks_and_in_pairs(run):
    variables, (_, (*path, last), (paired, _), (theirs,)) = run("docs/guides/fits.md")
    assert theirs.endswith(" proven in 1 pass")
    assert [line.split()[:2] for line in path] == [
        [l2, "True"] for l2 in ("0.1", "0.01", "0.001")
    ]
    assert last == "True True"
    only_svm, only_softmax, p_value = map(float, paired.split())
    svm, softmax = map(np.sum, variables["right"])
    assert only_softmax - only_svm == softmax - svm
    assert 0 < p_value <= 1
    lead = variables["lead"]
    assert lead.value == pytest.approx((softmax - svm) / 500)
    assert lead.interval.low <= lead.value <= lead.interval.high


@pytest.mark.full
def test_standard_errors(run):
    variables, ((head, *table), (*_, last), (note,), (proven, *drawn)) = run(
        "docs/guides/sensitivity.md", first=4
    )
    assert head.split()[0] == "estimate"
    assert [line.split()[0] for line in table[:2]] == ["bus", "feature"]
    # Rows depend on the first feature for the bus alone, on the second for the car.
    found = variables["found"].coefficients(reference="walk")
    assert (np.abs(found.z[[0, 1], [0, 1]]) > 5).all()
    assert (np.abs(found.z[[0, 1], [1, 0]]) < 2).all()
    assert last.split()[0] == "walk"
    assert note.startswith("biased by up to ")
    assert proven == "0 of 200 not proven"
    assert len(drawn) == len(table) + 1
    ratio = variables["drawn"].coefficients(reference="walk").standard_errors
    np.testing.assert_allclose(ratio / found.standard_errors, 1, atol=0.2)


@pytest.mark.full
def test_leave_one_out_and_influence(run):
    variables, _ = run("docs/guides/sensitivity.md")
    left_out, quick = variables["left_out"], variables["quick"]
    assert left_out.is_proven.all()
    assert np.abs(quick.losses - left_out.losses).max() < 1e-2
    assert quick.refits.same_labels.all()
    silent = variables["silent"]
    assert 0 < silent.mask.sum() < len(silent.mask)
    assert silent.same_labels[silent.mask].mean() > 0.9
    influences, (before, after) = variables["influences"], variables["loss"]
    helpful = variables["digits"].train.labels[influences.most_helpful(10)[0]]
    assert (helpful == 8).mean() > 0.5
    # First order is too small, of the right sign and size.
    true = after.log_loss.value - before.log_loss.value
    assert 0.5 < variables["changes"][0, 1] / true < 1


@pytest.mark.full
def test_scikit_learn(run):
    variables, ((fit, shape), proofs, searched, probed, folds) = run(
        "docs/guides/scikit_learn.md"
    )
    assert fit.startswith("softmax_cross_entropy, l2 0.0056")
    assert shape.startswith("(3, 13) ")
    assert shape.endswith(" True")
    assert float(proofs[0]) == 1
    assert searched[0].startswith("{'linearclassifier__C': ")
    assert (numbers(searched[1]) > -0.2).all()
    assert float(probed[0].split()[-1]) > 0.98
    assert variables["probe"].table_.accuracy.shape == (3, 3)
    assert folds[0].startswith("(178,) ")


@pytest.mark.full
def test_sweeps(run, tmp_path):
    _, (_, (*rows, chosen, best), paired, kept) = run("docs/guides/sweeps.md")
    assert len(rows) == 6
    assert " with softmax_cross_entropy, l2 " in best
    assert abs(float(paired[0].split()[0])) < 0.05
    assert all(float(row.split()[3]) <= 1e-3 for row in rows)
    assert float(chosen.split()[0]) in (1e-1, 3e-2, 1e-2, 3e-3, 1e-3, 3e-4)
    assert kept[-1].split()[-1] == "True"
    assert (tmp_path / "sweep.npz").exists()


@pytest.mark.full
def test_features(run):
    _, ((shape, proven), (of_head, judged)) = run("docs/guides/features.md")
    assert shape == "(1297, 128)"
    assert proven.startswith("True ")
    assert of_head == "True"
    assert judged.startswith("accuracy 9")


@pytest.mark.full
def test_meshes(run):
    _, ((proven, accuracies),) = run("docs/guides/devices.md")
    assert proven == "True"
    assert (numbers(accuracies) > 0.85).all()


@pytest.mark.full
def test_many_machines(run):
    _, ((lost, table),) = run("docs/guides/tasks.md")
    assert lost == "(0,)"
    assert table.startswith("3 settings on 4 parts, 12 of 12 fits proven; best mean")


def test_training_and_a_fit_of_it_in_a_file(run):
    variables, (_, losses, (accuracy,)) = run("docs/guides/losses.md", first=3)
    assert [line.split()[0] for line in losses] == ["10", "20", "30"]
    assert losses[-1].startswith("30 [")
    assert variables["epoch"] == 30
    # The loss of every model fell from C - 1 to little.
    assert (variables["info"].loss < 1).all()
    # Parameters of SGD, certified: no optimum, and said so.
    assert variables["trained"].relative_gap > 1e-3
    assert not variables["trained"].converged
    assert float(accuracy) > 0.9
    assert (variables["labels"] == variables["scores"].argmax(axis=1)).all()


@pytest.mark.full
def test_a_loss_of_ones_own_and_a_grid_of_training(run):
    variables, (*_, (own,), (shape, *_, last), seeds) = run("docs/guides/losses.md")
    said, accuracy = own.split(" | ")
    assert said.startswith("focal, l2 0.0001: objective ")
    assert said.endswith("nothing proven")
    assert float(accuracy) > 0.9
    # With power 0 the loss is cross-entropy.
    scores = np.array([1.0, -2.0, 0.5], np.float32)
    np.testing.assert_allclose(
        variables["focal"](scores, 1, power=0.0),
        variables["losses"].softmax_cross_entropy(scores, 1),
        rtol=1e-6,
    )
    assert shape == "(2, 3, 2, 4)"
    assert last.endswith("False")
    assert variables["accuracy"].shape == (10, 2)
    assert variables["accuracy"].min() > 0.8
    assert [line.split(":")[0] for line in seeds] == [
        "learning rate 0.1",
        "learning rate 0.3",
    ]
    # The cosine schedule ends at a learning rate of 0 with the last update.
    updates = variables["minibatch"].updates_per_epoch(1297, batch_size=32) * 10
    schedule = variables["optax"].cosine_decay_schedule(0.01, updates)
    assert updates == 410
    assert schedule(updates) == 0


def test_the_outline_of_an_experiment_is_one(run, tmp_path, monkeypatch, capsys):
    variables, _ = run("docs/contributing.md")
    outline, one_file = variables["STUDY"], variables["MEASUREMENTS"]
    options = cli.RunOptions(out=tmp_path / "margins-run")
    rows = measurements.run(one_file, one_file.smoke, options)
    assert [row["l2"] for row in rows] == [0.1, 0.01]
    assert min(row["accuracy"] for row in rows) > 0.9
    assert capsys.readouterr().out.startswith("l2    accuracy\n")
    text = (ROOT / "docs/contributing.md").read_text()
    (template,) = re.findall(r"^```html\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (tmp_path / outline.name).mkdir()
    (tmp_path / outline.name / "page.html").write_text(template)
    loader = pages.environment().loader
    monkeypatch.setattr(loader, "searchpath", [*loader.searchpath, str(tmp_path)])
    monkeypatch.setattr("sys.argv", ["penalty", "--smoke", "--out", "penalty-run"])
    study.main(outline)
    best, path = capsys.readouterr().out.splitlines()
    assert 0.9 < float(best.removeprefix("best accuracy: ")) < 1
    assert path == "penalty-run/report.html"
    assert "accuracy against l2" in (tmp_path / path).read_text()


def test_architecture_is_the_list_of_chapters(run):
    _, (printed,) = run("docs/how/architecture.md")
    assert printed == chapters.table().splitlines()


def test_values_of_the_lecture(run):
    _, ((example,), means, (three, softmax)) = run("docs/lecture.md")
    np.testing.assert_allclose(numbers(example), [-96.8, 437.9, 60.75], rtol=1e-6)
    *each, doubled = means
    found = [[*map(float, re.findall(r"[\d.]+", line))] for line in each]
    expected = [
        [2.9, 0, 12.9, 5.2667],
        [3.9, 1, 13.9, 6.2667],
        [1.45, 0, 6.45, 2.6333],
        [0.9667, 0, 4.3, 1.7556],
        [8.41, 0, 83.25, 30.5533],
        [2.0404, 0.0791, 6.1565, 2.7586],
    ]
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(numbers(doubled), [4.8, 0, 23.8], atol=1e-4)
    np.testing.assert_array_equal(numbers(three), 0)
    np.testing.assert_allclose(numbers(softmax), [0.0009, 0.5514, 0], atol=1e-4)


def test_the_index_links_every_page_of_the_contents():
    """Readers of the repository see the links alone."""
    text = (ROOT / "docs/index.md").read_text()
    contents = re.findall(r"^[a-z]+(?:/[a-z_]+)?$", text, re.MULTILINE)
    links = re.findall(r"\]\((.*?)\.md\)", text)
    assert len(links) == len(set(links)) > 15
    # The API reference is made by the build; the changelog is of the repository.
    assert {*links} == {*contents} - {"api/index", "changelog"}
    for link in links:
        assert (ROOT / "docs" / f"{link}.md").exists()


def test_exactly_two_set_up_commands():
    commands = [
        line for line in readme().splitlines() if line.startswith("pip install -e")
    ]
    assert commands[:2] == [
        'pip install -e ".[experiments]" '
        "&& python -m experiments.svm_vs_softmax --dataset digits",
        'pip install -e ".[test]" && python -m pytest',
    ]


def test_the_readme_is_short():
    assert len(readme().splitlines()) <= 150
