"""Rows per block of a pass, by the shape and the kind of machine."""

import pytest

from jaxlin.objective import block_sizes


@pytest.mark.usefixtures("as_on_accelerator")
def test_blocks_of_an_accelerator_are_few_and_even():
    assert block_sizes.rows_per_block(50_000, 768, num_scores=10) == 50_000
    assert block_sizes.rows_per_block(50_000, 3072, num_scores=10) == 16_667
    assert block_sizes.rows_per_block(7, 10**9) == 1


@pytest.mark.usefixtures("as_on_cpu")
def test_blocks_fit_the_rows_and_the_cache():
    assert block_sizes.rows_per_block(10, 4) == 10
    assert block_sizes.rows_per_block(1, 10**9) == 1
    assert block_sizes.rows_per_block(50_000, 10**9) == 32
    # Eight numbers of each score.
    assert block_sizes.rows_per_block(10**9, 10, num_scores=1000) == 96
    # Sums that do not fit into the cache want long blocks.
    assert block_sizes.rows_per_block(10**9, 3072, num_scores=1280) == 480
    assert (
        block_sizes.rows_per_block(10**9, 384, num_scores=32_000) == 1_500_000 // 32_000
    )
    for width in (3072, 12_000):
        rows = block_sizes.rows_per_block(10**9, width)
        assert 4 * rows * width <= 6_000_000 < 4 * (rows + 96) * width


@pytest.mark.usefixtures("as_on_cpu")
def test_blocks_of_narrow_rows_are_longer_and_whole_panels():
    rows = [
        block_sizes.rows_per_block(10**9, width) for width in (100, 256, 384, 768, 3072)
    ]
    assert rows == [4800, 1920, 960, 480, 480]


@pytest.mark.usefixtures("as_on_cpu")
def test_few_rows_are_one_block():
    """One block compiles in half the time of a loop over blocks and its rest."""
    assert block_sizes.rows_per_block(1297, 64, num_scores=10) == 1297
    assert block_sizes.rows_per_block(9375, 160) == 9375
    assert block_sizes.rows_per_block(9376, 160) == 2880
