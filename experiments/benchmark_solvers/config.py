"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
from typing import Literal

from experiments.benchmark_solvers import peers
from experiments.benchmark_solvers.isolation import Peer
from experiments.common.losses import CERTIFIED
from jaxlin import check, data

Part = Literal["compare", "gradient", "growth"]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: cifar10, digits (with sizes of growth of its own), an image set that tfds
        has prepared, or FILE.npz.
      what: compare (peers and ours to the same objective), gradient (one pass against
        the machine's floor), growth (time against the size of the problem).
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
      rounds: measurements of each gradient, each of several passes.
      matrix_size: of the square products that the matrix rate is measured on.
      read_megabytes: of the array that the read bandwidth is measured on.
      growth_losses: losses whose growth is measured.
      growth_l2: their l2; a grid of models goes from it to a hundred times as much.
      growth_base: examples where the number of examples is not what grows.
      growth_examples: numbers of examples.
      growth_features: numbers of features.
      growth_classes: numbers of classes.
      growth_models: numbers of models fitted at once.
    """

    dataset: str = "cifar10"
    what: tuple[Part, ...] = ("compare", "gradient", "growth")
    losses: tuple[str, ...] = tuple(CERTIFIED)
    l2s: tuple[float, ...] = (1e-1, 1e-2, 1e-3, 1e-4)
    peers: tuple[str, ...] = ("scikit-learn", "LIBLINEAR", "PyTorch", "optax", "jaxopt")
    deadline_s: float = 600.0
    repeats: int = 3
    stop_at: float = 5e-5
    max_evaluations: int = 1000
    reference_gap: float = 1e-6
    reference_evaluations: int = 2000
    settle_s: float = 0.5
    rounds: int = 15
    matrix_size: int = 4096
    read_megabytes: int = 1024
    growth_losses: tuple[str, ...] = ("softmax_cross_entropy", "weston_watkins_hinge")
    growth_l2: float = 1e-3
    growth_base: int = 12_500
    growth_examples: tuple[int, ...] = (3_125, 6_250, 12_500, 25_000, 50_000)
    growth_features: tuple[int, ...] = (192, 384, 768, 1536, 3072)
    growth_classes: tuple[int, ...] = (3, 10, 30, 100)
    growth_models: tuple[int, ...] = (1, 4, 16, 64)


# A thousand small images.
DIGITS = Config(
    dataset="digits",
    growth_base=1280,
    growth_examples=(160, 320, 640, 1280),
    growth_features=(8, 16, 32, 64),
    growth_classes=(3, 10, 30, 100),
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
    rounds=2,
    matrix_size=256,
    read_megabytes=8,
    growth_losses=("softmax_cross_entropy",),
    growth_l2=1e-2,
    growth_base=320,
    growth_examples=(160, 320),
    growth_features=(32, 64),
    growth_classes=(3, 10),
    growth_models=(1, 4),
)


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    if not config.what:
        raise ValueError("what must name compare, gradient or growth, got nothing")
    for name in ("losses", "growth_losses"):
        for loss in _several(name, getattr(config, name)):
            check.choice(name, loss, tuple(CERTIFIED))
    check.numbers_list("l2s", config.l2s, above=0)
    for word in config.peers:
        if not any(peer.name.startswith(word) for peer in peers.PEERS):
            known = ", ".join(dict.fromkeys(peer.name for peer in peers.PEERS))
            raise ValueError(
                f"peers must be beginnings of the names {known}, got {word!r}"
            )
    for name in ("deadline_s", "reference_gap", "growth_l2"):
        check.number(name, getattr(config, name), above=0)
    for name in ("stop_at", "settle_s"):
        check.number(name, getattr(config, name), at_least=0)
    for name in (
        *("repeats", "max_evaluations", "reference_evaluations"),
        *("rounds", "matrix_size", "read_megabytes"),
    ):
        check.integer(name, getattr(config, name), at_least=1)
    least = {"growth_examples": 2, "growth_classes": 2}
    for name in ("examples", "features", "classes", "models"):
        sizes = check.numbers_list(f"growth_{name}", getattr(config, f"growth_{name}"))
        for size in sizes:
            lowest = least.get(f"growth_{name}", 1)
            check.number(f"growth_{name}", size, at_least=lowest)
    check.integer("growth_base", config.growth_base, at_least=2)
    return config


def check_fits(config: Config, dataset: data.Dataset) -> None:
    """Raises a ValueError if growth asks for more than the data set has."""
    if "growth" not in config.what:
        return
    num_examples, num_features = dataset.train.features.shape
    for name, size, most in (
        ("growth_base", config.growth_base, num_examples),
        ("growth_examples", max(config.growth_examples), num_examples),
        ("growth_features", max(config.growth_features), num_features),
    ):
        if size > most:
            raise ValueError(
                f"{name} must be at most {most} for {dataset.name}, got {size}; give "
                "smaller sizes, or leave growth out of --what"
            )


def chosen_peers(config: Config, loss: str) -> tuple[Peer, ...]:
    """The peers of a loss that ``config`` asks for."""
    return tuple(peer for peer in peers.of(loss) if peer.name.startswith(config.peers))


def _several(name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    if not values or len(set(values)) < len(values):
        raise ValueError(f"{name} must be distinct and not empty, got {values!r}")
    return values
