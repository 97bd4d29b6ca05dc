"""Both ways to compile a file of tests: as users do, and as the suite does."""

import pytest

# What bounds rounding must do so whatever the compiler makes of the sums.
BOTH = pytest.mark.parametrize(
    "optimizations",
    [pytest.param(False, id="optimized"), pytest.param(True, id="quick")],
    indirect=True,
    scope="module",
)
