"""Number of rows per block of a pass."""

from jaxlin.numerics import device_mesh
from jaxlin.objective import part_sums

# Numbers in a block of float rows. 6 MB in float32 stay in the cache between the two
# products, and a product of that size still keeps all cores busy: measured on CIFAR-10,
# where 250 to 1,000 rows are equally fast and 2,000 take twice as long.
_BLOCK_NUMBERS = 1_500_000
# Rows in a block of wide rows, and the numbers in a block of narrow ones, which is
# longer: each block costs .05 ms beside its products, and XLA computes the terms of
# short blocks on one core. On an AMD EPYC with two cores, ms per pass with blocks of
# about 500, 1,000, 2,000 and 4,000 rows: 20,000 x 256 x 50 takes 8.2, 6.8, 5.9, 5.6;
# 20,000 x 384 x 100 takes 14.6, 12.8, 12.1, 12.9; 50,000 x 768 x 10 takes 14.5, 16.8,
# 17.7, 22.3.
_SHORT_BLOCK_ROWS = 480
_LONG_BLOCK_NUMBERS = 500_000
# Blocks are multiples of this, twice the panel of Eigen's products with AVX-512: blocks
# of 480, 488, 496 and 512 rows of 50,000 x 768 x 10 take 13.4 to 14.8 ms, those of 500,
# 504 and 520 rows 16.6 to 20.4.
_PANEL_ROWS = 96
# Numbers in a block on accelerators, intermediate results included. They are fastest
# with few, large products: on an NVIDIA H200 a pass of one softmax model over
# 50,000 x 768 floats takes .67 ms in one block, 3.3 ms in blocks of 488 rows.
_ACCELERATOR_BLOCK_NUMBERS = 2**26


def rows_per_block(num_rows: int, num_features: int, *, num_scores: int = 1) -> int:
    """Default number of rows per block.

    On a CPU a block stays in the cache as floats. On accelerators, which are fastest
    with large products, a block and its intermediate results fit into 256 MB. A pass
    under `jax.vmap` needs that much for each mapped element.

    Args:
      num_rows: number of rows, at least 1.
      num_features: number of features, at least 1.
      num_scores: scores per row, over all classes and models; default 1.
    """
    if device_mesh.on_accelerator():
        per_row = (
            num_features
            + 8 * num_scores
            + num_features * num_scores // part_sums.PART_ROWS
        )
        largest = max(1, _ACCELERATOR_BLOCK_NUMBERS // per_row)
        return -(-num_rows // -(-num_rows // largest))
    # Several intermediate numbers belong to each score. But sums that are too large for
    # the cache are read and written once per block, so that blocks must be long: for
    # 128 models of CIFAR-10, 488 rows reach 80 % of the matrix rate, 146 rows 63 %.
    are_cached = num_features * num_scores <= _BLOCK_NUMBERS
    numbers = max(num_features, (8 if are_cached else 1) * num_scores)
    # Few rows are one block, which compiles in half the time of a loop and its rest.
    if num_rows * numbers <= _BLOCK_NUMBERS:
        return num_rows
    longest = max(32, _BLOCK_NUMBERS // numbers)
    wanted = max(_SHORT_BLOCK_ROWS, _LONG_BLOCK_NUMBERS // num_features)
    rows = min(longest, wanted)
    for unit in (_SHORT_BLOCK_ROWS, _PANEL_ROWS):
        if rows >= unit:
            rows -= rows % unit
    return max(1, min(num_rows, rows))
