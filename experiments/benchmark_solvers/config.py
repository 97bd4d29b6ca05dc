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
    Counts,
    Positive,
    Positives,
)
from experiments.common.losses import LossName
from jaxlin import data

Part = Literal["compare", "growth"]
Sizes = Annotated[tuple[int, ...], Bounds(at_least=2)]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits (with sizes of growth of its own), an image set that tfds
        has prepared, or FILE.npz.
      what: compare (peers and ours to the same objective), growth (time against the
        size of the problem).
      losses: compared, by their names in jaxlin.losses.
      l2s: strengths of half the sum of squares compared.
      peers: those whose name begins with one of these; none for ours alone.
      deadline_s: seconds after which a run of a peer is stopped.
      repeats: fits of ours that are timed, after one that compiles; also of growth.
      stop_at: relative distance above the reference at which a peer is stopped, by its
        own count; 0 lets each go on until it makes no more progress.
      max_evaluations: of a timed fit of ours.
      reference_gap: relative gap asked of the float64 reference.
      reference_evaluations: of the reference, after which it is taken as it is.
      settle_s: seconds of sleep before each measurement: threads of XLA, PyTorch and
        BLAS spin for a while after their work.
      growth_losses: losses whose growth is measured.
      growth_l2: their l2.
      growth_base: examples where the number of examples is not what grows.
      growth_examples: numbers of examples.
      growth_features: numbers of features.
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
    max_evaluations: Count = 1000
    reference_gap: Positive = 1e-6
    reference_evaluations: Count = 2000
    settle_s: Annotated[float, Bounds(at_least=0)] = 0.5
    growth_losses: tuple[LossName, ...] = (
        "softmax_cross_entropy",
        "weston_watkins_hinge",
    )
    growth_l2: Positive = 1e-3
    growth_base: Annotated[int, Bounds(at_least=2)] = 12_500
    growth_examples: Sizes = (3_125, 6_250, 12_500, 25_000, 50_000)
    growth_features: Counts = (192, 384, 768, 1536, 3072)
    growth_classes: Sizes = (3, 10, 30, 100)


# A thousand small images.
DIGITS = Config(
    dataset="digits",
    growth_base=1280,
    growth_examples=(160, 320, 640, 1280),
    growth_features=(8, 16, 32, 64),
)

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
    growth_base=320,
    growth_examples=(160, 320),
    growth_features=(32, 64),
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
    num_examples, num_features = dataset.train.features.shape
    for name, size, most in (
        ("growth_base", config.growth_base, num_examples),
        ("growth_examples", max(config.growth_examples), num_examples),
        ("growth_features", max(config.growth_features), num_features),
    ):
        if "growth" in config.what and size > most:
            raise ValueError(
                f"{name} must be at most {most} for {dataset.name}, got {size}; give "
                "smaller sizes, or leave growth out of --what"
            )
    return config
