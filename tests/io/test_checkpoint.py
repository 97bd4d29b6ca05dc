"""Checkpoints: every bit comes back, and what does not fit is named."""

import json
import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from checkpoint_trees import assert_same, save_small_tree, small_tree

from jaxlin.io import checkpoint


@pytest.fixture
def saved(tmp_path):
    return save_small_tree(tmp_path / "state.npz")


# -- Round trips --------------------------------------------------------------------


def test_nested_tree_comes_back(saved):
    assert_same(checkpoint.load(saved, small_tree()), small_tree())
    assert sorted(os.listdir(saved.parent)) == ["state.npz"]


DTYPES = (
    *("bool", "int4", "int8", "uint8", "int16", "uint16", "int32", "uint32"),
    *("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "complex64"),
)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_keeps_its_bits(tmp_path, dtype):
    values = np.array([0, 1, 1, 0, 1, 3]).astype(jnp.dtype(dtype))
    parts = (values, values.reshape(2, 3), values[:1].reshape(()), values[:0])
    # Nothing is compiled to put them there.
    tree = [*map(jax.device_put, parts), values]
    assert all(leaf.dtype == dtype for leaf in tree)
    checkpoint.save(tmp_path / "c.npz", tree)
    assert_same(checkpoint.load(tmp_path / "c.npz", tree), tree)


def test_all_float_bit_patterns_survive(tmp_path):
    """Every 16-bit pattern, so every NaN, infinity, subnormal and signed zero."""
    patterns = np.arange(2**16, dtype=np.uint16)
    tree = [patterns.view(np.float16), patterns.view(jnp.bfloat16)]
    checkpoint.save(tmp_path / "c.npz", tree)
    assert_same(checkpoint.load(tmp_path / "c.npz", tree), tree)


def test_numpy_and_python_leaves_keep_their_type(tmp_path):
    tree = {
        "python": [True, 3, -(2**63), 2**64 - 1, 0.1, float("nan"), -0.0, 1 + 2j],
        "scalar": [np.float32(0.1), np.float64(0.1), np.int16(-5), np.bool_(True)],
        "array": [np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3)), np.array(2.5)],
    }
    checkpoint.save(tmp_path / "c.npz", tree)
    assert_same(checkpoint.load(tmp_path / "c.npz", tree), tree)


def test_byte_order_is_not_lost(tmp_path):
    values = np.array([1.5, -2.25])
    checkpoint.save(tmp_path / "c.npz", values.astype(">f8"))
    for like in (values, values.astype(">f8")):
        np.testing.assert_array_equal(checkpoint.load(tmp_path / "c.npz", like), values)


@pytest.mark.parametrize("implementation", ["threefry2x32", "rbg"])
def test_typed_keys_go_on_with_the_same_stream(tmp_path, implementation):
    key = jax.random.key(3, impl=implementation)
    tree = {"key": key, "many": jax.random.split(key, (2, 3))}
    checkpoint.save(tmp_path / "c.npz", tree)
    abstract = jax.eval_shape(lambda: tree)
    for like in (tree, abstract):
        restored = checkpoint.load(tmp_path / "c.npz", like)
        assert_same(restored, tree)
        np.testing.assert_array_equal(
            jax.random.bits(restored["key"], (5,)), jax.random.bits(key, (5,))
        )


def test_like_may_be_abstract_and_its_values_do_not_matter(saved):
    tree = small_tree()
    params = jax.eval_shape(lambda: tree.params)
    restored = checkpoint.load(saved, tree._replace(params=params, step=-1))
    assert_same(restored, tree)


def test_a_single_array_and_an_empty_tree_are_trees(tmp_path):
    for tree in (jnp.arange(3.0), {}, 5):
        checkpoint.save(tmp_path / "c.npz", tree)
        assert_same(checkpoint.load(tmp_path / "c.npz", tree), tree)


def test_sharded_arrays_are_gathered(tmp_path):
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("rows",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("rows"))
    values = np.arange(32.0, dtype=np.float32).reshape(8, 4)
    checkpoint.save(tmp_path / "c.npz", jax.device_put(values, sharding))
    np.testing.assert_array_equal(checkpoint.load(tmp_path / "c.npz", values), values)


def test_metadata_come_back_as_json(tmp_path):
    metadata = {"classes": ["cat", "žába"], "l2": 1e-3, "nested": {"pair": (1, None)}}
    checkpoint.save(tmp_path / "c.npz", {}, metadata=metadata)
    expected = json.loads(json.dumps(metadata))
    assert checkpoint.load_metadata(tmp_path / "c.npz") == expected
    checkpoint.save(tmp_path / "c.npz", {})
    assert checkpoint.load_metadata(tmp_path / "c.npz") == {}


def test_numpy_opens_the_file(saved):
    with np.load(saved) as arrays:
        np.testing.assert_array_equal(arrays[".params.bias"], [0.0, 1.0, 2.0])
        assert arrays[".step"] == 7


def test_same_tree_same_bytes(saved):
    again = saved.with_name("again.npz")
    checkpoint.save(str(again), small_tree(), metadata={"loss": "hinge"})
    assert again.read_bytes() == saved.read_bytes()


# -- What does not fit --------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t._replace(params=t.params._replace(weights=np.ones((3, 41)))),
            r"\.params\.weights has shape \(3, 40\), expected \(3, 41\)",
        ),
        (
            lambda t: t._replace(params=t.params._replace(bias=np.ones(3))),
            r"\.params\.bias has dtype float32, expected float64",
        ),
        (
            lambda t: t._replace(step=jnp.zeros((), jnp.int32)),
            r"\.step has dtype Python int, expected int32",
        ),
        (lambda t: t._replace(step=7.0), "dtype Python int, expected Python float"),
        (lambda t: t._replace(step=None), r"has a leaf \.step, expected none"),
        (
            lambda t: t._replace(moments=t.moments | {"second": 1}),
            r"has no leaf \.moments\['second'\], expected one",
        ),
        (lambda t: 5, r"has no leaf \(the tree itself\), expected one"),
    ],
)
def test_leaf_that_differs_is_named(saved, change, message):
    with pytest.raises(ValueError, match=message) as caught:
        checkpoint.load(saved, change(small_tree()))
    assert str(saved) in str(caught.value)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"name": "hinge"}, r"leaf \['name'\] must be .*, got str"),
        ([np.array(["a"])], r"leaf \[0\] must be .*, got an array of <U1"),
        ([np.array([None])], r"got an array of object"),
        ([np.array("2020-01-01", "M8[D]")], "got an array of datetime64"),
        ([2**64], r"at most 64 bits, got int"),
    ],
)
def test_leaf_that_cannot_be_saved_is_named(tmp_path, tree, message):
    with pytest.raises(ValueError, match=message):
        checkpoint.save(tmp_path / "c.npz", tree)
    assert os.listdir(tmp_path) == []


def test_leaves_of_one_name_are_refused(tmp_path):
    class Printed(int):
        def __repr__(self):
            return "same"

    with pytest.raises(ValueError, match="2 leaves with 1 names"):
        checkpoint.save(tmp_path / "c.npz", {Printed(1): 1, Printed(2): 2})


@pytest.mark.parametrize("metadata", [{"a": np.ones(2)}, {"a": {1, 2}}, {(1, 2): 3}])
def test_metadata_that_json_cannot_hold_are_refused(tmp_path, metadata):
    with pytest.raises(ValueError, match="metadata must be JSON"):
        checkpoint.save(tmp_path / "c.npz", {}, metadata=metadata)


def test_wide_dtypes_are_not_narrowed_silently(tmp_path):
    checkpoint.save(tmp_path / "c.npz", np.array([0.1]))
    like = jax.ShapeDtypeStruct((1,), np.float64)
    with pytest.raises(ValueError, match="got float64; set jax_enable_x64"):
        checkpoint.load(tmp_path / "c.npz", like)
