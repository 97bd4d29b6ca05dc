"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, get_args

from experiments.common.config import Bounds, Count, Positive, Positives
from experiments.common.losses import LossName


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the table.

    Attributes:
      dataset: cifar10, digits, a prepared image set, or an .npz file.
      losses: names of losses in `jaxlin.losses`.
      l2: strengths, fitted from the first to the last with warm starts.
      relative_gap: asked of a first fit; from its margins follows the gap that the
        share needs.
      certified_share: share of test labels to prove.
      max_passes: of the first fit, and of what follows.
    """

    dataset: str = "cifar10"
    losses: tuple[LossName, ...] = get_args(LossName)
    l2: Positives = (1e-1, 1e-2, 1e-3, 1e-4)
    relative_gap: Positive = 1e-4
    certified_share: Annotated[float, Bounds(at_least=0, at_most=1)] = 0.95
    max_passes: Count = 600


SMOKE = Config(
    dataset="digits",
    losses=("softmax_cross_entropy", "crammer_singer_hinge"),
    l2=(1e-1, 1e-2),
    relative_gap=1e-3,
    certified_share=0.5,
    max_passes=60,
)
