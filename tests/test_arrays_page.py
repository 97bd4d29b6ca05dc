"""Lines of the table on arrays, run as they stand there."""

import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.sparse
from foreign_arrays import OfAnotherLibrary
from input_rows import COLUMNS, LABELS, ROWS

import jaxlin
from jaxlin import linear_probe, losses
from jaxlin.check import foreign
from jaxlin.objective import row_blocks

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "guides" / "arrays.md"
LINES = re.findall(r"^\| (.+?) \| `(.+)` \|$", PAGE.read_text(), re.MULTILINE)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Variables of the lines, apart from those of optional libraries."""
    folder = tmp_path_factory.mktemp("arrays")
    np.save(folder / "rows.npy", ROWS)
    return {
        "folder": folder,
        "jax": jax,
        "jaxlin": jaxlin,
        "jnp": jnp,
        "key": jax.random.key(0),
        "labels": LABELS,
        "linear_probe": linear_probe,
        "on_gpu": OfAnotherLibrary(jnp.asarray(ROWS)),
        "names": np.array(["round", "long"])[LABELS],
        "np": np,
        "one_hot": np.eye(2)[LABELS],
        "images": ROWS.reshape(48, 2, 2),
        "row_blocks": row_blocks,
        "rows": ROWS,
        "sparse": scipy.sparse.coo_array(ROWS),
    }


def of_pandas():
    pandas = pytest.importorskip("pandas")
    rows = pandas.DataFrame(ROWS, columns=COLUMNS)
    moved = rows[["age", "is_new", "height", "width"]]
    cities = np.array(["Bern", "Rome", "Oslo"])[ROWS.astype(int)[:, 0] // 2]
    return {
        "pandas": pandas,
        "frame": rows.assign(kind=LABELS),
        "nullable": rows.convert_dtypes(),
        "homes": rows.assign(city=pandas.Categorical(cities)),
        "gaps": rows.where(rows != 3.0),
        "moved": moved,
        "indicators": rows[["height", "width"]] > 2,
        "fit": jaxlin.fit(rows, LABELS, loss=losses.softmax_cross_entropy, l2=0.1),
    }


def of_blocks():
    pandas = pytest.importorskip("pandas")
    halves = {"first": slice(24), "second": slice(24, None)}
    tables = {
        name: pandas.DataFrame(ROWS[half], columns=COLUMNS)
        for name, half in halves.items()
    }
    return tables | {f"{name}_kinds": LABELS[half] for name, half in halves.items()}


def of_polars():
    polars = pytest.importorskip("polars")
    columns = dict(zip(COLUMNS, ROWS.T, strict=True), kind=LABELS)
    return {"table": polars.DataFrame(columns)}


def of_arrow():
    arrow = pytest.importorskip("pyarrow")
    columns = dict(zip(COLUMNS, ROWS.T, strict=True), kind=LABELS)
    return {"arrow": arrow.table(columns)}


def of_torch():
    torch = pytest.importorskip("torch", reason="an optional peer")
    tensor = torch.tensor(ROWS)
    return {"tensor": tensor, "features": tensor.clone().requires_grad_()}


OPTIONAL = {
    r"frame|nullable|pandas|moved|gaps|indicators": of_pandas,
    r"first": of_blocks,
    r"table\.": of_polars,
    r"arrow\.": of_arrow,
    r"tensor|features\.detach": of_torch,
}


def test_the_table_is_found():
    assert len(LINES) == 23
    assert {have.split()[0] for have, _ in LINES} >= {"pandas", "polars", "PyTorch"}


@pytest.mark.parametrize(("have", "line"), LINES, ids=[have for have, _ in LINES])
def test_lines_of_the_table_run(have, line, given, monkeypatch):
    monkeypatch.chdir(given["folder"])
    if "on_gpu" in line:
        # The memory of the host in the place of a GPU's.
        monkeypatch.setattr(foreign, "_HOST_DEVICES", ())
    variables = dict(given)
    for names, make in OPTIONAL.items():
        if re.search(names, line):
            variables.update(make())
    found = eval(line, variables)
    if isinstance(found, jaxlin.Problem):
        found = jaxlin.fit(found, loss=losses.softmax_cross_entropy, l2=0.1)
        assert found.converged
        is_table = re.search(r"frame|nullable|homes|table\.|arrow\.|first|gaps", line)
        # Of a column of categories come further columns.
        names = (found.feature_names or ())[: len(COLUMNS)]
        assert names == (COLUMNS if is_table else ())
    elif have == "weights as a table":
        assert [*found.columns] == [*COLUMNS]
    elif isinstance(found, np.ndarray):
        np.testing.assert_array_equal(found, jaxlin.predict(variables["fit"], ROWS))
    else:
        assert found.names == ("height", "width")


def test_sparse_rows(run_page):
    stored, judged = run_page
    assert stored == (
        "Problem(2,000 examples, 300 features, sparse with 2 % stored, 2 classes)"
    )
    assert judged == "True True"


@pytest.fixture
def run_page(capsys):
    """Lines that the cell of the page prints."""
    (cell,) = re.findall(
        r"^```\{code-cell\}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE
    )
    exec(cell, {})
    return capsys.readouterr().out.splitlines()
