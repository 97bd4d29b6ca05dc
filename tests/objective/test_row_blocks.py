"""Rows in blocks: what is read, when, and what is refused."""

import numpy as np
import pytest

from jaxlin.objective import row_blocks
from jaxlin.objective.row_blocks import Block


def rows_and_labels(count=10, width=3):
    return np.arange(count * width, dtype=np.uint8).reshape(count, width), (
        np.arange(count) % 2
    )


@pytest.mark.parametrize("block_size", [1, 3, 10, 99])
def test_blocks_are_the_rows_in_order_again_and_again(block_size):
    rows, labels = rows_and_labels()
    blocks = row_blocks.over(rows, labels, block_size=block_size)
    for _ in range(2):
        found = list(blocks)
        np.testing.assert_array_equal(
            np.concatenate([block.features for block in found]), rows
        )
        np.testing.assert_array_equal(
            np.concatenate([block.targets for block in found]), labels
        )
        assert max(len(block.targets) for block in found) == min(block_size, 10)


def test_a_memory_map_is_read_only_when_a_block_is_asked_for(tmp_path):
    rows, labels = rows_and_labels()
    np.save(tmp_path / "rows.npy", rows)
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r+")
    blocks = iter(row_blocks.over(mapped, labels, block_size=5))
    next(blocks)
    mapped[7] = 77
    assert (next(blocks).features[2] == 77).all()


def test_weights_come_with_their_rows():
    rows, labels = rows_and_labels()
    weights = np.linspace(0, 1, 10)
    blocks = row_blocks.over(rows, labels, example_weights=weights, block_size=4)
    np.testing.assert_array_equal(list(blocks)[1].example_weights, weights[4:8])


def test_a_default_block_is_many_megabytes_and_not_all():
    rows = np.lib.stride_tricks.as_strided(
        np.zeros(3072, np.uint8), (50_000, 3072), (0, 1)
    )
    blocks = row_blocks.over(rows, np.zeros(50_000))
    assert blocks.block_size * 3072 <= 32 * 2**20 < (blocks.block_size + 1) * 3072


def test_bad_arrays_are_refused():
    rows, labels = rows_and_labels()
    with pytest.raises(ValueError, match="targets must have one entry per example"):
        row_blocks.over(rows, labels[1:])
    with pytest.raises(ValueError, match="example_weights must have one entry"):
        row_blocks.over(rows, labels, example_weights=np.ones(3))
    with pytest.raises(ValueError, match="block_size must be at least 1, got 0"):
        row_blocks.over(rows, labels, block_size=0)


GOOD = Block(np.ones((2, 3)), np.array([0, 1]))


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([], "blocks must hold at least one block"),
        ((block for block in [GOOD]), "iterable many times, got a generator"),
        ([GOOD, GOOD._replace(features=np.ones((2, 4)))], r"blocks\[1\].features"),
        ([GOOD._replace(features=np.full((2, 3), np.nan))], r"blocks\[0\].features"),
        ([GOOD, GOOD._replace(targets=np.array([0, 2]))], r"blocks\[1\].targets .* 2"),
        ([GOOD._replace(targets=np.array([0]))], r"blocks\[0\].targets .* one entry"),
        (
            [GOOD, GOOD._replace(example_weights=np.ones(2))],
            r"blocks\[1\].example_weights must be given in all blocks or in none",
        ),
        (
            [GOOD._replace(example_weights=-np.ones(2))],
            r"blocks\[0\].example_weights must be finite and at least 0",
        ),
        (
            2 * [GOOD._replace(targets=np.array([1, 1]))],
            "targets of all blocks must name at least two classes, got only class 1",
        ),
        (
            [GOOD._replace(example_weights=np.array([0, 1]))],
            "targets of all blocks must name at least two classes, got only class 1",
        ),
        ([GOOD._replace(targets=[["a"], ["b"]])], r"blocks\[0\].targets .* text 'a'"),
        (
            [GOOD._replace(targets=[[["a"]]])],
            r"targets .*shape \(1, 1, 1\)",
        ),
        (
            2 * [GOOD._replace(example_weights=np.full(2, 1e-30))],
            "example_weights of all blocks must have their largest between",
        ),
    ],
)
def test_bad_blocks_are_named(blocks, message):
    with pytest.raises(ValueError, match=message):
        list(row_blocks.check_blocks(blocks, num_classes=2))


def test_a_block_may_be_of_one_class():
    each = [GOOD._replace(targets=np.array([label, label])) for label in (1, 0)]
    assert len(list(row_blocks.check_blocks(each, num_classes=2))) == 2
