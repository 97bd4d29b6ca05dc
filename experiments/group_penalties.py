"""An l2 for each group of features, chosen by the gradient of the validation loss.

Question. Features are of different use. Is an l2 of its own for each group better than
one for all, and does the gradient of the validation loss find them in fewer fits than a
grid over all groups?

Method. Digits, in draws of ``num_train`` and ``num_validation`` of the 1,297 training
images; the 500 test images choose nothing. Groups are the 64 pixels, the 112 products
of pixels side by side or above one another, and ``num_noise`` columns of noise, all
standardised by the training rows. A fit is softmax with a free bias, certified to
``relative_gap``; an l2 of a group is a scale of its columns. Three choices by the mean
cross-entropy of the validation images: one l2 for all, from ``num_grid`` values; an l2
for each group, from a grid of ``num_group_grid`` values each; and an l2 for each group
by L-BFGS-B of SciPy from the best single one, whose gradients `jax.value_and_grad`
takes through `jaxlin.fit`, ``max_evaluations`` of them at most. Seconds are those of
all fits of a choice, after one that compiles.

Command. ``python -m experiments.group_penalties``.
"""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

import jaxlin
from experiments.common import timing
from experiments.common.config import Count, Positive, Seed
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import data, losses, normalization
from jaxlin.linear import Params

GROUPS = ("pixels", "products", "noise")
METHODS = ("one l2", "grid over groups", "gradient")
# Ends of the values of l2.
_LEAST, _LARGEST = 1e-5, 1e1
# The l2 of all fits, in which a group with an l2 of its own is scaled.
_REFERENCE = 1e-2


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the draws.

    Attributes:
      num_draws: number of draws.
      num_train: training images of a draw, at most 1,200.
      num_validation: validation images of a draw.
      num_noise: columns of noise.
      num_grid: values of one l2 for all.
      num_group_grid: values of the l2 of each group.
      max_evaluations: largest number of gradients.
      relative_gap: gap to be proven by each fit.
      seed: seed of draws and noise.
    """

    num_draws: Count = 5
    num_train: Count = 300
    num_validation: Count = 300
    num_noise: Count = 64
    num_grid: Count = 13
    num_group_grid: Count = 7
    max_evaluations: Count = 20
    relative_gap: Positive = 1e-5
    seed: Seed = 0


SMOKE = Config(
    num_draws=1,
    num_train=60,
    num_validation=60,
    num_noise=8,
    num_grid=2,
    num_group_grid=2,
    max_evaluations=2,
)


def settle(config: Config) -> Config:
    """Returns the config; raises a ValueError for more images than there are."""
    available = 1297
    if config.num_train + config.num_validation > available:
        raise ValueError(
            f"num_validation must be at most {available - config.num_train} beside "
            f"num_train, got {config.num_validation}"
        )
    return config


def group_features(images: np.ndarray, noise: np.ndarray) -> list[np.ndarray]:
    """Features of each group: pixels, products of neighbours, noise."""
    pixels = images.reshape(-1, 8, 8) / 16.0
    products = (
        pixels[:, :, 1:] * pixels[:, :, :-1],
        pixels[:, 1:] * pixels[:, :-1],
    )
    flat = [one.reshape(len(images), -1) for one in (pixels, *products)]
    return [flat[0], np.concatenate(flat[1:], axis=1), noise]


@dataclasses.dataclass(frozen=True)
class Draw:
    """Features and labels of one draw: training, validation and test rows.

    Attributes:
      features: standardised by the training rows, shape ``(rows, features)``.
      labels: digits, shape ``(rows,)``.
      group_of: number of the group of each feature, shape ``(features,)``.
    """

    features: tuple[np.ndarray, ...]
    labels: tuple[np.ndarray, ...]
    group_of: np.ndarray


def draw(config: Config, number: int) -> Draw:
    """The draw of this number."""
    digits = data.load("digits")
    generator = np.random.default_rng([config.seed, number])
    order = generator.permutation(len(digits.train.labels))
    parts = np.split(
        order[: config.num_train + config.num_validation], [config.num_train]
    )
    images = [digits.train.features[part] for part in parts] + [digits.test.features]
    labels = [digits.train.labels[part] for part in parts] + [digits.test.labels]
    groups = [
        group_features(part, generator.normal(size=(len(part), config.num_noise)))
        for part in images
    ]
    rows = [np.concatenate(part, axis=1) for part in groups]
    standard = normalization.fit_standard(rows[0])
    features = [
        ((part - standard.mean) / np.asarray(standard.scale)).astype(np.float32)
        for part in rows
    ]
    widths = [part.shape[1] for part in groups[0]]
    group_of = np.repeat(np.arange(len(GROUPS)), widths)
    return Draw(tuple(features), tuple(labels), group_of)


def fitted(config: Config, drawn: Draw, log_l2: Any) -> Params:
    """Parameters for unscaled features, differentiable in the logarithms of l2."""
    scales = jnp.exp((np.log(_REFERENCE) - jnp.asarray(log_l2)) / 2)[drawn.group_of]
    fit = jaxlin.fit(
        drawn.features[0] * scales[None, :],
        drawn.labels[0],
        loss=losses.softmax_cross_entropy,
        l2=_REFERENCE,
        bias="free",
        classes=range(10),
        stop=jaxlin.Stop(config.relative_gap),
    )
    return fit.params._replace(weights=fit.params.weights * scales[None, :])


@jax.jit
def mean_loss(params: Params, features: Any, labels: Any) -> Any:
    """Mean cross-entropy."""
    scores = features @ params.weights.T + params.bias[None, :]
    return jnp.mean(jax.vmap(losses.softmax_cross_entropy)(scores, labels))


def items(config: Config) -> range:
    """The draws."""
    return range(config.num_draws)


def measured(config: Config, _: None, number: int) -> dict[str, Any]:
    """The three choices of a draw."""
    drawn = draw(config, number)

    def validation_loss(log_l2: Any) -> Any:
        params = fitted(config, drawn, log_l2)
        return mean_loss(params, drawn.features[1], drawn.labels[1])

    gradient = jax.value_and_grad(validation_loss)
    gradient(jnp.zeros(len(GROUPS)))
    low, high = float(np.log(_LEAST)), float(np.log(_LARGEST))
    values = np.linspace(low, high, config.num_grid)
    same = [np.full(len(GROUPS), one) for one in values]
    values = np.linspace(low, high, config.num_group_grid)
    grid = [np.array(one) for one in itertools.product(values, repeat=len(GROUPS))]
    one, seconds_of_one = timing.timed(lambda: min(same, key=validation_loss))
    best, seconds_of_grid = timing.timed(lambda: min(grid, key=validation_loss))
    found, seconds = timing.timed(lambda: minimised(config, gradient, one))
    return {
        "draw": number,
        "one l2": outcome(config, drawn, one, len(same), seconds_of_one),
        "grid over groups": outcome(config, drawn, best, len(grid), seconds_of_grid),
        # The first of its fits is at the best single l2, which is known.
        "gradient": outcome(
            config,
            drawn,
            found.x,
            found.nfev + len(same),
            seconds + seconds_of_one,
        ),
    }


def minimised(config: Config, gradient: Callable[..., Any], start: np.ndarray) -> Any:
    """The result of L-BFGS-B of SciPy in the logarithms of l2."""

    def value_and_slope(log_l2: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = gradient(jnp.asarray(log_l2, jnp.float32))
        return float(value), np.asarray(slope, np.float64)

    return scipy.optimize.minimize(
        value_and_slope,
        start,
        jac=True,
        method="L-BFGS-B",
        bounds=[tuple(np.log((_LEAST, _LARGEST)))] * len(GROUPS),
        options={"maxfun": config.max_evaluations, "ftol": 1e-4, "gtol": 1e-4},
    )


def outcome(
    config: Config, drawn: Draw, log_l2: np.ndarray, fits: int, seconds: float
) -> dict[str, Any]:
    """Validation and test of a choice."""
    params = fitted(config, drawn, log_l2)
    _, validation, test = drawn.features
    scores = test @ np.asarray(params.weights).T + np.asarray(params.bias)
    return {
        "l2": np.exp(log_l2),
        "fits": fits,
        "seconds": seconds,
        "validation_loss": mean_loss(params, validation, drawn.labels[1]),
        "test_loss": mean_loss(params, test, drawn.labels[2]),
        "test_accuracy": np.mean(scores.argmax(axis=1) == drawn.labels[2]),
    }


def report(_: Config, rows: Sequence[Mapping[str, Any]]) -> str:
    """A line per draw and choice, then the means over the draws."""
    lines = [_line(row["draw"], name, [row[name]]) for row in rows for name in METHODS]
    lines += [_line("mean", name, [row[name] for row in rows]) for name in METHODS]
    columns = ("draw", "choice", *(f"l2 of {group}" for group in GROUPS))
    more = ("fits", "s", "validation loss", "test loss", "test %")
    return text_table((*columns, *more), lines)


def _line(draw: Any, name: str, found: Sequence[Mapping[str, Any]]) -> tuple[Any, ...]:
    def mean(key: str) -> Any:
        return np.mean([one[key] for one in found], axis=0)

    l2s = np.exp(np.mean(np.log([one["l2"] for one in found]), axis=0))
    return (
        draw,
        name,
        *(f"{one:.2g}" for one in l2s),
        f"{mean('fits'):.0f}",
        f"{mean('seconds'):.1f}",
        f"{mean('validation_loss'):.4f}",
        f"{mean('test_loss'):.4f}",
        f"{100 * mean('test_accuracy'):.2f}",
    )


MEASUREMENTS = Measurements(
    name="group_penalties",
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
