"""Names of the columns of a table, kept by fits and files, held against others."""

import jax
import numpy as np
import pytest
from input_rows import COLUMNS, ROWS
from input_rows import LABELS as CODES

import jaxlin
from jaxlin import linear_probe, losses
from jaxlin.check import column_names
from jaxlin.objective import row_blocks

pandas = pytest.importorskip("pandas")

KEY = jax.random.key(0)
SOFTMAX = losses.softmax_cross_entropy
TABLE = pandas.DataFrame(ROWS, columns=COLUMNS).astype({"age": int})
LABELS = np.where(CODES == 1, "tall", "small")


@pytest.fixture(scope="module")
def fit():
    return jaxlin.fit(TABLE, LABELS, loss=SOFTMAX, l2=0.1)


def test_fits_of_every_door_have_the_names(fit):
    problem = jaxlin.problem(TABLE, LABELS)
    sweep = jaxlin.sweep(problem, losses=(SOFTMAX,), l2s=(0.1, 1.0))
    probe = jaxlin.probe(KEY, TABLE, LABELS, TABLE, LABELS, l2s=(0.1,), validation=None)
    few = linear_probe.few_shot(
        KEY, TABLE, LABELS, TABLE, LABELS, num_shots=9, num_draws=1, l2s=(0.1,)
    )
    found = [
        problem,
        problem.with_normalization(jaxlin.normalization.identity(4)),
        fit,
        jaxlin.certify(problem, fit.params, loss=SOFTMAX, l2=0.1),
        sweep[1],
        sweep.take([0])[0],
        probe.fit,
        few.results[0].fit,
    ]
    assert [one.feature_names for one in found] == [COLUMNS] * len(found)


def test_a_file_keeps_the_names(fit, tmp_path):
    jaxlin.save(tmp_path / "fit.npz", fit)
    assert jaxlin.load(tmp_path / "fit.npz").feature_names == COLUMNS
    jaxlin.save(tmp_path / "fit.npz", fit._replace(feature_names=None))
    assert jaxlin.load(tmp_path / "fit.npz").feature_names is None


def test_names_are_those_of_every_library():
    polars, arrow = map(pytest.importorskip, ("polars", "pyarrow"))
    columns = dict(zip(COLUMNS, ROWS.T, strict=True))
    for table in (polars.DataFrame(columns), arrow.table(columns)):
        assert jaxlin.problem(table, LABELS).feature_names == COLUMNS


@pytest.mark.parametrize(
    "rows",
    [ROWS, pandas.DataFrame(ROWS), pandas.DataFrame(ROWS, columns=[0, "a", 1, 2])],
)
def test_rows_without_names_have_none(rows, fit):
    assert jaxlin.problem(rows, LABELS).feature_names is None
    # They are taken as the columns of the training, in their order.
    np.testing.assert_array_equal(jaxlin.scores(fit, rows), jaxlin.scores(fit, TABLE))


DOORS = {
    "predict": lambda fit, rows: jaxlin.predict(fit, rows),
    "scores": lambda fit, rows: jaxlin.scores(fit, rows),
    "certified labels": lambda fit, rows: jaxlin.certified_labels(fit, rows),
    "evaluate": lambda fit, rows: jaxlin.evaluate(fit, rows, LABELS),
    "test of few shots": lambda fit, rows: linear_probe.few_shot(
        KEY, TABLE, LABELS, rows, LABELS, num_shots=9, num_draws=1, l2s=(0.1,)
    ),
    "test of a probe": lambda fit, rows: jaxlin.probe(
        KEY, TABLE, LABELS, rows, LABELS, l2s=(0.1,), validation=None
    ),
    "validation of a probe": lambda fit, rows: jaxlin.probe(
        KEY, TABLE, LABELS, TABLE, LABELS, l2s=(0.1,), validation=(rows, LABELS)
    ),
}


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_other_columns_are_refused(door, fit):
    moved = TABLE[["width", "height", "age", "is_new"]]
    words = r"columns of the training rows in their order, got 'width' in place of 'hei"
    with pytest.raises(
        ValueError, match=rf"features must have the {words}.* give .*\[list"
    ):
        door(fit, moved)
    other = TABLE.rename(columns={"age": "weight"})
    with pytest.raises(ValueError, match=r"got 'weight' in place of 'age' as column 2"):
        door(fit, other)
    with pytest.raises(ValueError, match=r"must have 4 features, got 2"):
        door(fit, TABLE[["height", "age"]])


TABLES = {
    "pandas": lambda columns: pandas.DataFrame(columns),
    "polars": lambda columns: pytest.importorskip("polars").DataFrame(columns),
    "pyarrow": lambda columns: pytest.importorskip("pyarrow").table(columns),
}
every_library = pytest.mark.parametrize("library", TABLES)


@every_library
def test_fits_of_blocks_have_the_names_of_the_tables(library):
    first, second = (
        TABLES[library](dict(zip(COLUMNS, half.T, strict=True)))
        for half in (ROWS[:24], ROWS[24:])
    )
    whole = TABLES[library](dict(zip(COLUMNS, ROWS.T, strict=True)))
    for blocks in (
        [(first, CODES[:24]), (second, CODES[24:])],
        row_blocks.over(whole, CODES, block_size=24),
    ):
        found = jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1)
        assert found.feature_names == COLUMNS
        np.testing.assert_array_equal(
            jaxlin.predict(found, whole), jaxlin.predict(found, ROWS)
        )
    arrays = [(ROWS[:24], CODES[:24]), (ROWS[24:], CODES[24:])]
    for blocks in (arrays, row_blocks.over(ROWS, CODES)):
        assert jaxlin.problem(blocks).feature_names is None


@every_library
@pytest.mark.parametrize("table_first", [True, False])
def test_blocks_are_all_tables_or_all_arrays(library, table_first):
    table = TABLES[library](dict(zip(COLUMNS, ROWS.T, strict=True)))
    parts = [table, ROWS]
    kinds = ["with named columns", "without names of columns"]
    if not table_first:
        parts.reverse()
        kinds.reverse()
    words = (
        rf"blocks\[1\].features must be {kinds[0]} as in the first block, got a "
        rf"{type(parts[1]).__name__} {kinds[1]}; give all blocks as tables, or"
    )
    blocks = [(part, CODES) for part in parts]
    with pytest.raises(ValueError, match=words):
        jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1)
    with pytest.raises(ValueError, match=words):
        list(row_blocks.check_blocks(blocks, num_classes=2))


@every_library
def test_blocks_have_the_columns_of_the_first(library):
    columns = dict(zip(COLUMNS, ROWS.T, strict=True))
    moved = {name: columns[name] for name in ("width", "height", "age", "is_new")}
    first, second = (TABLES[library](one) for one in (columns, moved))
    words = (
        r"blocks\[1\].features must have the columns of the first block in their "
        r"order, got 'width' in place of 'height' as column 0; "
        r"give blocks\[1\].features(\[list|\.select)\(blocks\[0\].features.col"
    )
    blocks = [(first, CODES), (second, CODES)]
    with pytest.raises(ValueError, match=words):
        jaxlin.fit(blocks, loss=SOFTMAX, l2=0.1)
    with pytest.raises(ValueError, match=words) as caught:
        list(row_blocks.check_blocks(blocks, num_classes=2))
    # The remedy is an expression for a table of this library.
    remedy = str(caught.value).rpartition("; give ")[2]
    given = [row_blocks.Block(*block) for block in blocks]
    assert column_names(eval(remedy, {"blocks": given})) == COLUMNS


def test_the_remedy_gives_the_columns_that_were_meant(fit):
    moved = TABLE[["age", "height", "is_new", "width"]]
    np.testing.assert_array_equal(
        jaxlin.scores(fit, moved[list(fit.feature_names)]), jaxlin.scores(fit, TABLE)
    )


def test_a_table_of_the_weights(fit):
    weights = pandas.DataFrame(
        fit.params.weights, index=fit.classes, columns=fit.feature_names
    )
    assert weights.loc["tall", "height"] > 0 > weights.loc["small", "height"]
    assert weights.shape == (2, 4)
