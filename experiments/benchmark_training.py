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
import importlib.util
import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxlin
from experiments.common import machine, timing
from experiments.common.config import MAY_BE_EMPTY, Bounds, Count, Counts
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import data, linear, losses, normalization
from jaxlin.solvers import interface, minibatch

LEARNING_RATE, MOMENTUM, L2 = 1e-3, 0.9, 1e-3
SETTLE_SECONDS = 0.5

# Ours and the peer's name for the same loss (the peer's hinge is ours over C).
LOSSES = {
    "softmax": (losses.softmax_cross_entropy, "CrossEntropyLoss"),
    "hinge": (losses.weston_watkins_hinge, "MultiMarginLoss"),
}

# Runs one epoch.
Epoch = Callable[[], Any]


@dataclasses.dataclass(frozen=True)
class Config:
    """One benchmark.

    Attributes:
      dataset: as for `jaxlin.data.load`.
      batch_sizes: examples per minibatch.
      grids: numbers of models trained at once, besides one.
      rounds: epochs timed of each configuration.
      threads: threads of the peer. XLA uses all cores that the process may use: on a
        larger machine, start it under ``taskset -c 0,1`` for the same two.
      peer: whether PyTorch is measured too.
      matrix_size: of the square products that the matrix rate is measured on.
    """

    dataset: str = "cifar10"
    batch_sizes: Counts = (128, 512)
    grids: Annotated[tuple[int, ...], Bounds(at_least=2), MAY_BE_EMPTY] = (32,)
    rounds: Count = 5
    threads: Count = 2
    peer: bool = True
    matrix_size: Count = 4096


SMOKE = Config("digits", (256,), (2,), rounds=1, peer=False, matrix_size=256)


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError where the peer is not installed."""
    if config.peer and importlib.util.find_spec("torch") is None:
        raise ValueError(
            "peer must be False where PyTorch is not installed; give --no-peer, or "
            'pip install -e ".[benchmark]"'
        )
    return config


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
    return lambda: next(chunks)


def torch_epoch(
    dataset: data.Dataset,
    fitted: normalization.Normalization,
    *,
    loss: str,
    batch_size: int,
    threads: int,
) -> Epoch:
    """The same training in PyTorch, one epoch a call."""
    import torch

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    features = np.asarray((dataset.train.features - fitted.mean) / fitted.scale)
    rows = torch.from_numpy(features.astype(np.float32))
    targets = torch.from_numpy(dataset.train.labels.astype(np.int64))
    model = torch.nn.Linear(features.shape[1], dataset.num_classes)
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


def items(config: Config) -> list[tuple[int, str]]:
    """Batch sizes and losses."""
    return list(itertools.product(config.batch_sizes, LOSSES))


def measured(
    config: Config, dataset: data.Dataset, item: tuple[int, str]
) -> dict[str, Any]:
    """Seconds of the epochs of a batch size and loss, and the floor of one epoch."""
    batch_size, name = item
    loss, peer_loss = LOSSES[name]
    fitted = normalization.fit_centered(dataset.train.features, scale=dataset.max_value)
    problem = jaxlin.problem(
        *dataset.train, classes=range(dataset.num_classes), normalization=fitted
    ).examples
    how: Any = {"batch_size": batch_size, "num_classes": dataset.num_classes}
    epochs: dict[str, Epoch] = {
        f"jaxlin x {models}": jaxlin_epoch(problem, loss=loss, models=models, **how)
        for models in (1, *config.grids)
    }
    if config.peer:
        epochs["PyTorch"] = torch_epoch(
            dataset,
            fitted,
            loss=peer_loss,
            batch_size=batch_size,
            threads=config.threads,
        )
    first = {who: timing.timed(epoch)[1] for who, epoch in epochs.items()}
    times = timing.interleaved(epochs, rounds=config.rounds, settle_s=SETTLE_SECONDS)
    rates = machine.matrix_rate(
        size=config.matrix_size, rounds=config.rounds, settle_s=SETTLE_SECONDS
    )
    work = 4e-9 * problem.features.size * dataset.num_classes
    return {
        "loss": name,
        "batch_size": batch_size,
        "first_epoch_s": first,
        "epoch_s": {who: statistics.median(each) for who, each in times.items()},
        "device": jax.devices()[0].device_kind,
        "matrix_gflops": rates["XLA"],
        "floor_s": work / rates["XLA"],
    }


def report(config: Config, rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per batch size, loss and configuration, and the floor."""
    columns = ("loss, batch", "who", "first s", "epoch s", "per model", "faster")
    lines = []
    for row in rows:
        peer = row["epoch_s"].get("PyTorch")
        for who, seconds in row["epoch_s"].items():
            per_model = seconds / int(who.partition(" x ")[2] or 1)
            lines.append(
                (
                    f"{row['loss']}, {row['batch_size']}",
                    who,
                    f"{row['first_epoch_s'][who]:.2f}",
                    f"{seconds:.4f}",
                    f"{per_model:.4f}",
                    f"{peer / per_model:.1f}" if peer else "-",
                )
            )
    rate, floor = (
        statistics.median(row[name] for row in rows)
        for name in ("matrix_gflops", "floor_s")
    )
    floor_line = (
        f"{rows[0]['device']}: {rate:.0f} GFLOP/s in a square float32 product, so at "
        f"least {floor:.4f} s per epoch and model, however many models share it"
    )
    return f"{text_table(columns, lines)}\n\n{floor_line}"


MEASUREMENTS = Measurements(
    name="benchmark_training",
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
