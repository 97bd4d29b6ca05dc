"""Means of bootstrap resamples, and the ends of their intervals.

>>> import jax, numpy as np
>>> from jaxlin.stats import bootstrap
>>> differences = np.repeat([0.0, 1.0], [80, 20])
>>> means = bootstrap.resampled_means(
...     differences, key=jax.random.key(0), num_resamples=10_000)
>>> tails = bootstrap.bca_tails(means, differences, confidence=0.95)
>>> tails[0] > 0.025, tails[1] > 0.975
(True, True)
"""

import functools
import math
import statistics
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxlin.typing import Array

# Draws per block: about 8 MB of indices and values.
_DRAWS_PER_BLOCK = 2**20


class ResampledMeans(NamedTuple):
    """Means of resamples, and that of the sample with the same rounding.

    Attributes:
      values: mean of each resample, float64, shape ``(resamples,)``.
      observed: mean of the sample.
    """

    values: np.ndarray
    observed: float


def resampled_means(
    values: np.ndarray, *, key: Array, num_resamples: int
) -> ResampledMeans:
    """Draws the values with replacement and computes the mean of each resample.

    An index is a random 32-bit integer modulo n, uniform up to a factor of
    1 + n / 2^32. Memory does not grow with ``num_resamples`` times n. Integers below
    2^24 / n are summed without rounding.

    Args:
      values: finite float64 numbers, shape ``(examples,)``.
      key: a `jax.random.key`; the same key gives the same means.
      num_resamples: number of resamples, at least 1.
    """
    # float32 sums of small residuals: the shift is one of the values and the scale is
    # a power of two, so that neither rounds integers.
    shift = np.quantile(values, 0.5, method="lower")
    residuals = values - shift
    scale = math.ldexp(1.0, math.frexp(np.abs(residuals).max())[1])
    small = np.asarray(residuals / scale, np.float32)
    sums = _resampled_sums(jnp.asarray(small), key, num_resamples=num_resamples)
    means = shift + scale * np.asarray(sums, np.float64) / len(values)
    observed = shift + scale * small.sum(dtype=np.float64) / len(values)
    return ResampledMeans(means, float(observed))


def percentile_tails(confidence: float) -> tuple[float, float]:
    """Shares of resampled means below the ends of a percentile interval."""
    return (1 - confidence) / 2, (1 + confidence) / 2


def bca_tails(
    means: ResampledMeans, values: np.ndarray, *, confidence: float
) -> tuple[float, float]:
    r"""Shares of resampled means below the ends of a BCa interval.

    With the normal distribution function :math:`\Phi`, an end at level
    :math:`\alpha` is the quantile :math:`\Phi(z_0 + (z_0 + z_\alpha) /
    (1 - a (z_0 + z_\alpha)))` of the means: :math:`\Phi(z_0)` is the share of them
    below that of the sample (bias; equal ones count half), and :math:`a = \sum_i d_i^3
    / 6 (\sum_i d_i^2)^{3/2}`, with deviations :math:`d_i` from the mean, is the
    acceleration by the jackknife.

    Args:
      means: resampled means (`resampled_means`).
      values: the sample, shape ``(examples,)``.
      confidence: coverage of the interval, in (0, 1).

    Reference:
      B. Efron. Better bootstrap confidence intervals. Journal of the American
      Statistical Association, 1987.
    """
    normal, count = statistics.NormalDist(), len(means.values)
    below = np.sum(means.values < means.observed) + np.sum(
        means.values <= means.observed
    )
    # A share of 0 or 1, of few resamples, would place both ends at infinity.
    bias = normal.inv_cdf(
        float(np.clip(below / (2 * count), 0.5 / count, 1 - 0.5 / count))
    )
    deviations = values - values.mean()
    largest = np.abs(deviations).max()
    acceleration = 0.0
    if largest > 0:
        deviations = deviations / largest
        acceleration = float(np.sum(deviations**3) / (6 * np.sum(deviations**2) ** 1.5))

    def tail(level: float) -> float:
        shifted = bias + normal.inv_cdf(level)
        return normal.cdf(bias + shifted / (1 - acceleration * shifted))

    low, high = percentile_tails(confidence)
    return tail(low), tail(high)


@functools.partial(jax.jit, static_argnames=("num_resamples", "draws_per_block"))
def _resampled_sums(
    values: Array,
    key: Array,
    *,
    num_resamples: int,
    draws_per_block: int = _DRAWS_PER_BLOCK,
) -> Array:
    """Returns sums over resamples of ``values`` (n,), shape ``(num_resamples,)``."""
    size = len(values)

    def resampled_sum(key: Array) -> Array:
        bits = jax.random.bits(key, (size,), jnp.uint32)
        return jnp.sum(values[bits % jnp.uint32(size)])

    # One key per resample, so that the block size does not change the draws.
    keys = jax.random.split(key, num_resamples)
    block = min(num_resamples, max(1, draws_per_block // size))
    return jax.lax.map(resampled_sum, keys, batch_size=block)
