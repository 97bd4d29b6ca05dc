"""Other features of the same test examples: probed alike, compared example by example.

The comparison is that of `jaxlin.linear_probe.compare`, from what a run keeps of the
first probe, so that a run can be continued between the two.
"""

from typing import Any

import jax
import numpy as np

from experiments.common import paired
from experiments.common.study import Measured, Run
from experiments.probe import fit, source
from experiments.probe.config import Config
from jaxlin import data
from jaxlin.stats import comparison

# File of the sweep of the other features.
_SWEEP = "sweep-compare.npz"


def checked(config: Config, dataset: data.Dataset) -> data.Dataset | None:
    """The other features of the same test examples, if these were asked for.

    Raises:
      ValueError: if their classes, test examples or training examples do not fit.
    """
    if config.compare is None:
        return None
    other = source.other(config)
    if other.class_names != dataset.class_names:
        raise ValueError(
            f"compare must have the classes of {dataset.name}, got {other.num_classes} "
            f"classes in {config.compare} and {dataset.num_classes}; give both files "
            "the same class_names"
        )
    first, second = dataset.test.labels, other.test.labels
    if not np.array_equal(first, second):
        raise ValueError(
            "compare must have the same test examples in the same order, got "
            f"{len(second)} in {config.compare} and {len(first)}, whose y_test differ; "
            "write both files from one list of examples"
        )
    fit.check(config, other)
    return other


def part(config: Config, dataset: data.Dataset, run: Run) -> Measured:
    """Probe of the other features, and what it says against the first."""
    # Read again: features of both are not in memory while the first are probed.
    other = fit.scaled(config, source.other(config))
    found = fit.fitted(
        config,
        other,
        run.folder.path / _SWEEP,
        num_models=fit.models(config).size,
    )
    model = found.fit._replace(classes=np.array(other.class_names))
    kept = run.arrays("probe")
    labels = kept["label"]
    key = jax.random.key(config.seed)
    difference = comparison.paired_bootstrap(
        kept["log_loss"].astype(float) - found.test.example_log_losses, key=key
    )
    numbers = {
        "name": other.name,
        "num_features": other.num_features,
        "accuracy": found.test.accuracy.value,
        "interval": list(found.test.accuracy.interval),
        "log_loss": found.test.log_loss.value,
        "relative_gap": found.fit.relative_gap,
        "optimum_in_words": str(found.test.optimum),
        "c": config.cs[found.setting],
        "l2": found.l2,
        "at_edge": found.at_edge,
        "temperature_at_bound": bool(found.temperature.at_bound),
        "notes": list(found.notes),
        "log_loss_difference": difference.value,
        "log_loss_interval": list(difference.interval),
        "compared": paired.compare(
            kept["prediction"], found.test.predictions, labels, key=key
        ),
    }
    gaps = {
        dataset.name: run.numbers("probe")["relative_gap"],
        numbers["name"]: numbers["relative_gap"],
    }
    for name, gap in gaps.items():
        kind = "proven" if gap <= config.relative_gap else "not proven"
        print(f"fit of {name}: {kind}, gap {gap:.1e} of {config.relative_gap:g}")
    print(_printed(dataset.name, numbers))
    arrays = {"prediction": found.test.predictions}
    return Measured(numbers, arrays, {"model": model})


def _printed(first: str, numbers: dict[str, Any]) -> str:
    """The differences as one line."""
    compared = numbers["compared"]
    low, high = (100 * end for end in compared["interval"])
    return (
        f"{first} less {numbers['name']}: accuracy "
        f"{100 * compared['difference']:+.2f} points [{low:+.2f}, {high:+.2f}], exact "
        f"McNemar p = {compared['mcnemar_p']:.3g}; log loss "
        "{log_loss_difference:+.4f} [{log_loss_interval[0]:+.4f}, "
        "{log_loss_interval[1]:+.4f}]".format(**numbers)
    )
