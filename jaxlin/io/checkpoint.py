"""Checkpoints: a tree of arrays in one file, written atomically, verified on reading.

  >>> import jax.numpy as jnp, pathlib, tempfile
  >>> from jaxlin.io import checkpoint
  >>> tree = {"weights": jnp.ones((10, 64)), "step": 7}
  >>> with tempfile.TemporaryDirectory() as folder:
  ...     path = pathlib.Path(folder, "model.npz")
  ...     checkpoint.save(path, tree, metadata={"loss": "hinge"})
  ...     restored = checkpoint.load(path, tree)
  ...     metadata = checkpoint.load_metadata(path)
  >>> restored["step"], restored["weights"].shape, metadata
  (7, (10, 64), {'loss': 'hinge'})

The file is an uncompressed ``.npz`` (`numpy.load` opens it). It contains

  <leaf>.npy       one array per leaf, named by `jax.tree_util.keystr`: ``.params.bias``
  manifest.json    format, metadata; shape, dtype and SHA-256 of the file of each leaf
  zip comment      SHA-256 of all bytes before it, which detects any flipped bit

Leaves are NumPy and JAX arrays (bfloat16 and float8 too, stored as unsigned integers of
the same width), typed PRNG keys (stored as their data), and Python bool, int, float and
complex. Nothing is pickled. Equal trees and metadata give equal bytes.
"""

import hashlib
import io
import json
import os
import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.io import files
from jaxlin.typing import PyTree

_FORMAT = "jaxlin checkpoint 1"
_MANIFEST = "manifest.json"
_COMMENT = b"sha256 of the bytes before: "
_DIGEST_LENGTH = 64
_ROOT = "(the tree itself)"
_PYTHON_NUMBERS = (bool, int, float, complex)
_REMEDY = "give an earlier copy of it, or another path"

Path = str | os.PathLike[str]


class _Leaf(NamedTuple):
    """Properties in which a stored leaf and the requested leaf must agree."""

    shape: tuple[int, ...]
    dtype: str


def save(
    path: Path, tree: PyTree, *, metadata: Mapping[str, Any] | None = None
) -> None:
    """Writes ``tree`` to one file, which replaces an existing one atomically.

    Whenever the process or the machine stops, the file is either the previous one or
    the complete new one (`jaxlin.io.files.replace`). Only one process may write to a
    path at a time.

    Args:
      path: file to write, in an existing folder. No suffix is added.
      tree: tree of NumPy or JAX arrays on any device, typed PRNG keys, and Python bool,
        int, float and complex.
      metadata: values that JSON can represent; None is empty. `load_metadata` returns
        tuples as lists and keys as strings.

    Raises:
      ValueError: if a leaf is of another type, two leaves have the same name, or the
        metadata cannot be written as JSON.
      OSError: if writing fails, for example because the disk is full. A previous
        checkpoint is then unchanged and no partial file is left.
    """
    files.replace(files.expanded(path), _serialize(tree, metadata or {}))


def load(path: Path, like: PyTree) -> PyTree:
    """Reads a tree that has the structure, shapes and dtypes of ``like``.

    Args:
      path: a file written by `save`.
      like: a tree with the same leaf names, with arrays, `jax.ShapeDtypeStruct` (as
        from `jax.eval_shape`) or Python numbers as leaves; their values are not used.

    Returns:
      A tree like ``like`` with the saved values: NumPy arrays where ``like`` has NumPy
      arrays, Python numbers where it has Python numbers, and JAX arrays on the default
      device elsewhere.

    Raises:
      ValueError: if the file is damaged or not a checkpoint (the message names the file
        and a damaged leaf), or if a leaf is missing, unexpected, or of another shape or
        dtype than in ``like`` (the message names the leaf).
      OSError: if the file cannot be read.
    """
    path = files.expanded(path)
    archive, manifest = _open(path)
    named, structure = _named_leaves(like)
    expected = {name: _describe(name, leaf) for name, leaf in named.items()}
    found = {
        name: _Leaf(tuple(entry["shape"]), entry["dtype"])
        for name, entry in manifest["leaves"].items()
    }
    _require_same(path, found, expected)
    leaves = [
        _restore(name, _read_array(archive, name), leaf, manifest["leaves"][name])
        for name, leaf in named.items()
    ]
    return jax.tree.unflatten(structure, leaves)


def load_metadata(path: Path) -> dict[str, Any]:
    """Returns the metadata of a checkpoint; a damaged file raises as in `load`."""
    _, manifest = _open(files.expanded(path))
    return manifest["metadata"]


def _serialize(tree: PyTree, metadata: Mapping[str, Any]) -> bytes:
    """Returns the bytes of a checkpoint file."""
    named, _ = _named_leaves(tree)
    entries = {name: _describe(name, leaf) for name, leaf in named.items()}
    # One call for all leaves, so that copies from devices overlap.
    arrays = jax.device_get(
        {
            name: jax.random.key_data(leaf) if _is_key(leaf) else leaf
            for name, leaf in named.items()
        }
    )
    buffer = io.BytesIO()
    leaves = {}
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, entry in entries.items():
            content = _npy(arrays[name])
            leaves[name] = {
                **entry._asdict(),
                **_key_implementation(named[name]),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            # A ZipInfo made from a name has a fixed date, so that equal trees give
            # equal bytes.
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content)
        manifest = {"format": _FORMAT, "metadata": dict(metadata), "leaves": leaves}
        try:
            text = json.dumps(manifest, indent=1, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"metadata must be JSON: {error}") from None
        archive.writestr(zipfile.ZipInfo(_MANIFEST), text)
        archive.comment = _COMMENT + b"0" * _DIGEST_LENGTH
    body = buffer.getvalue()[:-_DIGEST_LENGTH]
    return body + hashlib.sha256(body).hexdigest().encode()


def _open(path: pathlib.Path) -> tuple[zipfile.ZipFile, dict[str, Any]]:
    """Returns the archive and its manifest, after verifying every byte."""
    contents = path.read_bytes()
    body, digest = contents[:-_DIGEST_LENGTH], contents[-_DIGEST_LENGTH:]
    if hashlib.sha256(body).hexdigest().encode() == digest:
        archive = zipfile.ZipFile(io.BytesIO(contents))
        manifest = json.loads(archive.read(_MANIFEST))
        if manifest["format"] != _FORMAT:
            raise ValueError(
                f"{path} must be a {_FORMAT!r}, got {manifest['format']!r}; read it "
                "with the version of jaxlin that wrote it"
            )
        return archive, manifest
    leaf = _damaged_leaf(contents)
    if leaf is not None:
        raise ValueError(f"{path} is damaged at {leaf}; {_REMEDY}")
    # A truncated file has lost its comment, but not its format.
    if _COMMENT in contents or _FORMAT.encode() in contents:
        raise ValueError(f"{path} is damaged; {_REMEDY}")
    raise ValueError(
        f"{path} must be a file that jaxlin wrote (a saved fit, a checkpoint), got one "
        f"of another program, or one damaged or cut short; {_REMEDY}"
    )


def _damaged_leaf(contents: bytes) -> str | None:
    """Returns the first leaf of a damaged file whose checksum fails, if any."""
    try:
        archive = zipfile.ZipFile(io.BytesIO(contents))
        leaves = json.loads(archive.read(_MANIFEST))["leaves"]
        digests = {name: entry["sha256"] for name, entry in leaves.items()}
    # On arbitrary bytes a parser may raise any exception; the caller reports the damage
    # in any case.
    except Exception:
        return None
    for name, digest in digests.items():
        try:
            content = archive.read(f"{name}.npy")
        except Exception:
            return name
        if hashlib.sha256(content).hexdigest() != digest:
            return name
    return None


def _require_same(
    path: pathlib.Path, found: dict[str, _Leaf], expected: dict[str, _Leaf]
) -> None:
    """Raises a ValueError that names the first leaf that differs."""
    for name in expected:
        if name not in found:
            raise ValueError(f"{path} has no leaf {name or _ROOT}, expected one")
    for name, leaf in found.items():
        if name not in expected:
            raise ValueError(f"{path} has a leaf {name or _ROOT}, expected none")
        for field, got, wanted in zip(leaf._fields, leaf, expected[name], strict=True):
            if got != wanted:
                raise ValueError(
                    f"{path}: {name or _ROOT} has {field} {got}, expected {wanted}"
                )


def _named_leaves(tree: PyTree) -> tuple[dict[str, Any], Any]:
    """Returns the leaves by name, and the structure of the tree."""
    paths, structure = jax.tree_util.tree_flatten_with_path(tree)
    named = {jax.tree_util.keystr(path): leaf for path, leaf in paths}
    if len(named) < len(paths):
        raise ValueError(
            f"tree must give each leaf its own name, got {len(paths)} leaves with "
            f"{len(named)} names; rename dictionary keys that print alike"
        )
    return named, structure


def _describe(name: str, leaf: Any) -> _Leaf:
    """Returns shape and dtype of a leaf; raises a ValueError if it cannot be saved."""
    if type(leaf) in _PYTHON_NUMBERS and np.asarray(leaf).dtype != object:
        return _Leaf((), f"Python {type(leaf).__name__}")
    dtype = getattr(leaf, "dtype", None)
    if dtype is None or not (
        _is_key(leaf)
        or jnp.issubdtype(dtype, np.number)
        or jnp.issubdtype(dtype, np.bool_)
    ):
        kind = type(leaf).__name__ if dtype is None else f"an array of {dtype}"
        raise ValueError(
            f"leaf {name or _ROOT} must be an array of numbers, booleans or PRNG keys, "
            f"or a Python number of at most 64 bits, got {kind}"
        )
    return _Leaf(tuple(leaf.shape), dtype.name)


def _is_key(leaf: Any) -> bool:
    """Returns whether a leaf holds typed PRNG keys."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_implementation(leaf: Any) -> dict[str, str]:
    """Returns the manifest entry specific to PRNG keys; empty for other leaves."""
    return {"implementation": str(jax.random.key_impl(leaf))} if _is_key(leaf) else {}


def _is_registered(dtype: np.dtype) -> bool:
    """Returns whether another package defines a dtype, as of bfloat16 and float8."""
    return dtype.isbuiltin == 2


def _npy(value: Any) -> bytes:
    """Returns the ``.npy`` file of an array or a number."""
    array = np.asarray(value)
    if _is_registered(array.dtype):
        array = array.view(f"u{array.dtype.itemsize}")
    file = io.BytesIO()
    np.lib.format.write_array(file, array, allow_pickle=False)
    return file.getvalue()


def _read_array(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    """Returns the array of a leaf as it is stored."""
    file = io.BytesIO(archive.read(f"{name}.npy"))
    return np.lib.format.read_array(file, allow_pickle=False)


def _restore(name: str, array: np.ndarray, like: Any, entry: dict[str, Any]) -> Any:
    """Converts a stored array to the type of the leaf ``like``."""
    if type(like) in _PYTHON_NUMBERS:
        return type(like)(array[()])
    if _is_key(like):
        return jax.random.wrap_key_data(
            jnp.asarray(array), impl=entry["implementation"]
        )
    if _is_registered(like.dtype):
        array = array.view(like.dtype)
    # The names of the dtypes agree already; the byte orders may differ.
    array = array.astype(like.dtype, copy=False)
    if isinstance(like, np.ndarray):
        return array
    if isinstance(like, np.generic):
        return array[()]
    if jax.dtypes.canonicalize_dtype(like.dtype) != like.dtype:
        raise ValueError(
            f"leaf {name or _ROOT} must have a dtype enabled in JAX, got "
            f"{like.dtype}; set jax_enable_x64"
        )
    return jax.device_put(array)
