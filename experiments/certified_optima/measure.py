"""A part per loss: its path of fits, and what is proven of their test labels."""

import functools
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxlin
from experiments.certified_optima.config import Config
from experiments.common.losses import CERTIFIED
from experiments.common.study import Measured, Part, Results, Run
from jaxlin import data, normalization, objective
from jaxlin.certificates import duality, label_certificates
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.typing import Array


def parts(config: Config) -> Mapping[str, Part]:
    """The losses."""
    return {loss: functools.partial(_path, loss=loss) for loss in config.losses}


def rows(run: Run) -> Iterator[Mapping[str, Any]]:
    """The fits."""
    for loss in run.config.losses:
        for fit in run.numbers(loss):
            yield {"loss": loss, **fit}


def headlines(results: Results) -> Mapping[str, float]:
    """The best test accuracy that is proven of an optimum of each loss."""
    return {
        f"least accuracy of an optimum, {loss}": max(fit["lower"] for fit in fits)
        for loss, fits in results.items()
    }


class Rows(NamedTuple):
    """Rows to judge a fit by, on the device."""

    features: Array
    labels: np.ndarray
    normalization: Normalization

    def radii(self, fit: jaxlin.Fit) -> np.ndarray:
        """Distance of each label from changing."""
        # float32 scores would leave more labels open than the optimum's distance does.
        params = jax.tree.map(np.float64, fit.params)
        return np.asarray(
            label_certificates.label_radii(
                params, self.features, normalization=self.normalization
            )
        )

    def correct(self, fit: jaxlin.Fit) -> np.ndarray:
        """Mask of the right labels."""
        with jax.enable_x64(True):
            params = jax.tree.map(
                functools.partial(jnp.asarray, dtype=float), fit.params
            )
            scores = _scores(params, self.features, self.normalization)
            return np.asarray(jnp.argmax(scores, axis=1)) == self.labels


@jax.jit
def _scores(params: Params, features: Array, fitted: Normalization) -> Array:
    return objective.blocked_scores(params, features, normalization=fitted)


def _path(config: Config, dataset: data.Dataset, run: Run, *, loss: str) -> Measured:
    """Fits of one loss for all l2, each from the one before."""
    scale = dataset.max_value or 1.0
    fitted = normalization.fit_centered(dataset.train.features, scale=scale)
    problem = jaxlin.problem(
        *dataset.train, classes=range(dataset.num_classes), normalization=fitted
    )
    train, test = (
        Rows(jnp.asarray(split.features), np.asarray(split.labels), fitted)
        for split in (dataset.train, dataset.test)
    )
    found: list[dict[str, Any]] = []
    start = None
    for l2 in config.l2:
        start = _fit(problem, test, loss, l2, config, start)
        found.append(_numbers(start, train, test))
    return Measured(found)


def _fit(
    problem: jaxlin.Problem,
    test: Rows,
    loss: str,
    l2: float,
    config: Config,
    start: jaxlin.Fit | None,
) -> jaxlin.Fit:
    """A fit that is continued until it proves the share of test labels."""
    how: Any = {"loss": CERTIFIED[loss], "l2": l2}
    stop = jaxlin.Stop(config.relative_gap, config.max_passes)
    fit = jaxlin.fit(problem, stop=stop, start=start, **how)
    # The radius in which the optimum lies goes with the root of the gap.
    wanted = 0.9 * np.quantile(test.radii(fit), 1 - config.certified_share)
    gap = float(l2 * max(wanted, 0) ** 2 / 2 / fit.certificate.primal)
    if not 0 < gap < fit.relative_gap:
        return fit
    stop = jaxlin.Stop(gap, config.max_passes)
    more = jaxlin.fit(problem, stop=stop, refine=True, start=fit, **how)
    return more._replace(passes=fit.passes + more.passes)


def _numbers(fit: jaxlin.Fit, train: Rows, test: Rows) -> dict[str, Any]:
    """One fit: how near the optimum it is, and how well both classify."""
    correct = test.correct(fit)
    bound = duality.radius(fit.certificate, l2=fit.l2)
    proven = label_certificates.accuracy_interval(
        jnp.asarray(correct), jnp.asarray(test.radii(fit) > float(bound))
    )
    return {
        "l2": fit.l2,
        "objective": fit.certificate.primal,
        "gap": fit.certificate.gap,
        "rounding": fit.certificate.rounding,
        "relative_gap": fit.relative_gap,
        "passes": fit.passes,
        "float64_passes": fit.float64_passes,
        "train_accuracy": float(np.mean(train.correct(fit))),
        "test_accuracy": float(np.mean(correct)),
        "lower": proven.low,
        "upper": proven.high,
        "certified_share": proven.certified,
        "optimum": str(proven),
    }
