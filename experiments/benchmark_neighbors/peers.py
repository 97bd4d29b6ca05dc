"""Other libraries' exact searches over the same rows."""

from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.common import environment

# Queries in, distances and indices out.
Search = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def faiss(rows: np.ndarray, *, distance: str, k: int) -> Search:
    """A flat index of float32 rows, on all cores that the process may use."""
    import faiss as library

    library.omp_set_num_threads(environment.usable_cores())
    metric = {"l2": library.METRIC_L2, "l1": library.METRIC_L1}[distance]
    index = library.IndexFlat(rows.shape[1], metric)
    index.add(rows.astype(np.float32))
    return lambda queries: index.search(queries.astype(np.float32), k)


def faiss_uint8(rows: np.ndarray, *, distance: str, k: int) -> Search | None:
    """A flat index of the bytes of uint8 rows; None for others and for Manhattan."""
    if rows.dtype != np.uint8 or distance != "l2":
        return None
    import faiss as library

    library.omp_set_num_threads(environment.usable_cores())
    kind = library.ScalarQuantizer.QT_8bit_direct
    index = library.IndexScalarQuantizer(rows.shape[1], kind, library.METRIC_L2)
    index.add(rows.astype(np.float32))
    return lambda queries: index.search(queries.astype(np.float32), k)


def sklearn(rows: np.ndarray, *, distance: str, k: int) -> Search:
    """Brute force over float32 rows; the threads are those of NumPy and its own."""
    from sklearn.neighbors import NearestNeighbors

    metric = {"l2": "sqeuclidean", "l1": "manhattan"}[distance]
    found = NearestNeighbors(
        n_neighbors=k,
        algorithm="brute",
        metric=metric,
        n_jobs=environment.usable_cores(),
    )
    found.fit(rows.astype(np.float32))
    return lambda queries: found.kneighbors(queries.astype(np.float32))


PEERS: dict[str, Any] = {
    "faiss": faiss,
    "faiss_uint8": faiss_uint8,
    "sklearn": sklearn,
}
