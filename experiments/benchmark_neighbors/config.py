"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
import importlib.util
from typing import Annotated, Literal, get_args

from experiments.common.config import MAY_BE_EMPTY, Bounds, Count
from jaxlin import data

Part = Literal["memory", "l2", "l1", "recall", "accuracy"]
Peer = Literal["faiss", "faiss_uint8", "sklearn"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits, an image set that tfds has prepared, or FILE.npz.
      what: memory, l2, l1 (times against the peers), recall (of an approximate search),
        accuracy (of one neighbour, all test images).
      peers: who is measured beside jaxlin. faiss_uint8 keeps the bytes of uint8 rows,
        for squared Euclidean distance alone.
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
    peers: Annotated[tuple[Peer, ...], MAY_BE_EMPTY] = get_args(Peer)
    k: Count = 10
    l2_queries: Count = 2000
    l1_queries: Count = 50
    recall_target: Annotated[float, Bounds(above=0, at_most=1)] = 0.95
    rounds: Count = 5
    sklearn_rounds: Count = 1
    settle_s: Annotated[float, Bounds(at_least=0)] = 0.5


SMOKE = Config(
    dataset="digits",
    peers=("sklearn",),
    l2_queries=40,
    l1_queries=5,
    rounds=1,
    settle_s=0.0,
)


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config, if its peers are installed.

    Raises:
      ValueError: that names the peer and the remedy.
    """
    for peer in config.peers:
        if importlib.util.find_spec(peer.removesuffix("_uint8")) is None:
            raise ValueError(
                f"peers must be installed, got {peer}; pip install -e "
                '".[benchmark]", or name those that are with --peers'
            )
    return config
