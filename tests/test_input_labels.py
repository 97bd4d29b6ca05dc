"""Labels and weights of every library: the classes and the codes that were meant."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from input_rows import LABELS as CODES
from input_rows import ROWS

import jaxlin
from jaxlin import linear_probe, losses

KEY = jax.random.key(0)
NAMES = np.array(["no", "yes"])[CODES]
WEIGHTS = 1.0 + np.arange(48) % 4


def numpy_kinds():
    return {
        "text": NAMES,
        "objects": NAMES.astype(object),
        "text of any length": NAMES.astype(np.dtypes.StringDType()),
        "booleans": CODES == 1,
        "signs": 2 * CODES - 1,
        "float signs": 2.0 * CODES - 1,
        "gaps": np.array([-7, 1_000_000])[CODES],
        "column": CODES[:, None],
        "column of text": NAMES[:, None],
        "read-only": np.broadcast_to(CODES[:, None], (48, 1)),
        "byte-swapped": CODES.astype(">i4"),
        "strided": np.repeat(CODES, 2)[::2],
        "half": CODES.astype(np.float16),
        "list": NAMES.tolist(),
        "list of scalars": [*NAMES],
    }


def jax_kinds():
    return {
        "int32": jnp.asarray(CODES),
        "booleans": jnp.asarray(CODES == 1),
        "bfloat16": jnp.asarray(CODES, jnp.bfloat16),
        "column": jnp.asarray(CODES)[:, None],
    }


def pandas_kinds():
    pandas = pytest.importorskip("pandas")
    names = pandas.Series(NAMES, index=np.arange(48)[::-1])
    return {
        "text": names,
        "strings": names.astype("string"),
        "category": names.astype("category"),
        "booleans": pandas.Series(CODES == 1),
        "nullable booleans": pandas.Series(CODES == 1).astype("boolean"),
        "nullable": pandas.Series(CODES).astype("Int8"),
        "array": pandas.array(CODES, "Int64"),
        "frame": names.to_frame("label"),
    }


def polars_kinds():
    polars = pytest.importorskip("polars")
    names = polars.Series("label", NAMES.tolist())
    return {
        "text": names,
        "category": names.cast(polars.Categorical),
        "enumeration": names.cast(polars.Enum(["yes", "no"])),
        "booleans": polars.Series(CODES == 1),
        "integers": polars.Series(CODES).cast(polars.UInt16),
        "frame": names.to_frame(),
    }


def arrow_kinds():
    arrow = pytest.importorskip("pyarrow")
    names = arrow.chunked_array([NAMES[:10].tolist(), NAMES[10:].tolist()])
    return {
        "text": names,
        "dictionary": names.dictionary_encode(),
        "integers": arrow.array(CODES),
        "table": arrow.table({"label": names}),
    }


def torch_kinds():
    torch = pytest.importorskip("torch", reason="an optional peer")
    codes = torch.tensor(CODES)
    return {
        "int64": codes,
        "booleans": codes == 1,
        "bfloat16": codes.bfloat16(),
        "column": codes[:, None],
    }


KINDS = {
    "NumPy": numpy_kinds,
    "JAX": jax_kinds,
    "pandas": pandas_kinds,
    "polars": polars_kinds,
    "PyArrow": arrow_kinds,
    "PyTorch": torch_kinds,
}


@pytest.fixture(scope="module")
def expected():
    softmax = losses.softmax_cross_entropy
    return jaxlin.fit(ROWS, CODES, loss=softmax, l2=0.1).params.weights


@pytest.mark.parametrize("library", KINDS)
def test_labels_of_every_kind_are_those_of_the_same_codes(library, expected):
    for kind, labels in KINDS[library]().items():
        problem = jaxlin.problem(ROWS, labels)
        np.testing.assert_array_equal(problem.rows.targets, CODES, err_msg=kind)
        fit = jaxlin.fit(problem, loss=losses.softmax_cross_entropy, l2=0.1)
        np.testing.assert_array_equal(fit.params.weights, expected)
        predicted = jaxlin.predict(fit, ROWS)
        found = jaxlin.evaluate(fit, ROWS, labels)
        np.testing.assert_array_equal(found.labels, problem.classes[CODES])
        np.testing.assert_array_equal(found.predictions, predicted)


@pytest.mark.parametrize("library", KINDS)
def test_labels_of_every_kind_are_those_of_a_probe(library):
    for kind, labels in KINDS[library]().items():
        found = jaxlin.probe(
            KEY, ROWS, labels, ROWS, labels, l2s=(0.1,), validation=None
        )
        correct = found.test.labels == found.test.predictions
        assert found.test.accuracy.value == correct.mean() > 0.8, kind


def weights_of_every_kind():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    return {
        "list": WEIGHTS.tolist(),
        "objects": WEIGHTS.astype(object),
        "integers": WEIGHTS.astype(np.int16),
        "byte-swapped": WEIGHTS.astype(">f4"),
        "pandas": pandas.Series(WEIGHTS).astype("Float64"),
        "polars": polars.Series(WEIGHTS),
        "JAX": jnp.asarray(WEIGHTS),
    }


def test_weights_of_every_kind_are_weights():
    for kind, weights in weights_of_every_kind().items():
        problem = jaxlin.problem(ROWS, CODES, weights=weights)
        found = problem.rows.example_weights
        np.testing.assert_array_equal(found, WEIGHTS, err_msg=kind)


def bad_labels():
    pandas = pytest.importorskip("pandas")
    polars = pytest.importorskip("polars")
    arrow = pytest.importorskip("pyarrow")
    hidden = [None, *NAMES[1:].tolist()]
    encoded = arrow.chunked_array([hidden]).dictionary_encode()
    return [
        (pandas.Series(hidden), "the missing label nan at position 0; leave such"),
        (pandas.Categorical(hidden), "the missing label nan at position 0; leave"),
        (polars.Series(hidden), "the missing label None at position 0; leave such"),
        (encoded, "the missing label None at position 0; leave such"),
        (arrow.table({"label": encoded}), "the missing label None at position 0"),
        (polars.Series([None, *CODES[1:].tolist()]), "missing label nan at position 0"),
        (np.stack([CODES, 3 * CODES], axis=1), "got a row with minimum"),
        (NAMES.astype("S"), "got text b'.*' at position 0; encode class names"),
    ]


def test_labels_that_are_missing_or_several_are_refused():
    for labels, message in bad_labels():
        with pytest.raises(ValueError, match=f"labels must .*{message}"):
            jaxlin.problem(ROWS, labels)


def test_a_gradient_is_not_lost_in_silence():
    torch = pytest.importorskip("torch", reason="an optional peer")
    weights = torch.ones(48, requires_grad=True)
    with pytest.raises(ValueError, match=r"weights must not be part of a differentia"):
        jaxlin.problem(ROWS, CODES, weights=weights)


def test_indicators_give_their_columns_as_names():
    pandas = pytest.importorskip("pandas")
    indicators = pandas.DataFrame({"tall": ROWS[:, 0] > 2, "wide": ROWS[:, 1] > 2})
    found = linear_probe.multilabel_probe(
        KEY, ROWS, indicators, ROWS, indicators, l2s=(0.1,), validation=None
    )
    assert found.names == ("tall", "wide")
    assert [row["label"] for row in found.rows()] == ["tall", "wide"]


def test_names_that_are_numpy_scalars_become_plain():
    found = linear_probe.multilabel_probe(
        KEY,
        ROWS,
        ROWS[:, :2] > 2,
        ROWS,
        ROWS[:, :2] > 2,
        l2s=(0.1,),
        validation=None,
        names=np.array([7, 9]),
    )
    assert [type(row["label"]) for row in found.rows()] == [int, int]
