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
It may stop at its limit of 100 iterations, and proves nothing.

Command. ``python -m experiments.benchmark_probes``.
"""

import dataclasses
import time
import warnings
from typing import Any

import numpy as np

import jaxlin
from experiments.common import cli, run_folder, sklearn_models
from experiments.common.config import to_dict
from experiments.common.progress import progress
from experiments.common.text_table import text_table
from jaxlin import check, losses
from jaxlin.linear_probe import CS
from jaxlin.objective import penalties

SOLVERS = ("lbfgs", "newton-cholesky")
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
      solvers: solvers of scikit-learn; none measures no peer.
      peer_step: every so many values of C are fitted by a peer.
      seed: seed of the data.
    """

    shapes: tuple[tuple[int, int, int], ...] = (
        (20_000, 256, 50),
        (50_000, 768, 10),
        (20_000, 384, 100),
        (10_000, 64, 20),
    )
    num_cs: int = len(CS)
    relative_gap: float = 1e-3
    max_passes: int = 1000
    solvers: tuple[str, ...] = ("lbfgs",)
    peer_step: int = 6
    seed: int = 0


SMOKE = Config(shapes=((300, 8, 3),), num_cs=4, peer_step=2)


def checked(config: Config) -> Config:
    """Returns the settings, or says which one is wrong."""
    for shape in config.shapes:
        for name, number, least in zip(
            ("examples", "features", "classes"), shape, (10, 1, 2), strict=True
        ):
            check.integer(f"shapes: {name}", number, at_least=least)
    check.integer("num_cs", config.num_cs, at_least=1, at_most=len(CS))
    check.number("relative_gap", config.relative_gap, above=0)
    check.integer("max_passes", config.max_passes, at_least=1)
    for solver in config.solvers:
        check.choice("solvers", solver, SOLVERS)
    check.integer("peer_step", config.peer_step, at_least=1)
    check.integer("seed", config.seed, at_least=0)
    return config


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


def ours(
    rows: np.ndarray, labels: np.ndarray, l2s: tuple[float, ...], config: Config
) -> Any:
    """Path of certified fits, timed with and without compiling."""
    seconds = []
    for _ in range(2):
        began = time.perf_counter()
        fits = jaxlin.sweep(
            jaxlin.problem(rows, labels),
            losses=(losses.softmax_cross_entropy,),
            l2s=l2s,
            stop=jaxlin.Stop(config.relative_gap, config.max_passes),
        )
        seconds.append(time.perf_counter() - began)
    return {
        "first_seconds": seconds[0],
        "seconds": seconds[1],
        "proven": int(fits.converged.sum()),
        "largest_gap": float(fits.relative_gap.max()),
        "passes": int(fits.passes.sum()),
        "float64_passes": int(fits.float64_passes.sum()),
        "objectives": fits.certificate.primal.tolist(),
    }


def peer(
    solver: str,
    rows: np.ndarray,
    labels: np.ndarray,
    l2s: tuple[float, ...],
    config: Config,
) -> dict[str, Any] | None:
    """Fits of scikit-learn at its defaults; None where they need too much memory."""
    weights = (rows.shape[1] + 1) * (labels.max() + 1)
    if solver == "newton-cholesky" and weights > _MAX_CHOLESKY:
        return None
    extended = np.c_[rows, np.ones(len(rows), rows.dtype)]
    seconds, iterations = [], []
    for l2 in l2s[:: config.peer_step]:
        model = sklearn_models.logistic_regression(labels, l2=l2, solver=solver)
        began = time.perf_counter()
        with warnings.catch_warnings():
            # It says where it stops at its limit of iterations; they are counted.
            warnings.simplefilter("ignore")
            model.fit(extended, labels)
        seconds.append(time.perf_counter() - began)
        iterations.append(int(np.max(model.n_iter_)))
    return {
        "fitted": len(seconds),
        "seconds": float(np.mean(seconds) * len(l2s)),
        "at_limit": sum(count >= model.max_iter for count in iterations),
    }


def measured(config: Config, shape: tuple[int, int, int]) -> dict[str, Any]:
    """Times of one shape."""
    rows, labels = embeddings(*shape, seed=config.seed)
    cs = np.asarray(CS)[np.linspace(0, len(CS) - 1, config.num_cs).round().astype(int)]
    l2s = penalties.l2_of_c(
        tuple(cs.tolist()), total_weight=shape[0], num_classes=shape[2]
    )
    found = ours(rows, labels, l2s, config)
    peers = {name: peer(name, rows, labels, l2s, config) for name in config.solvers}
    times = [one["seconds"] for one in peers.values() if one]
    return {
        "shape": list(shape),
        "ours": found,
        "peers": peers,
        "ratio": min(times) / found["seconds"] if times else None,
    }


def report(results: list[dict[str, Any]], *, num_cs: int) -> str:
    """A line per shape."""
    lines = []
    for result in results:
        found = result["ours"]
        peers = (
            f"{name} {one['seconds']:.0f} s, {one['at_limit']}/{one['fitted']} at limit"
            for name, one in result["peers"].items()
            if one
        )
        lines.append(
            (
                " x ".join(map(str, result["shape"])),
                f"{found['proven']} of {num_cs}",
                f"{found['passes']} + {found['float64_passes']}",
                f"{found['first_seconds']:.1f}",
                f"{found['seconds']:.1f}",
                ", ".join(peers) or "-",
                f"{result['ratio']:.1f}" if result["ratio"] else "-",
            )
        )
    columns = ("shape", "proven", "passes", "first s", "s", "scikit-learn", "ratio")
    return text_table(columns, lines)


def run(config: Config, options: cli.RunOptions) -> None:
    """Makes one run folder with all shapes."""
    checked(config)
    folder = run_folder.open_run(
        config=to_dict(config),
        experiment="benchmark_probes",
        dataset="generated",
        out=options.out,
        resume=options.resume,
    )
    total = len(config.shapes)
    with folder.running(), progress("shapes", total=total, unit="shapes") as more:
        results = folder.read_metrics()
        more(len(results))
        for shape in config.shapes[len(results) :]:
            results.append(measured(config, shape))
            folder.append_metrics(results[-1])
            more()
        folder.write_json("results.json", {"shapes": results})
    print(report(results, num_cs=config.num_cs))
    print(folder.path / "results.json")


def main() -> None:
    """Parses the command line and runs."""
    run(*cli.parse(Config(), smoke=SMOKE, description=__doc__))


if __name__ == "__main__":
    cli.main(main)
