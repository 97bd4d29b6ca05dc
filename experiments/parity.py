"""Certified fits with a free bias beside scikit-learn's `LogisticRegression`.

Question. Do the two have the same optimum, with a free intercept, of two and of many
classes, with and without example weights, for C from 1e-6 to 1e5?

Method. Standard normal features with means of their own, classes of unequal shares.
scikit-learn fits in float64 by newton-cg with ``tol=1e-12``; ours is proven to
``relative_gap``. Both objectives are evaluated in NumPy's float64. The distance is
scikit-learn's objective less ours, over ours: below 0 where scikit-learn is lower, by
no more than the proven gap if the certificate holds. Probabilities are those of the
training rows.

Command. ``python -m experiments.parity``. ``python -m experiments.published_digits``
has Stata's digits of a multinomial logit.
"""

import dataclasses
import importlib.util
import itertools
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import numpy as np

import jaxlin
from experiments.common import sklearn_models
from experiments.common.config import Bounds, Count, Positive, Positives, Seed
from experiments.common.measurements import Measurements, main
from experiments.common.numpy_objective import Data, objective
from experiments.common.text_table import text_table
from jaxlin import losses
from jaxlin.objective import penalties

_LOSS = losses.softmax_cross_entropy


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the table.

    Attributes:
      classes: numbers of classes.
      cs: values of scikit-learn's C.
      examples: number of examples.
      features: number of features.
      relative_gap: gap to be proven.
      max_passes: largest number of passes.
      seed: seed of the data.
    """

    classes: Annotated[tuple[int, ...], Bounds(at_least=2)] = (2, 4, 20)
    cs: Positives = (1e-6, 1e-4, 1e-2, 1.0, 100.0, 1e5)
    examples: Annotated[int, Bounds(at_least=10)] = 600
    features: Count = 8
    relative_gap: Positive = 1e-9
    max_passes: Count = 1000
    seed: Seed = 0


SMOKE = Config(classes=(3,), cs=(1.0,), examples=60, features=5)


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError without scikit-learn."""
    if importlib.util.find_spec("sklearn") is None:
        raise ValueError("scikit-learn must be installed; run pip install scikit-learn")
    return config


def items(config: Config) -> list[tuple[int, bool, float]]:
    """Numbers of classes, with and without weights, values of C."""
    return list(itertools.product(config.classes, (False, True), config.cs))


def measured(config: Config, _: None, item: tuple[int, bool, float]) -> dict[str, Any]:
    """Both fits, and how far they are apart."""
    num_classes, is_weighted, c = item
    rows, labels, weights = _examples(config, num_classes, is_weighted=is_weighted)
    total = weights.sum()
    (l2,) = penalties.l2_of_c((c,), total_weight=total, num_classes=num_classes)
    model = _peer(c, rows, labels, weights)
    fit = jaxlin.fit(
        rows,
        labels,
        weights=weights,
        loss=_LOSS,
        l2=l2,
        bias="free",
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
        refine=True,
    )
    data = Data(np.c_[rows, np.ones(len(rows))], labels, weights)
    columns = np.r_[np.full(config.features, l2), 0.0]
    own = np.c_[fit.params.weights, fit.params.bias].astype(float)
    ours, theirs = (
        objective(folded, data, loss=_LOSS.__name__, l2=columns)
        for folded in (own, sklearn_models.weights_of(model))
    )
    difference = jaxlin.probabilities(fit, rows) - model.predict_proba(rows)
    return {
        "classes": num_classes,
        "is_weighted": is_weighted,
        "c": c,
        "l2": l2,
        "objective": ours,
        "relative_gap": fit.relative_gap,
        "converged": fit.converged,
        "distance": theirs / ours - 1,
        "probability_difference": float(np.abs(difference).max()),
    }


def _examples(
    config: Config, num_classes: int, *, is_weighted: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, labels of all classes, and weights with two decimals, or ones."""
    generator = np.random.default_rng([config.seed, num_classes])
    shape = (config.examples, config.features)
    rows = generator.normal(size=shape) + generator.normal(size=config.features)
    scores = rows @ generator.normal(size=(config.features, num_classes))
    # The first class is the most frequent one.
    scores -= scores.mean(axis=0)
    scores += 2 * np.eye(num_classes)[0] + 2 * generator.normal(size=scores.shape)
    labels = np.argmax(scores, axis=1)
    # A free bias needs an example of each class.
    labels[:num_classes] = np.arange(num_classes)
    weights = np.round(generator.uniform(0.25, 4, size=len(rows)), 2)
    return rows, labels, weights if is_weighted else np.ones(len(rows))


def _peer(c: float, rows: np.ndarray, labels: np.ndarray, weights: np.ndarray) -> Any:
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=c, tol=1e-12, max_iter=10_000, solver="newton-cg")
    return model.fit(rows, labels, sample_weight=weights)


def report(config: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A line per fit."""
    lines = [
        (
            f"{result['classes']}" + ", weighted" * result["is_weighted"],
            f"{result['c']:g}",
            f"{result['objective']:.8f}",
            f"{result['relative_gap']:.1e}",
            f"{result['distance']:+.1e}",
            f"{result['probability_difference']:.1e}",
        )
        for result in results
    ]
    columns = ("classes", "C", "objective", "gap", "its distance", "probabilities")
    return text_table(columns, lines)


MEASUREMENTS = Measurements(
    name="parity",
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
