"""One gradient of one softmax model: ours, the plain formulations, the machine's floor.

Ours is one pass of `jaxlin.fit`, which also gives the objective and its gap. The plain
formulation keeps W as (D, C) and float rows, and leaves the rest to `jax.grad`. The
floor is what the two matrix products take at the best rate that any library reaches
here; reading the rows takes less.
"""

import statistics
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmark_solvers import rows as all_rows
from experiments.benchmark_solvers.rows import Rows
from experiments.benchmark_sweep.config import Config
from experiments.common import machine, timing
from experiments.common.study import Measured, Run
from jaxlin import data, linear, losses
from jaxlin.certificates import duality
from jaxlin.solvers import certified
from jaxlin.solvers.interface import Settings
from jaxlin.typing import Array

Gradient = Callable[[], Any]

OURS = "jaxlin, one certified pass"
PLAIN = "jax.grad, W stored (D, C)"
TORCH = "PyTorch autograd, W (C, D)"

_L2 = 1e-3
_SOFTMAX: Any = losses.softmax_cross_entropy


def measure(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Seconds of each formulation, and the machine's floor."""
    rows, _ = all_rows.of(dataset)
    gradients = _gradients(rows)
    found = {name: np.asarray(one()) for name, one in gradients.items()}
    differences = _differences({**found, PLAIN: found[PLAIN].T})
    rounds, settle_s = config.gradient_rounds, config.settle_s
    # After one that is not timed: as a solver runs it.
    measured = timing.interleaved(
        gradients, rounds=rounds, settle_s=settle_s, warm_ups=1, calls=5
    )
    seconds = {name: statistics.median(each) for name, each in measured.items()}
    rates = machine.matrix_rate(
        size=config.matrix_size, rounds=min(rounds, 5), settle_s=settle_s
    )
    # Two products, each a multiplication and an addition per weight and row.
    num_examples, num_features = rows.features.shape
    operations = 4 * num_examples * (num_features + 1) * rows.num_classes
    floor = 1e-9 * operations / max(rates.values())
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
        for name in gradients
    ]
    numbers = {"rows": table, "gflop_per_s": rates, "operations": operations}
    return Measured({**numbers, "floor": floor})


def _gradients(rows: Rows) -> dict[str, Gradient]:
    """The timed functions, each of which returns its gradient as folded weights."""
    floats, labels = rows.extended(), jnp.asarray(rows.labels)
    draw = np.random.default_rng(0)
    weights = draw.normal(size=(rows.num_classes, floats.shape[1])) / 100
    weights = weights.astype(np.float32)
    device, stored, transposed = map(jnp.asarray, (floats, weights, weights.T))
    examples = rows.problem().prepared(loss=_SOFTMAX)
    source = certified.row_source(examples, loss=_SOFTMAX)
    params, l2 = linear.unfold_bias(stored), jnp.float32(_L2)
    no_centers = source.centers(None, 0, stored.dtype)

    def certified_pass() -> Array:
        _, sums, _ = source.evaluate(stored, no_centers, jnp.zeros(()), Settings())
        return _values(sums, params, loss=_SOFTMAX, l2=l2).gradient

    found: dict[str, Gradient] = {
        OURS: certified_pass,
        PLAIN: lambda: _plain(transposed, device, labels)[1],
    }
    torch = machine.torch_or_none()
    if torch is not None and jax.default_backend() == "cpu":
        found[TORCH] = _torch(torch, weights, floats, rows.labels)
    return found


def _differences(found: dict[str, Any]) -> dict[str, float]:
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


_values = jax.jit(duality.pass_values, static_argnames=("loss",))


@jax.jit
@jax.value_and_grad
def _plain(weights: Array, rows: Array, labels: Array) -> Array:
    """The objective as it is usually written: X @ W, W of shape (D, C)."""
    scores = rows @ weights
    of_label = jnp.take_along_axis(scores, labels[:, None], axis=1)[:, 0]
    loss = jnp.mean(jax.nn.logsumexp(scores, axis=1) - of_label)
    return loss + _L2 / 2 * jnp.sum(jnp.square(weights))


def _torch(
    torch: Any, weights: np.ndarray, floats: np.ndarray, labels: np.ndarray
) -> Gradient:
    parameters = torch.from_numpy(weights.copy()).requires_grad_()
    features = torch.from_numpy(floats)
    targets = torch.from_numpy(labels.astype(np.int64))

    def gradient() -> np.ndarray:
        scores = torch.nn.functional.linear(features, parameters)
        value = torch.nn.functional.cross_entropy(scores, targets)
        value = value + _L2 / 2 * parameters.square().sum()
        (slope,) = torch.autograd.grad(value, [parameters])
        return slope.numpy()

    return gradient
