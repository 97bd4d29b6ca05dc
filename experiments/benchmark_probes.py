"""Time of a probe's path on embeddings of many classes.

Question. A linear probe compares 45 values of C from 1e-6 to 1e5. On generated
embeddings of four shapes: how long does `jaxlin.sweep` take to prove a relative gap of
1e-3 for all of them, and how long does scikit-learn at its defaults?

Method. Latent rows are standard normal around class means with components of standard
deviation 0.25, mixed by a normal matrix whose column j is divided by sqrt(1 + j), and
standardised; class c has a share proportional to 1 / (5 + c). Both get the same
float32 rows, and penalise the bias as the weight of a constant feature. Ours is timed
twice: the first call compiles. scikit-learn's `LogisticRegression` fits every
``peer_step``-th C, one after the other; its time for all is estimated from their mean.
At its defaults it stops at 100 iterations or at a gradient of 1e-4, where losses are
small at once: the distance of an answer is that of its objective from ours, over ours.
A second time is that of as many iterations and as small a tolerance, divided by 10 at a
time, as a distance of at most the proven gap takes.

Command. ``python -m experiments.benchmark_probes``. Many classes, without peers:
``--solvers --shapes 20000 768 1000`` on two cores, and ``--solvers --shapes 1280000
1024 1000`` on a GPU of 80 GB with 64 GB beside it, once more with ``--products
BF16_BF16_F32_X6``.
"""

import contextlib
import dataclasses
import functools
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import jax
import numpy as np

import jaxlin
from experiments.common import sklearn_models, timing
from experiments.common.config import MAY_BE_EMPTY, Bounds, Count, Positive, Seed
from experiments.common.environment import usable_cores
from experiments.common.measurements import Measurements, main
from experiments.common.numpy_objective import Data, objective
from experiments.common.text_table import text_table
from jaxlin import check, losses
from jaxlin.linear_probe import CS
from jaxlin.objective import penalties

Solver = Literal["lbfgs", "newton-cholesky", "intelex", "torch"]
Products = Literal["float32", "BF16_BF16_F32_X6", "TF32_TF32_F32_X3"]
# Modules of the solvers that are not scikit-learn's own, and their packages.
_MODULES = {
    "intelex": ("sklearnex", "scikit-learn-intelex"),
    "torch": ("torch", "torch"),
}
# Of scikit-learn; PyTorch gets the same.
_DEFAULT_TOLERANCE = 1e-4
_DEFAULT_ITERATIONS = 100
_LEAST_TOLERANCE = 1e-9
# Largest number of iterations where the tolerance is not the default.
_MAX_ITERATIONS = 3000
# Above this number of weights the Hessian of newton-cholesky takes a gigabyte.
_MAX_CHOLESKY = 10_000


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the benchmark.

    Attributes:
      shapes: examples, features and classes of each data set.
      num_cs: values of C, evenly spaced over those of a probe.
      relative_gap: gap to be proven.
      max_passes: largest number of passes of a model.
      solvers: solvers of scikit-learn, "intelex", lbfgs of the Extension for
        scikit-learn, and "torch", `torch.optim.LBFGS` with a strong Wolfe line search;
        none measures no peer.
      peer_step: every so many values of C are fitted by a peer.
      products: products over the rows in our passes: float32, or split for tensor
        cores (`jaxlin.numerics.precision.row_precision`), where the device has them.
      seed: seed of the data.
    """

    shapes: tuple[tuple[int, int, int], ...] = (
        (20_000, 256, 50),
        (50_000, 768, 10),
        (20_000, 384, 100),
        (10_000, 64, 20),
    )
    num_cs: Annotated[int, Bounds(at_least=1, at_most=len(CS))] = len(CS)
    relative_gap: Positive = 1e-3
    max_passes: Count = 1000
    solvers: Annotated[tuple[Solver, ...], MAY_BE_EMPTY] = ("lbfgs",)
    peer_step: Count = 6
    products: Products = "float32"
    seed: Seed = 0


SMOKE = Config(shapes=((300, 8, 3),), num_cs=4, peer_step=2)


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError for a bad shape or a missing solver."""
    for solver in config.solvers:
        module, package = _MODULES.get(solver, ("sklearn", "scikit-learn"))
        if importlib.util.find_spec(module) is None:
            raise ValueError(
                f"solvers must be installed, got {solver}; run pip install {package}, "
                "or leave it out"
            )
    check_shapes(config.shapes)
    return config


def check_shapes(shapes: Sequence[tuple[int, int, int]]) -> None:
    """Raises a ValueError for examples, features and classes that are too few."""
    for shape in shapes:
        for name, number, least in zip(
            ("examples", "features", "classes"), shape, (10, 1, 2), strict=True
        ):
            check.integer(f"shapes: {name}", number, at_least=least)
        check.integer("shapes: examples", shape[0], at_least=2 * shape[2])


def embeddings(
    num_examples: int, num_features: int, num_classes: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Standardised rows, float32, and their labels."""
    generator = np.random.default_rng(seed)
    shares = 1 / (5 + np.arange(num_classes))
    labels = generator.choice(num_classes, num_examples, p=shares / shares.sum())
    means = 0.25 * generator.normal(size=(num_classes, num_features))
    mixing = generator.normal(size=(num_features, num_features))
    mixing /= np.sqrt(1 + np.arange(num_features))
    latent = generator.normal(size=(num_examples, num_features)) + means[labels]
    rows = latent @ mixing
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    return rows.astype(np.float32), labels


def sweep_times(
    rows: np.ndarray, labels: np.ndarray, l2s: tuple[float, ...], config: Config
) -> Any:
    """Path of certified fits, timed with and without compiling."""

    def call() -> jaxlin.SweepResult:
        with _products(config.products):
            return jaxlin.sweep(
                jaxlin.problem(rows, labels),
                losses=(losses.softmax_cross_entropy,),
                l2s=l2s,
                stop=jaxlin.Stop(config.relative_gap, config.max_passes),
                # There are no split products in float64.
                refine=None if config.products == "float32" else False,
            )

    _, first_seconds = timing.timed(call)
    fits, seconds = timing.timed(call)
    return {
        "first_seconds": first_seconds,
        "seconds": seconds,
        "proven": int(fits.converged.sum()),
        "largest_gap": float(fits.relative_gap.max()),
        "passes": int(fits.passes.sum()),
        "float64_passes": int(fits.float64_passes.sum()),
        "objectives": fits.certificate.primal.tolist(),
    }


def _products(products: Products) -> contextlib.AbstractContextManager[Any]:
    """Context under which passes take these products."""
    if products == "float32":
        return contextlib.nullcontext()
    return jax.default_matmul_precision(products)


def peer_times(
    solver: str,
    data: Data,
    l2s: tuple[float, ...],
    objectives: Sequence[float],
    config: Config,
) -> dict[str, Any] | None:
    """Fits of a peer at its defaults; None where they need too much memory.

    Args:
      solver: one of ``Config.solvers``.
      data: rows with the constant 1, and labels.
      l2s: strengths of the penalty, of which every ``peer_step``-th is fitted.
      objectives: our objectives at ``l2s``.
      config: the settings.
    """
    weights = data.rows.shape[1] * (data.targets.max() + 1)
    if solver == "newton-cholesky" and weights > _MAX_CHOLESKY:
        return None
    answers, to_gap = [], []
    for l2, ours in list(zip(l2s, objectives, strict=True))[:: config.peer_step]:
        tolerance = _DEFAULT_TOLERANCE
        answer = _fit_peer(solver, data, l2=l2, ours=ours, tolerance=tolerance)
        answers.append(answer)
        while answer["distance"] > config.relative_gap and tolerance > _LEAST_TOLERANCE:
            tolerance /= 10
            answer = _fit_peer(solver, data, l2=l2, ours=ours, tolerance=tolerance)
        is_near = answer["distance"] <= config.relative_gap
        to_gap.append(answer["seconds"] if is_near else None)
    reached = [each for each in to_gap if each is not None]
    distances = [one["distance"] for one in answers]
    return {
        "fitted": len(answers),
        "seconds": float(np.mean([one["seconds"] for one in answers]) * len(l2s)),
        "at_limit": sum(one["is_at_limit"] for one in answers),
        "within": sum(each <= config.relative_gap for each in distances),
        "distances": distances,
        "reached": len(reached),
        "seconds_to_gap": float(np.mean(reached) * len(l2s)) if reached else None,
    }


def _fit_peer(
    solver: str, data: Data, *, l2: float, ours: float, tolerance: float
) -> dict[str, Any]:
    """Seconds of a fit of a peer, and how far its objective is above ours."""
    max_iter = _DEFAULT_ITERATIONS
    if tolerance != _DEFAULT_TOLERANCE:
        max_iter = _MAX_ITERATIONS
    fit = _fit_torch if solver == "torch" else functools.partial(_fit_sklearn, solver)
    weights, iterations, seconds = fit(data, l2, tolerance, max_iter)
    theirs = objective(
        weights.astype(np.float64), data, loss="softmax_cross_entropy", l2=l2
    )
    return {
        "seconds": seconds,
        "distance": theirs / ours - 1,
        "is_at_limit": iterations >= max_iter,
    }


def _fit_sklearn(
    solver: str, data: Data, l2: float, tolerance: float, max_iter: int
) -> tuple[np.ndarray, int, float]:
    """Weights, iterations and seconds of `LogisticRegression`."""
    model = sklearn_models.logistic_regression(
        data.targets, l2=l2, solver=solver, tol=tolerance, max_iter=max_iter
    )
    seconds = sklearn_models.seconds_of_fit(model, data.rows, data.targets)
    return sklearn_models.weights_of(model), int(np.max(model.n_iter_)), seconds


def _fit_torch(
    data: Data, l2: float, tolerance: float, max_iter: int
) -> tuple[np.ndarray, int, float]:
    """Weights, iterations and seconds of `torch.optim.LBFGS` from zero, in float32."""
    import torch

    torch.set_num_threads(usable_cores())
    rows, labels = torch.from_numpy(data.rows), torch.from_numpy(data.targets)
    shape = (int(data.targets.max()) + 1, data.rows.shape[1])
    weights = torch.zeros(shape, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weights],
        max_iter=max_iter,
        tolerance_grad=tolerance,
        # Far below, so that the gradient decides.
        tolerance_change=1e-4 * tolerance,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Any:
        optimizer.zero_grad()
        scores = torch.nn.functional.linear(rows, weights)
        value = torch.nn.functional.cross_entropy(scores, labels)
        value = value + l2 / 2 * weights.square().sum()
        value.backward()
        return value

    _, seconds = timing.timed(optimizer.step, closure)
    iterations = optimizer.state[weights]["n_iter"]
    return weights.detach().numpy(), iterations, seconds


def items(config: Config) -> tuple[tuple[int, int, int], ...]:
    """The shapes."""
    return config.shapes


def measured(config: Config, _: None, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Times of one shape."""
    rows, labels = embeddings(*shape, seed=config.seed)
    cs = np.asarray(CS)[np.linspace(0, len(CS) - 1, config.num_cs).round().astype(int)]
    l2s = penalties.l2_of_c(
        tuple(cs.tolist()), total_weight=shape[0], num_classes=shape[2]
    )
    found = sweep_times(rows, labels, l2s, config)
    peers = {}
    if config.solvers:
        extended = np.c_[rows, np.ones(len(rows), rows.dtype)]
        data = Data(extended, labels, np.ones(len(rows)))
        peers = {
            name: peer_times(name, data, l2s, found["objectives"], config)
            for name in config.solvers
        }
    ratios = {}
    for key in ("seconds", "seconds_to_gap"):
        times = [one[key] for one in peers.values() if one and one[key]]
        ratios[key] = min(times) / found["seconds"] if times else None
    return {
        "shape": list(shape),
        "ours": found,
        "peers": peers,
        "ratio": ratios["seconds"],
        "ratio_to_gap": ratios["seconds_to_gap"],
    }


def report(config: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A line per shape."""
    lines = []
    for result in results:
        found = result["ours"]
        peers = (
            f"{name} {one['seconds']:.0f} s, {one['within']}/{one['fitted']} within"
            for name, one in result["peers"].items()
            if one
        )
        lines.append(
            (
                " x ".join(map(str, result["shape"])),
                f"{found['proven']} of {config.num_cs}",
                f"{found['passes']} + {found['float64_passes']}",
                f"{found['first_seconds']:.1f}",
                f"{found['seconds']:.1f}",
                ", ".join(peers) or "-",
                _formatted(result["ratio"]),
                _formatted(result["ratio_to_gap"]),
            )
        )
    columns = ("shape", "proven", "passes", "first s", "s", "scikit-learn")
    return text_table((*columns, "ratio", "to the gap"), lines)


def _formatted(ratio: float | None) -> str:
    return f"{ratio:.1f}" if ratio else "-"


MEASUREMENTS = Measurements(
    name="benchmark_probes",
    about=__doc__,
    config=Config(),
    smoke=SMOKE,
    items=items,
    measure=measured,
    report=report,
    settle=settle,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
