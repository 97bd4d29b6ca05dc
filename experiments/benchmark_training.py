"""How much faster does jaxlin train a linear classifier than PyTorch on the same CPU?

Question. One epoch of CIFAR-10 (50,000 x 3,072 raw pixels, 10 classes), SGD with
momentum and an l2 penalty, for one model and for a grid of models that share their
minibatches. PyTorch: `nn.Linear` with `CrossEntropyLoss` or `MultiMarginLoss`, the
normalised features already in memory as floats, two threads. jaxlin: uint8 features,
normalised inside the step; with a GPU or TPU, whatever JAX runs on.

Method. Everything in one process, one after the other; every configuration is warmed up
(compile time is reported apart), then the epochs of all configurations are interleaved
round by round, so that a change of the machine's speed meets them alike; medians over
rounds. The figures that matter are the ratios, and the floor that is printed last: what
the two products of an epoch cost at the device's matrix rate.

Result. Two CPU cores, batch 128: one model 3.2 (softmax) and 4.0 (hinge) times as fast
as PyTorch, each of 32 models 9.0 and 10.7 times, at three quarters of the matrix
rate. One run of four; ``docs/results.md`` has the range.

Command. ``python -m experiments.benchmark_training`` after ``pip install -e
".[benchmark]"``. ``--no-peer`` where PyTorch is not at hand.
"""

import dataclasses
import functools
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

import jaxlin
from experiments.common import cli
from jaxlin import check, data, linear, losses, normalization
from jaxlin.solvers import interface, minibatch

LEARNING_RATE, MOMENTUM, L2 = 1e-3, 0.9, 1e-3
SETTLE_SECONDS = 0.5

# Ours and the peer's name for the same loss (the peer's hinge is ours over C).
LOSSES = {
    "softmax": (losses.softmax_cross_entropy, "CrossEntropyLoss"),
    "hinge": (losses.weston_watkins_hinge, "MultiMarginLoss"),
}

# Runs one epoch and waits for it.
Epoch = Callable[[], None]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: as for `jaxlin.data.load`.
      data_dir: folder with prepared data sets (TFDS_DATA_DIR unless given).
      batch_sizes: examples a minibatch.
      grids: numbers of models trained at once, besides one.
      rounds: epochs timed of each configuration.
      threads: threads of the peer. XLA uses all cores that the process may use: on a
        larger machine, start it under ``taskset -c 0,1`` for the same two.
      peer: whether PyTorch is measured too.
      out: JSON file for the figures, besides the table that is printed.
    """

    dataset: str = "cifar10"
    data_dir: Path | None = None
    batch_sizes: tuple[int, ...] = (128, 512)
    grids: tuple[int, ...] = (32,)
    rounds: int = 5
    threads: int = 2
    peer: bool = True
    out: Path | None = None


def momentum(learning_rate):
    """The optimiser of both sides."""
    return optax.sgd(learning_rate, momentum=MOMENTUM)


def jaxlin_epoch(
    problem: interface.Examples,
    *,
    loss: Any,
    batch_size: int,
    models: int,
    num_classes: int,
) -> Epoch:
    """An endless training of ``models`` models, one epoch a call."""
    solver = minibatch.solver(loss=loss, make_optimizer=momentum, batch_size=batch_size)
    # Different values, as a grid has; the cost does not depend on them.
    settings = interface.Settings(jnp.float32(LEARNING_RATE), jnp.float32(L2))
    if models > 1:
        solver = interface.map_settings(solver)
        spread = jnp.geomspace(0.5, 2.0, models)
        settings = interface.Settings(LEARNING_RATE * spread, L2 * spread)
    key = jax.random.key(0)
    params = linear.init(
        key, num_classes=num_classes, num_features=problem.features.shape[1]
    )
    chunks = interface.run(
        solver,
        key,
        solver.init(params, problem, settings),
        problem,
        settings,
        num_steps=10**6,
    )
    return lambda: jax.block_until_ready(next(chunks))


def torch_epoch(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    loss: str,
    batch_size: int,
    num_classes: int,
) -> Epoch:
    """The same training in PyTorch, one epoch a call."""
    import torch

    rows, targets = torch.from_numpy(features), torch.from_numpy(labels)
    model = torch.nn.Linear(features.shape[1], num_classes)
    criterion = getattr(torch.nn, loss)()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=L2
    )

    def epoch() -> None:
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), batch_size):
            batch = order[start : start + batch_size]
            optimizer.zero_grad()
            criterion(model(rows[batch]), targets[batch]).backward()
            optimizer.step()

    return epoch


def run(config: Config) -> dict[str, Any]:
    """Measures, prints the table and returns the figures."""
    for name in ("batch_sizes", "grids"):
        lowest = 1 if name == "batch_sizes" else 2
        for value in check.numbers_list(name, getattr(config, name)):
            check.number(name, value, at_least=lowest)
    check.integer("rounds", config.rounds, at_least=1)
    check.integer("threads", config.threads, at_least=1)
    if config.peer and importlib.util.find_spec("torch") is None:
        raise ValueError(
            "peer must be False where PyTorch is not installed; give --no-peer, or "
            'pip install -e ".[benchmark]"'
        )
    dataset = data.load(
        config.dataset, str(config.data_dir) if config.data_dir else None
    )
    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    problem = jaxlin.problem(
        *dataset.train, classes=range(dataset.num_classes), normalization=fitted
    ).examples
    floats = None
    if config.peer:
        import torch

        torch.set_num_threads(config.threads)
        torch.manual_seed(0)
        floats = np.asarray((dataset.train.features - fitted.mean) / fitted.scale)
        floats = floats.astype(np.float32)

    rows = []
    for batch_size in config.batch_sizes:
        for name, (loss, peer_loss) in LOSSES.items():
            epochs: dict[str, Epoch] = {
                f"jaxlin x {models}": jaxlin_epoch(
                    problem,
                    loss=loss,
                    batch_size=batch_size,
                    models=models,
                    num_classes=dataset.num_classes,
                )
                for models in (1, *config.grids)
            }
            if floats is not None:
                epochs["PyTorch"] = torch_epoch(
                    floats,
                    dataset.train.labels.astype(np.int64),
                    loss=peer_loss,
                    batch_size=batch_size,
                    num_classes=dataset.num_classes,
                )
            first, seconds = measure(epochs, rounds=config.rounds)
            for who, median in seconds.items():
                models = int(who.split(" x ")[1]) if " x " in who else 1
                row: dict[str, Any] = {
                    "loss": name,
                    "batch_size": batch_size,
                    "who": who,
                    "first_epoch_s": first[who],
                    "epoch_s": median,
                    "epoch_s_per_model": median / models,
                }
                if "PyTorch" in seconds:
                    row["times_faster_per_model"] = (
                        seconds["PyTorch"] / row["epoch_s_per_model"]
                    )
                rows.append(row)
                print(_line(row), flush=True)
    figures = {
        "device": jax.devices()[0].device_kind,
        "matrix_gflops": matrix_rate(),
        "rows": rows,
    }
    rate = figures["matrix_gflops"]
    work = 4e-9 * problem.features.size * dataset.num_classes / rate
    print(
        f"{figures['device']}: {rate:.0f} GFLOP/s in a 4096 x 4096 float32 product, so "
        f"at least {work:.4f} s an epoch and model, however many models share it"
    )
    if config.out is not None:
        config.out.write_text(json.dumps(figures, indent=2) + "\n")
    return figures


def measure(
    epochs: dict[str, Epoch], *, rounds: int
) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each first epoch, compiling included, and medians of later ones."""
    first = {who: _seconds(epoch) for who, epoch in epochs.items()}
    times: dict[str, list[float]] = {who: [] for who in epochs}
    for _ in range(rounds):
        for who, epoch in epochs.items():
            times[who].append(_seconds(epoch))
    return first, {who: statistics.median(each) for who, each in times.items()}


def matrix_rate(size: int = 4096, repeats: int = 5) -> float:
    """GFLOP/s of a square float32 product in JAX."""
    factor = jnp.ones((size, size), jnp.float32)
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        jax.block_until_ready(_product(factor, factor))
        times.append(time.perf_counter() - start)
    return 2e-9 * size**3 / statistics.median(times[1:])


@functools.partial(jax.jit, inline=True)
def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision="highest")


def _seconds(epoch: Epoch) -> float:
    # The threads of whoever ran before keep spinning for a while.
    time.sleep(SETTLE_SECONDS)
    start = time.perf_counter()
    epoch()
    return time.perf_counter() - start


def _line(row: dict[str, Any]) -> str:
    ratio = row.get("times_faster_per_model")
    tail = "" if ratio is None else f"  {ratio:6.1f} times PyTorch"
    return (
        f"{row['loss']:8s} batch {row['batch_size']:4d}  {row['who']:12s} "
        f"first {row['first_epoch_s']:6.2f} s  epoch {row['epoch_s']:7.4f} s  "
        f"per model {row['epoch_s_per_model']:7.4f} s{tail}"
    )


if __name__ == "__main__":
    cli.main(lambda: run(tyro.cli(Config, description=__doc__)))
