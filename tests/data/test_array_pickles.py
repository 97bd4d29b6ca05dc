"""Pickles that may build arrays and nothing else."""

import os
import pickle
import pickletools

import image_copies
import numpy as np
import pytest

from jaxlin.data import array_pickles

VALUES = {
    "data": np.random.default_rng(0).integers(0, 256, (4, 6), dtype=np.uint8),
    "big": np.arange(5, dtype=">i4"),
    "floats": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "labels": [3, 1, 2],
    "name": "batch",
    "nested": {"flags": np.array([True, False])},
}


def assert_same(found, expected):
    """Equal values; text keys may have become bytes, as Python 2 wrote them."""
    if isinstance(expected, dict):
        by_name = {
            k.decode() if isinstance(k, bytes) else k: v for k, v in found.items()
        }
        assert by_name.keys() == expected.keys()
        for key, value in expected.items():
            assert_same(by_name[key], value)
    elif isinstance(expected, list | tuple):
        assert type(found) is type(expected)
        for one, value in zip(found, expected, strict=True):
            assert_same(one, value)
    elif isinstance(expected, np.ndarray):
        assert type(found) is np.ndarray
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected or found == expected.encode()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_gives_what_pickle_gives(protocol):
    content = image_copies.python3_pickle(VALUES, protocol)
    assert_same(array_pickles.load(content), pickle.loads(content))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "value",
    [
        VALUES["data"],
        [VALUES["big"], [VALUES["floats"], 1.5, None]],
        (VALUES["data"], ([VALUES["big"]], "end")),
        {"several": [VALUES["data"], {"deep": (VALUES["floats"],)}]},
    ],
    ids=["alone", "in lists", "in tuples", "in all"],
)
def test_arrays_are_those_of_numpy_wherever_they_are(value, protocol):
    content = image_copies.python3_pickle(value, protocol)
    assert_same(array_pickles.load(content), pickle.loads(content))


def test_objects_that_hold_one_another_many_times_are_read_once():
    nested = [VALUES["data"]]
    for _ in range(60):
        nested = [nested, nested]
    loop = [1]
    loop.append(loop)
    found = array_pickles.load(pickle.dumps({"nested": nested, "loop": loop}))
    assert found["loop"][1] is found["loop"]
    inner = found["nested"]
    while isinstance(inner, list):
        inner = inner[-1]
    np.testing.assert_array_equal(inner, VALUES["data"])


def test_pickles_of_python_2():
    """Bytes in the text opcodes of Python 2, which the official files have."""
    values = {key: VALUES[key] for key in ("data", "big", "labels", "name")}
    content = image_copies.python2_pickle(values)
    assert "BINSTRING" in {op.name for op, _, _ in pickletools.genops(content)}
    assert_same(
        array_pickles.load(content), {**values, "big": np.arange(5, dtype="i4")}
    )


class Calls:
    """An object whose pickle calls a function when it is loaded."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Calls(os.system, "touch was_run"), "names (posix|nt).system"),
        (Calls(eval, "open('was_run', 'w')"), "names (builtins|__builtin__).eval"),
        ([Calls(os.mkdir, "was_run")], "names (posix|nt).mkdir"),
        (Calls(np.load, "some.npy"), "names numpy.*load"),
        (np.float64(1.5), "names numpy.*scalar"),
        (
            np.array([{}, []], dtype=object),
            "arrays of numbers, got items of type object",
        ),
        (np.array(["text"]), "arrays of numbers, got items of type <U"),
        (np.zeros(2, dtype="i4,f4"), "arrays of numbers|names"),
        ([np.dtype("u1")], "arrays, numbers, text, .* alone, got DType"),
        ((np.ndarray,), "arrays, numbers, text, .* alone, got Array"),
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 5])
def test_anything_else_is_refused_and_not_run(
    tmp_path, monkeypatch, value, words, protocol
):
    monkeypatch.chdir(tmp_path)
    content = image_copies.python3_pickle({"data": value}, protocol)
    with pytest.raises(ValueError, match=words):
        array_pickles.load(content)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("length", [0, 1, 20, 100, -1])
def test_a_pickle_that_is_cut_is_damaged(length):
    content = image_copies.python2_pickle({"data": VALUES["data"]})[:length]
    with pytest.raises(ValueError, match="must be a pickle of arrays, is damaged"):
        array_pickles.load(content)


def test_an_array_without_items_is_refused():
    made = b"\x80\x02}U\x04datacnumpy\nndarray\n(tRs."
    with pytest.raises(ValueError, match="whole arrays, got one without items"):
        array_pickles.load(made)
    wrong = image_copies.python2_pickle({"data": VALUES["data"]})
    wrong = wrong.replace(VALUES["data"].tobytes(), VALUES["data"].tobytes()[::-1])
    assert not np.array_equal(array_pickles.load(wrong)[b"data"], VALUES["data"])
