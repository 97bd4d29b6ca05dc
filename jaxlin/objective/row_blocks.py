"""Blocks of rows, for data that do not fit into memory at once.

Functions that make several passes over the rows, such as `jaxlin.solvers.streaming`,
take any iterable of `Block` that can be iterated several times. `over` makes one from
arrays or memory maps:

  >>> import numpy as np
  >>> from jaxlin.objective import row_blocks
  >>> blocks = row_blocks.over(np.zeros((10, 3), np.uint8), np.arange(10) % 2,
  ...                          block_size=4)
  >>> [len(block.targets) for block in blocks]
  [4, 4, 2]
"""

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

from jaxlin import check
from jaxlin.numerics import device_mesh, row_arrays

# Default bytes per block: large enough that the overhead of a call is negligible, small
# compared with any memory.
BLOCK_BYTES = 32 * 2**20


class Block(NamedTuple):
    """Block of rows with their targets and weights.

    Attributes:
      features: raw rows, uint8 or floating, shape ``(rows, features)``.
      targets: labels ``(rows,)`` or distributions ``(rows, classes)``.
      example_weights: non-negative, shape ``(rows,)``; None is all ones.
    """

    features: Any
    targets: Any
    example_weights: Any = None


@dataclasses.dataclass(frozen=True)
class ArrayBlocks:
    """Blocks of consecutive rows of arrays or memory maps; made by `over`.

    Attributes:
      features: raw rows, shape ``(examples, features)``. Sparse rows become dense in
        each block, each time it is read.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
      block_size: rows per block; the last block may have fewer.
      feature_names: names of the columns, where the rows were given as a table.
    """

    features: Any
    targets: Any
    example_weights: Any
    block_size: int
    feature_names: tuple[str, ...] | None = None

    def __iter__(self) -> Iterator[Block]:
        """Yields the blocks, each of which is read only when it is yielded."""
        for start in range(0, self.features.shape[0], self.block_size):
            rows = slice(start, start + self.block_size)
            weights = self.example_weights
            yield Block(
                row_arrays.block("features", self.features[rows]),
                np.asarray(self.targets[rows]),
                None if weights is None else np.asarray(weights[rows]),
            )

    def whole(self) -> Block:
        """Returns all rows in one block, dense.

        Raises:
          ValueError: if they are sparse and their dense form does not fit into memory.
        """
        rows = self.features
        if check.is_sparse(rows):
            device_mesh.check_memory(
                "sparse rows, which all but jaxlin.fit and predictions make dense,",
                remedy="call jaxlin.fit, or use fewer features",
                rows=math.prod(rows.shape) * rows.dtype.itemsize,
            )
            rows = rows.toarray()
        return Block(rows, self.targets, self.example_weights)


def over(
    features: Any,
    targets: Any,
    *,
    example_weights: Any = None,
    block_size: int | None = None,
) -> ArrayBlocks:
    """Divides arrays or memory maps into blocks, which are read only when needed.

    Args:
      features: array, memory map or table of raw rows, or rows of scipy.sparse, shape
        ``(examples, features)``.
      targets: labels ``(examples,)`` or distributions ``(examples, classes)``.
      example_weights: non-negative, shape ``(examples,)``; None is all ones.
      block_size: rows per block, at least 1; None gives blocks of 32 MiB, as dense
        rows.

    Returns:
      The blocks, which can be iterated several times.

    Raises:
      ValueError: if the lengths differ, or ``block_size`` is below 1.
    """
    check.concrete("features", features)
    names = check.column_names(features)
    if check.is_sparse(features):
        features = check.as_csr("features", features)
    elif not check.is_array(features):
        features = check.features("features", features)
    for name, array in (("targets", targets), ("example_weights", example_weights)):
        check.concrete(name, array)
        if array is not None:
            check.one_per_example(name, len(array), num_examples=features.shape[0])
    if block_size is None:
        row_bytes = features.shape[1] * features.dtype.itemsize
        block_size = max(1, BLOCK_BYTES // row_bytes)
    check.integer("block_size", block_size, at_least=1)
    return ArrayBlocks(features, targets, example_weights, block_size, names)


def as_arrays(block: Block, *, name: str = "block") -> Block:
    """Converts a tuple of arrays, tables or lists to a `Block` of arrays.

    Args:
      block: features, targets and, unless they are all ones, weights.
      name: name of the block in error messages.

    Returns:
      The block, with features of the dtypes that the library computes with
      (`jaxlin.numerics.row_arrays.dense_rows`).
    """
    features, *others = block
    return Block(
        row_arrays.dense_rows(f"{name}.features", features),
        *(
            part if part is None else check.dense(f"{name}.{kind}", part)
            for kind, part in zip(Block._fields[1:], others, strict=False)
        ),
    )


def each_as_arrays(blocks: Iterable[Block]) -> Iterator[Block]:
    """Yields the blocks as arrays.

    Raises:
      ValueError: if tables have not the columns of the first, in their order, or if
        only some of the blocks are tables with named columns.
    """
    known: tuple[str, ...] | None = None
    attribute = "columns"
    for number, given in enumerate(blocks):
        features, name = given[0], f"blocks[{number}].features"
        found = check.column_names(features)
        if number == 0:
            known = found
            if hasattr(features, "column_names"):  # as PyArrow calls them
                attribute = "column_names"
        if (found is None) != (known is None):
            kinds = ["without names of columns", "with named columns"]
            raise ValueError(
                f"{name} must be {kinds[known is not None]} as in the first block, got "
                f"a {type(features).__name__} {kinds[found is not None]}; give all "
                "blocks as tables, or all as arrays"
            )
        check.check_column_names(
            name,
            features,
            known=known,
            owner="the first block",
            source=f"blocks[0].features.{attribute}",
        )
        yield as_arrays(given, name=f"blocks[{number}]")


def column_names(blocks: Iterable[Block]) -> tuple[str, ...] | None:
    """Returns the names of the columns of the first block; None if it has none."""
    if isinstance(blocks, ArrayBlocks):
        return blocks.feature_names
    return check.column_names(next(iter(blocks))[0])


def first_of(blocks: Iterable[Block]) -> Block:
    """Returns the first block, as arrays.

    Raises:
      ValueError: if there is no block, or ``blocks`` can be iterated only once.
    """
    if not isinstance(blocks, Iterable):
        raise ValueError(
            f"blocks must be iterable, got a {type(blocks).__name__}; give a list or "
            "jaxlin.objective.row_blocks.over(...)"
        )
    if iter(blocks) is blocks:
        raise ValueError(
            f"blocks must be iterable many times, got a {type(blocks).__name__}; give "
            "a list, jaxlin.objective.row_blocks.over(...), or an object whose "
            "__iter__ starts anew"
        )
    for block in blocks:
        return as_arrays(block, name="blocks[0]")
    raise ValueError("blocks must hold at least one block, got none")


def check_blocks(
    blocks: Iterable[Block], *, num_classes: int, num_features: int | None = None
) -> Iterator[Block]:
    """Checks each block with `jaxlin.check`, with its number in the error message.

    Args:
      blocks: iterable of `Block`, or of tuples of the same parts, that can be iterated
        several times.
      num_classes: number of classes C, at least 2.
      num_features: required number of columns; None takes that of the first block.

    Yields:
      The blocks, as arrays of the dtypes that the library computes with.

    Raises:
      ValueError: naming the block, the rule and the value; also if there is no block,
        or if ``blocks`` can be iterated only once.
    """
    first_of(blocks)
    is_weighted, rank, dtype, largest = None, None, None, 0.0
    classes: set[int] = set()
    for number, block in enumerate(each_as_arrays(blocks)):
        name = f"blocks[{number}]"
        features, targets, weights = check.examples(
            *block,
            num_classes=num_classes,
            num_features=num_features,
            prefix=f"{name}.",
            is_part=True,
        )
        num_features = features.shape[1]
        if rank not in (None, targets.ndim):
            raise ValueError(
                f"{name}.targets must have rank {rank} as in the blocks before, got "
                f"{targets.ndim}; labels and distributions do not mix"
            )
        rank = targets.ndim
        if dtype not in (None, features.dtype):
            raise ValueError(
                f"{name}.features must be {dtype} as in the blocks before, got "
                f"{features.dtype}"
            )
        dtype = features.dtype
        if is_weighted not in (None, weights is not None):
            raise ValueError(
                f"{name}.example_weights must be given in all blocks or in none"
            )
        is_weighted = weights is not None
        largest = max(largest, 1.0 if weights is None else float(weights.max()))
        if len(classes) < 2:
            found = check.present_classes(targets, example_weights=weights)
            classes.update(found.tolist())
        yield Block(features, targets, weights)
    if largest == 0:
        raise ValueError(
            "example_weights of all blocks must have a positive sum, got 0.0"
        )
    check.weight_size("example_weights of all blocks", largest)
    check.several_classes("targets of all blocks", np.array(sorted(classes)))


def class_weights(
    targets: np.ndarray, weights: np.ndarray, *, num_classes: int
) -> np.ndarray:
    """Total weights of the classes, shape ``(classes,)``.

    Args:
      targets: label codes ``(examples,)`` or distributions ``(examples, classes)``.
      weights: shape ``(examples,)``.
      num_classes: number of classes.
    """
    if targets.ndim == 2:
        return np.asarray(weights, np.float64) @ targets
    return np.bincount(targets, weights=weights, minlength=num_classes)
