r"""Nearest-neighbour classification with exact search.

Four independent arguments define a memory-based learner: the distance ``metric``, the
number of neighbours ``k``, their ``weighting``, and the local ``fit`` to them.

  >>> import numpy as np
  >>> from jaxlin.neighbors import distances
  >>> from jaxlin import neighbors
  >>> rows = np.random.default_rng(0).integers(0, 256, (90, 12), dtype=np.uint8)
  >>> labels = np.arange(90) % 3
  >>> found = neighbors.nearest(rows, rows[:5], metric=distances.manhattan, k=7)
  >>> every_k = neighbors.vote(found, labels, num_classes=3)  # one pass for all k
  >>> print(every_k.shape, every_k[:, 0])
  (5, 7) [0 1 2 0 1]

The modules:

  callbacks          checks of metrics, weightings and local fits given by the caller
  distances          distance of one pair of rows
  integer_distances  exact distances of all pairs of uint8 rows
  pairwise           distances of all pairs, in blocks of rows
  top_k              streaming top-k over blocks of candidates
  bounds             float32 lower bounds that certify a search as exact
  rerank             exact distances of a few candidates, in float64 or integers
  scan               one pass over the training rows, in blocks
  projections        lower bounds of wide rows from projections on few directions
  search             `nearest`, `nearest_others` (leave-one-out, folds), `recall`
  voting             `vote`, `shares`; `uniform`, `inverse_distance`, `gaussian`
  local_fits         `local_fit`; `majority`, `weighted_vote`, `linear_classifier`
"""

from jaxlin import chapters
from jaxlin.neighbors.local_fits import (
    linear_classifier,
    local_fit,
    majority,
    weighted_vote,
)
from jaxlin.neighbors.search import Neighbors, nearest, nearest_others, recall
from jaxlin.neighbors.voting import gaussian, inverse_distance, shares, uniform, vote

__getattr__ = chapters.loader(__name__)
__all__ = [
    "Neighbors",
    "gaussian",
    "inverse_distance",
    "linear_classifier",
    "local_fit",
    "majority",
    "nearest",
    "nearest_others",
    "recall",
    "shares",
    "uniform",
    "vote",
    "weighted_vote",
]
