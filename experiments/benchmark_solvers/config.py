"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
from typing import Annotated, Literal, get_args

import jax
import numpy as np

from experiments.benchmark_solvers.peers import PEERS
from experiments.common.config import (
    MAY_BE_EMPTY,
    Bounds,
    Count,
    Positive,
    Positives,
)
from experiments.common.losses import LossName
from jaxlin import data

Part = Literal["compare", "growth"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits, an image set that tfds has prepared, or FILE.npz.
      what: compare (peers and ours to the same objective), growth (time against the
        size of the problem).
      losses: compared, by their names in jaxlin.losses.
      l2s: strengths of half the sum of squares compared.
      peers: those whose name begins with one of these; none for ours alone.
      deadline_s: seconds after which a run of a peer is stopped.
      repeats: fits of ours that are timed, after one that compiles; also of growth.
      stop_at: relative distance above the reference at which a peer is stopped, by its
        own count; 0 lets each go on until it makes no more progress.
      max_passes: of a timed fit of ours.
      reference_gap: relative gap asked of the float64 reference.
      reference_passes: of the reference, after which it is taken as it is.
      settle_s: seconds of sleep before each measurement: threads of XLA, PyTorch and
        BLAS spin for a while after their work.
      growth_losses: losses whose growth is measured.
      growth_l2: their l2.
      growth_halvings: how often all examples, or features, are halved: each half is a
        size. A quarter of the examples is used where something else grows.
      growth_classes: numbers of classes.
    """

    dataset: str = "cifar10"
    what: tuple[Part, ...] = ("compare", "growth")
    losses: tuple[LossName, ...] = get_args(LossName)
    l2s: Positives = (1e-1, 1e-2, 1e-3, 1e-4)
    peers: Annotated[tuple[str, ...], MAY_BE_EMPTY] = (
        "scikit-learn",
        "LIBLINEAR",
        "PyTorch",
        "optax",
        "jaxopt",
    )
    deadline_s: Positive = 600.0
    repeats: Count = 3
    stop_at: Annotated[float, Bounds(at_least=0)] = 5e-5
    max_passes: Count = 1000
    reference_gap: Positive = 1e-6
    reference_passes: Count = 2000
    settle_s: Annotated[float, Bounds(at_least=0)] = 0.5
    growth_losses: tuple[LossName, ...] = (
        "softmax_cross_entropy",
        "weston_watkins_hinge",
    )
    growth_l2: Positive = 1e-3
    growth_halvings: Annotated[int, Bounds(at_least=0)] = 4
    growth_classes: Annotated[tuple[int, ...], Bounds(at_least=2)] = (3, 10, 30, 100)


SMOKE = Config(
    dataset="digits",
    losses=("softmax_cross_entropy", "crammer_singer_hinge"),
    l2s=(1e-2,),
    peers=("scikit-learn lbfgs", "LIBLINEAR"),
    deadline_s=20.0,
    repeats=1,
    reference_gap=1e-5,
    settle_s=0.0,
    growth_losses=("softmax_cross_entropy",),
    growth_l2=1e-2,
    growth_halvings=2,
    growth_classes=(3, 10),
)


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config, if the benchmark can be made of it on this machine.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if jax.default_backend() != "cpu":
        raise ValueError(
            "the benchmark must run on the CPU, where all peers do, got "
            f"{jax.default_backend()}; set JAX_PLATFORMS=cpu"
        )
    for word in config.peers:
        if not any(peer.name.startswith(word) for peer in PEERS):
            known = ", ".join(peer.name for peer in PEERS)
            raise ValueError(
                f"peers must be beginnings of the names {known}, got {word!r}"
            )
    # Peers count the classes that they see.
    missing = np.setdiff1d(np.arange(dataset.num_classes), dataset.train.labels)
    if "compare" in config.what and len(missing):
        raise ValueError(
            f"labels of {dataset.name} must name every class, got none of {missing[0]}"
        )
    return config
