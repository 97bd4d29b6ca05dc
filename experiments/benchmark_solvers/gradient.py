"""One gradient of one softmax model: ours, the plain formulations, the machine's floor.

Ours is one pass of the certified solver: `jaxlin.objective.row_sums.over_rows` through
the example function of `jaxlin.certificates.fenchel_young`, which also gives the
objective and its gap. The plain formulation keeps W as (D, C) and float rows, and
leaves the rest to `jax.grad`. The floor is the larger of what reading the stored rows
once takes and what the two matrix products take, at the best rates that any library
reaches here.
"""

import functools
import statistics
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.benchmark_solvers import machine
from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.config import Config
from experiments.benchmark_solvers.rows import Rows
from experiments.common.study import Measured, Run
from jaxlin import data, linear, losses, objective
from jaxlin.certificates import duality, fenchel_young
from jaxlin.linear import Params
from jaxlin.objective import row_norms, row_sums
from jaxlin.solvers import interface
from jaxlin.typing import Array

OURS = "jaxlin, one certified pass"
PLAIN = "jax.grad, W stored (D, C)"
STORED = "jax.grad of jaxlin.objective, W (C, D)"
TORCH = "PyTorch autograd, W (C, D)"

_L2 = 1e-3
_SOFTMAX: Any = losses.softmax_cross_entropy


def measure(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Seconds of each formulation, and the machine's floor."""
    rows = all_rows.of(dataset)
    tasks, found = _tasks(rows)
    differences = _differences(found)
    settle_s = config.settle_s
    measured = machine.interleaved(tasks, rounds=config.rounds, settle_s=settle_s)
    seconds = {name: statistics.median(each) for name, each in measured.items()}
    how: Any = {"rounds": min(config.rounds, 5), "settle_s": settle_s}
    reads = machine.read_bandwidth(megabytes=config.read_megabytes, **how)
    rates = machine.matrix_rate(size=config.matrix_size, **how)
    size = rows.features.nbytes
    # Two products, each a multiplication and an addition a weight and row.
    work = 4 * rows.train.size * rows.num_classes
    by_reading = 1e-9 * size / max(reads.values())
    by_products = 1e-9 * work / max(rates.values())
    floor = max(by_reading, by_products)
    table = [
        {
            "name": name,
            "seconds": seconds[name],
            "fastest": min(measured[name]),
            "slowest": max(measured[name]),
            "times_floor": seconds[name] / floor,
            "times_ours": seconds[name] / seconds[OURS],
            "difference": differences[name],
        }
        for name in tasks
    ]
    return Measured(
        {
            "gradients": table,
            "read_gb_per_s": reads,
            "matrix_gflop_per_s": rates,
            "bytes": size,
            "operations": work,
            "floor_by_reading": by_reading,
            "floor_by_products": by_products,
            "floor": floor,
        }
    )


def _tasks(rows: Rows) -> tuple[dict[str, machine.Task], dict[str, np.ndarray]]:
    """The timed functions, and the gradient of each, as folded weights."""
    draw = np.random.default_rng(0)
    weights = draw.normal(size=(rows.num_classes, rows.train.shape[1])) / 100
    weights = weights.astype(np.float32)
    problem = jaxlin.problem(
        rows.features,
        rows.labels,
        classes=range(rows.num_classes),
        normalization=rows.normalization,
    ).examples
    examples = fenchel_young.PerExample(
        jnp.zeros((len(rows.labels), 0)),
        _norms(problem.features, normalization=problem.normalization),
    )
    params = linear.unfold_bias(jnp.asarray(weights))
    floats, labels = jnp.asarray(rows.train), problem.targets
    transposed, stored = jnp.asarray(weights.T), jnp.asarray(weights)
    tasks: dict[str, machine.Task] = {
        OURS: lambda: _certified(params, problem, examples, jnp.float32(_L2)).gradient,
        PLAIN: lambda: _plain(transposed, floats, labels)[1],
        STORED: lambda: _stored(stored, floats, labels)[1],
    }
    torch = machine.torch_or_none()
    if torch is not None:
        tasks[TORCH] = _torch(torch, weights, rows)
    found = {name: np.asarray(task()) for name, task in tasks.items()}
    found[PLAIN] = found[PLAIN].T
    return {name: functools.partial(_waited, one) for name, one in tasks.items()}, found


def _differences(found: dict[str, np.ndarray]) -> dict[str, float]:
    """Distance of each gradient from ours, relative.

    Raises:
      RuntimeError: if they are not the same gradient, which a benchmark must not time.
    """
    ours = found[OURS]
    differences = {
        name: float(np.linalg.norm(one - ours) / np.linalg.norm(ours))
        for name, one in found.items()
    }
    wrong = [name for name, one in differences.items() if not one < 1e-3]
    if wrong:
        raise RuntimeError(f"not the same gradient as ours: {', '.join(wrong)}")
    return differences


def _waited(task: machine.Task) -> None:
    jax.block_until_ready(task())


_norms = jax.jit(row_norms.norms)


@jax.jit
def _certified(
    params: Params,
    problem: interface.Examples,
    examples: fenchel_young.PerExample,
    l2: Array,
) -> duality.PassValues:
    """One evaluation of the certified solver."""
    sums, _ = row_sums.over_rows(
        params,
        problem.features,
        problem.targets,
        examples,
        example_function=fenchel_young.example_function(_SOFTMAX),
        shared=fenchel_young.term_arguments(params, jnp.zeros((), l2.dtype), None),
        normalization=problem.normalization,
    )
    return duality.pass_values(sums, params, l2=l2)


@jax.jit
@jax.value_and_grad
def _plain(weights: Array, rows: Array, labels: Array) -> Array:
    """The objective as it is usually written: X @ W, W of shape (D, C)."""
    scores = rows @ weights
    of_label = jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    loss = jnp.mean(jax.nn.logsumexp(scores, axis=1) - of_label)
    return loss + _L2 / 2 * jnp.sum(jnp.square(weights))


@jax.jit
@jax.value_and_grad
def _stored(weights: Array, rows: Array, labels: Array) -> Array:
    """`jaxlin.objective` of float rows; the constant feature is among them."""
    params = Params(weights, jnp.zeros(weights.shape[0], weights.dtype))
    return objective.objective(params, rows, labels, loss=_SOFTMAX, l2=_L2)


def _torch(torch: Any, weights: np.ndarray, rows: Rows) -> machine.Task:
    parameters = torch.from_numpy(weights.copy()).requires_grad_()
    floats = torch.from_numpy(rows.train)
    labels = torch.from_numpy(np.array(rows.labels)).long()

    def gradient() -> np.ndarray:
        scores = torch.nn.functional.linear(floats, parameters)
        value = torch.nn.functional.cross_entropy(scores, labels)
        value = value + _L2 / 2 * parameters.square().sum()
        (slope,) = torch.autograd.grad(value, [parameters])
        return slope.numpy()

    return gradient
