"""Few examples per class: probes of several draws, as `jaxlin.linear_probe.few_shot`.

On validation examples of the file C is chosen for each draw, which does not train on
them: every draw has k examples per class. Without them C must be given. The draws have
the seed of the probe, and draw i is the same for every set of features.
"""

from typing import Any

import jax

from experiments.common import interrupts
from experiments.common.study import Measured, Part, Run
from experiments.common.text_table import text_table
from experiments.probe import fit
from experiments.probe.config import Config
from jaxlin import data, linear_probe
from jaxlin.stats import intervals


def check(config: Config, dataset: data.Dataset) -> None:
    """Raises a ValueError if draws cannot be probed as asked."""
    if not config.num_shots:
        return
    if dataset.validation is None and len(config.cs) > 1:
        raise ValueError(
            "cs must be one value with num_shots unless x_val is given, whose examples "
            f"choose C, got {len(config.cs)} values; give --cs 1"
        )
    if dataset.train_weights is not None:
        raise ValueError(
            "weights_train must not be given with num_shots, whose probes are of drawn "
            "examples, got some"
        )


def parts(config: Config) -> dict[str, Part]:
    """A part for each number of examples per class, by name."""
    return {name(k): _part(k) for k in config.num_shots}


def name(num_shots: int) -> str:
    """Name of the part of a number of examples per class."""
    return f"shots-{num_shots}"


def _part(num_shots: int) -> Part:
    def measured(config: Config, dataset: data.Dataset, run: Run) -> Measured:
        found = _probed(config, fit.scaled(config, dataset), num_shots)
        numbers = _numbers(config, found)
        print(_printed(config, num_shots, numbers))
        for note in numbers["notes"]:
            print(f"note: {note}")
        arrays = {f"draw_{i}": drawn for i, drawn in enumerate(found.indices)}
        return Measured(numbers, arrays)

    return measured


def _probed(
    config: Config, dataset: data.Dataset, num_shots: int
) -> linear_probe.FewShot:
    """Probes of all draws."""
    is_given = dataset.validation is not None
    with interrupts.held_back() as stop_if_asked:
        return linear_probe.few_shot(
            jax.random.key(config.seed),
            *dataset.train,
            *dataset.test,
            num_shots=num_shots,
            num_draws=config.num_draws,
            validation=fit.validation(config, dataset) if is_given else None,
            train_on_validation=not is_given,
            callback=lambda state: stop_if_asked(),
            **fit.options(config, dataset),
        )


def _numbers(config: Config, found: linear_probe.FewShot) -> dict[str, Any]:
    """Mean of the accuracy over draws with its interval, and each draw."""
    kind = "accuracy"
    if config.metric == "mean_per_class":
        kind = "mean_per_class_accuracy"
    accuracies = [getattr(result.test, kind).value for result in found.results]
    spread = intervals.mean_and_spread(accuracies)
    draws = [
        {
            "accuracy": accuracy,
            "num_train": len(drawn),
            "l2": result.l2,
            "relative_gap": result.fit.relative_gap,
            "converged": result.fit.converged,
        }
        for accuracy, drawn, result in zip(
            accuracies, found.indices, found.results, strict=True
        )
    ]
    return {
        "accuracy": spread.mean,
        "standard_deviation": spread.standard_deviation,
        "interval": None if spread.interval is None else list(spread.interval),
        "num_proven": sum(draw["converged"] for draw in draws),
        "overlap": found.overlap,
        "notes": list(found.notes),
        "draws": draws,
    }


def _printed(config: Config, num_shots: int, numbers: dict[str, Any]) -> str:
    low, high = numbers["interval"] or (None, None)
    shares = (numbers["accuracy"], numbers["standard_deviation"], low, high)
    return text_table(
        (
            "examples per class",
            "accuracy",
            "deviation over draws",
            "95 % from",
            "to",
            "proven",
        ),
        [
            (
                num_shots,
                *("-" if share is None else f"{share:.4f}" for share in shares),
                f"{numbers['num_proven']} of {config.num_draws}",
            )
        ],
    )
