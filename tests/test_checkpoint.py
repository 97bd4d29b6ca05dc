"""Checkpoints: bits kept, damage found, nothing lost when a write is cut off."""

import builtins
import errno
import json
import os
import subprocess
import sys
import zipfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxlin import checkpoint

REMEDY = "delete it and resume from an earlier one, or start again"


class Params(NamedTuple):
    weights: Any
    bias: Any


class State(NamedTuple):
    params: Params
    moments: dict
    step: Any


def small_tree():
    weights = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    return State(
        Params(jnp.asarray(weights), jnp.arange(3.0)),
        {"first": [jnp.ones(2, jnp.bfloat16), None], "odd/key'": np.arange(4)},
        7,
    )


def bits(leaf):
    """Everything that tells two leaves apart, NaN payloads and signed zeros too."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return (
            str(leaf.dtype),
            leaf.shape,
            np.asarray(jax.random.key_data(leaf)).tobytes(),
        )
    array = np.asarray(leaf)
    return type(leaf), array.dtype, array.shape, array.tobytes()


def assert_same(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    assert list(map(bits, jax.tree.leaves(actual))) == list(
        map(bits, jax.tree.leaves(expected))
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "state.npz"
    checkpoint.save(path, small_tree(), metadata={"loss": "hinge"})
    return path


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
    values = jnp.asarray([0, 1, 1, 0, 1, 3]).astype(dtype)
    tree = [values, values.reshape(2, 3), values[0], values[:0], np.asarray(values)]
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
            jax.random.normal(restored["key"], (5,)), jax.random.normal(key, (5,))
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


# -- Damage -------------------------------------------------------------------------


def test_every_flipped_byte_is_found(saved):
    """200 random positions, all bits or one bit flipped, and the last 100 bytes."""
    contents = saved.read_bytes()
    random = np.random.default_rng(1)
    positions = [*random.integers(len(contents), size=200), *range(-100, 0)]
    for position in positions:
        flipped = bytearray(contents)
        flipped[position] ^= random.choice([0xFF, 1 << random.integers(8)])
        saved.write_bytes(flipped)
        with pytest.raises(ValueError, match=REMEDY) as caught:
            checkpoint.load(saved, small_tree())
        assert str(saved) in str(caught.value)
        with pytest.raises(ValueError, match=REMEDY):
            checkpoint.load_metadata(saved)


def test_damage_within_a_leaf_names_the_leaf(saved):
    contents = bytearray(saved.read_bytes())
    weights = np.asarray(small_tree().params.weights).tobytes()
    contents[contents.index(weights) + 100] ^= 1
    saved.write_bytes(contents)
    with pytest.raises(ValueError, match=r"is damaged at \.params\.weights; delete it"):
        checkpoint.load(saved, small_tree())


def test_every_truncation_is_found(saved):
    contents = saved.read_bytes()
    lengths = [*range(0, len(contents), 37), len(contents) - 1]
    for length in lengths:
        saved.write_bytes(contents[:length])
        with pytest.raises(ValueError, match=REMEDY):
            checkpoint.load(saved, small_tree())
    saved.write_bytes(contents + b"\0")
    with pytest.raises(ValueError, match=REMEDY):
        checkpoint.load(saved, small_tree())


def test_other_files_are_told_from_checkpoints(tmp_path):
    path = tmp_path / "other.npz"
    np.savez(path, weights=np.ones(3))
    with pytest.raises(ValueError, match="other.npz is not a jaxlin checkpoint"):
        checkpoint.load(path, {"weights": np.ones(3)})
    path.write_text("a report, not a checkpoint, and longer than one digest" * 3)
    with pytest.raises(ValueError, match="other.npz is not a jaxlin checkpoint"):
        checkpoint.load_metadata(path)
    with pytest.raises(FileNotFoundError, match="missing.npz"):
        checkpoint.load(tmp_path / "missing.npz", {})


def test_other_version_of_the_format_is_told(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "_FORMAT", "jaxlin checkpoint 2")
    checkpoint.save(saved, small_tree())
    monkeypatch.undo()
    with pytest.raises(ValueError, match="got 'jaxlin checkpoint 2'; read it with"):
        checkpoint.load(saved, small_tree())


def test_nothing_is_pickled(saved):
    with zipfile.ZipFile(saved) as archive:
        for name in archive.namelist():
            if name.endswith(".npy"):
                with archive.open(name) as file:
                    np.lib.format.read_array(file, allow_pickle=False)
            else:
                json.loads(archive.read(name))


# -- Writes cut off -----------------------------------------------------------------


class FullDisk:
    """A file that takes half of what is written and then has no room."""

    def __init__(self, file):
        self.file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def write(self, contents):
        self.file.write(contents[: len(contents) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")


def no_space(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("failing", ["write", "fsync", "replace"])
def test_full_disk_leaves_the_old_file_alone(saved, monkeypatch, failing):
    before = saved.read_bytes()
    if failing == "write":
        monkeypatch.setattr(
            builtins, "open", lambda *a, real=open: FullDisk(real(*a)), raising=True
        )
    else:
        monkeypatch.setattr(os, failing, no_space)
    with pytest.raises(
        OSError, match=r"cannot write .*state\.npz: No space left"
    ) as caught:
        checkpoint.save(saved, small_tree()._replace(step=8))
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["state.npz"]
    checkpoint.save(saved, small_tree()._replace(step=8))
    assert checkpoint.load(saved, small_tree()).step == 8


def test_interrupt_leaves_the_old_file_alone(saved, monkeypatch):
    def interrupt(_):
        raise KeyboardInterrupt

    before = saved.read_bytes()
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(saved, {})
    assert saved.read_bytes() == before
    assert os.listdir(saved.parent) == ["state.npz"]


def test_folder_that_does_not_exist_is_named(tmp_path):
    path = tmp_path / "no" / "c.npz"
    with pytest.raises(FileNotFoundError, match="cannot write") as caught:
        checkpoint.save(path, {})
    assert str(path) in str(caught.value)


def test_contents_reach_the_disk_before_the_name_does(tmp_path, monkeypatch):
    """fsync of the file, rename, fsync of the folder, in this order."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor):
        calls.append(os.path.isdir(f"/proc/self/fd/{descriptor}"))
        fsync(descriptor)

    def recorded_replace(source, target):
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    checkpoint.save(tmp_path / "c.npz", small_tree())
    assert calls == [False, "replace", True]


# A child writes step after step until it is killed; forked, since importing JAX for
# each would take the most time.
KILLS = """
import os, pathlib, random, signal, sys, time
import numpy as np
from jaxlin import checkpoint

path = pathlib.Path(sys.argv[1])
def tree(step):
    return {"rows": np.full((300, 1000), step, np.float32), "step": step}

random.seed(0)
checkpoint.save(path, tree(0))
last = 0
for _ in range(25):
    child = os.fork()
    if child == 0:
        step = last
        while True:
            step += 1
            checkpoint.save(path, tree(step))
    time.sleep(random.uniform(0.005, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    loaded = checkpoint.load(path, tree(0))
    assert (loaded["rows"] == loaded["step"]).all()
    assert loaded["step"] >= last
    last = loaded["step"]
    assert set(os.listdir(path.parent)) <= {path.name, f".{path.name}.partial"}
print(last)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_saves_leave_a_loadable_file(tmp_path):
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", KILLS, str(tmp_path / "c.npz")],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    # The kills fell into a stream of saves, not before the first of them.
    assert int(run.stdout) > 10
