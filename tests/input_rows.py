"""Rows that every dtype holds, for the tests of inputs; one shape, shared programs."""

import numpy as np

# Whole numbers from 0 to 5; the last column is 0 and 1.
ROWS = np.random.default_rng(0).integers(0, 6, (48, 4)).astype(np.float32)
ROWS[:, 3] = np.arange(48) % 2
LABELS = (ROWS @ [2.0, -1.0, 1.0, 3.0] + np.arange(48) % 5 > 9).astype(int)
COLUMNS = ("height", "width", "age", "is_new")
