"""Both ways to compile a file of tests: as users do, and as the suite does."""

import pytest

# What bounds rounding must do so whatever the compiler makes of the sums: in the
# default run as users compile it, with ``--full`` also as the rest of the suite does.
BOTH = pytest.mark.parametrize(
    "optimizations",
    [
        pytest.param(False, id="optimized"),
        pytest.param(True, id="quick", marks=pytest.mark.full),
    ],
    indirect=True,
    scope="module",
)
