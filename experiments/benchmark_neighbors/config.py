"""What a run measures: the fields of config.json and of the command line."""

import dataclasses
import importlib.util
from typing import Literal

from jaxlin import check

Part = Literal["memory", "l2", "l1", "recall", "accuracy"]
Peer = Literal["faiss", "sklearn"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits, an image set that tfds has prepared, or FILE.npz.
      what: memory, l2, l1 (times against the peers), recall (of an approximate search),
        accuracy (of one neighbour, all test images).
      peers: who is measured beside jaxlin.
      k: neighbours.
      l2_queries: test images for the squared Euclidean distance, the first so many.
      l1_queries: and for Manhattan.
      recall_target: what the approximate search is asked for.
      rounds: turns of each searcher.
      sklearn_rounds: turns of scikit-learn, which is the slowest by far.
      settle_s: seconds of sleep before each turn.
    """

    dataset: str = "cifar10"
    what: tuple[Part, ...] = ("memory", "l2", "l1", "recall", "accuracy")
    peers: tuple[Peer, ...] = ("faiss", "sklearn")
    k: int = 10
    l2_queries: int = 2000
    l1_queries: int = 50
    recall_target: float = 0.95
    rounds: int = 5
    sklearn_rounds: int = 1
    settle_s: float = 0.5


SMOKE = Config(
    dataset="digits",
    peers=("sklearn",),
    l2_queries=40,
    l1_queries=5,
    rounds=1,
    settle_s=0.0,
)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if not config.what:
        raise ValueError(
            "what must name memory, l2, l1, recall or accuracy, got nothing"
        )
    for name in ("k", "l2_queries", "l1_queries", "rounds", "sklearn_rounds"):
        check.integer(name, getattr(config, name), at_least=1)
    check.number("recall_target", config.recall_target, above=0, at_most=1)
    check.number("settle_s", config.settle_s, at_least=0)
    for peer in config.peers:
        if importlib.util.find_spec(peer) is None:
            raise ValueError(
                f"peers must be installed, got {peer}; pip install -e "
                '".[benchmark]", or name those that are with --peers'
            )
    return config
