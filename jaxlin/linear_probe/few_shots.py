"""Few-shot protocol: probes of k examples per class, on several draws."""

import itertools
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels
from jaxlin.check.diagnosis import counted
from jaxlin.linear_probe.probing import probe
from jaxlin.linear_probe.result import ProbeResult
from jaxlin.numerics import row_arrays
from jaxlin.stats import intervals
from jaxlin.stats.intervals import Spread
from jaxlin.typing import Array

# Options of `probe` that are of all training examples, or of one sweep.
_NOT_OF_A_DRAW = ("weights", "checkpoint")


class FewShot(NamedTuple):
    """Probes of several draws of a few examples per class.

    Attributes:
      accuracy: mean test accuracy over the draws, with its standard deviation and 95 %
        t interval, None for a single draw. The interval is over draws of training
        examples, for these test examples.
      results: result of each draw.
      indices: training examples of each draw, ascending indices.
      short_classes: classes with fewer than k examples, all of which are in each draw.
    """

    accuracy: Spread
    results: tuple[ProbeResult, ...]
    indices: tuple[np.ndarray, ...]
    short_classes: tuple[Any, ...]

    @property
    def overlap(self) -> float:
        """Mean share of a draw's examples that another draw has; 0 for one draw."""
        shares = [
            np.isin(one, other).mean()
            for one, other in itertools.permutations(self.indices, 2)
        ]
        return float(np.mean(shares)) if shares else 0.0

    @property
    def notes(self) -> tuple[str, ...]:
        """Weaknesses of the draws and of their probes, one sentence each."""
        notes = []
        if self.short_classes:
            names = ", ".join(map(str, self.short_classes))
            notes.append(
                f"{counted(len(self.short_classes), 'class')} with fewer examples than "
                f"were asked for, all of which are in each draw: {names:.200}"
            )
        if self.overlap:
            notes.append(
                f"two draws share {100 * self.overlap:.2g} % of their examples in the "
                "mean: the interval over draws is too narrow"
            )
        notes += sorted({note for result in self.results for note in result.notes})
        return tuple(notes)

    def __str__(self) -> str:
        mean, deviation, num_draws, _ = self.accuracy
        spread = "" if deviation is None else f" (deviation {100 * deviation:.2f})"
        proven = sum(result.fit.converged for result in self.results)
        return (
            f"accuracy {100 * mean:.2f} %{spread} over {num_draws} draws, {proven} of "
            "them proven" + "".join(f"; note: {note}" for note in self.notes)
        )


def few_shot(
    key: Array,
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    num_shots: int,
    num_draws: int = 5,
    **options: Any,
) -> FewShot:
    """Probes k random training examples per class, for several draws.

    Each draw is a probe of its own rows alone, with its own normalization: no draw sees
    the rows of another. All draws have the same shapes, and thus share their programs.
    Examples are drawn without replacement within a draw, independently between draws.
    The t interval takes draws for independent; it is too narrow where they share
    examples, whose share ``overlap`` counts, about k over the size of a class.

    Args:
      key: a `jax.random.key`; draw i takes ``jax.random.fold_in(key, i)``.
      features: raw features to draw from, shape ``(examples, features)``; only drawn
        rows of a memory map are read.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      test_features: raw features of the test examples, shape ``(test examples,
        features)``.
      test_labels: labels of the same kind, shape ``(test examples,)``.
      num_shots: number k of examples per class, at least 1. A class that has fewer
        gives all of them, and ``notes`` say so.
      num_draws: number of draws, at least 1.
      **options: keywords of `jaxlin.probe`, except ``weights`` and ``checkpoint``.
        Protocols fix one l2, ``l2s=(1e-3,)``, or choose it on other examples,
        ``validation=(features, labels)`` with ``train_on_validation=False``. A share or
        folds of the drawn examples leave fewer of them to train on.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    if jax.process_count() > 1:
        raise ValueError(
            "few_shot must have all rows in one process, since it draws from them, got "
            f"{jax.process_count()} processes; give the drawn rows to jaxlin.probe"
        )
    check.key("key", key)
    check.integer("num_shots", num_shots, at_least=1)
    check.integer("num_draws", num_draws, at_least=1)
    for name in _NOT_OF_A_DRAW:
        if options.get(name) is not None:
            raise ValueError(
                f"{name} must not be given to few_shot, whose probes are of drawn "
                "examples; call jaxlin.probe for each draw"
            )
    check.concrete("labels", labels)
    codes, classes = class_labels.encode("labels", labels)
    # Arrays are checked by each probe, so that only drawn rows of a map are read.
    rows: Any = features
    if not check.is_array(features):
        rows = row_arrays.rows("features", features)
    check.one_per_example("labels", len(codes), num_examples=rows.shape[0])
    names = check.column_names(features)
    check.check_column_names("test_features", test_features, known=names)
    results, indices = [], []
    for draw in range(num_draws):
        draw_key, probe_key = jax.random.split(jax.random.fold_in(key, draw))
        drawn = _drawn(draw_key, codes, num_shots)
        found = probe(
            probe_key,
            rows[drawn],
            classes[codes[drawn]],
            test_features,
            test_labels,
            **options,
        )
        # Drawn rows are an array, without names.
        results.append(found._replace(fit=found.fit._replace(feature_names=names)))
        indices.append(drawn)
    return FewShot(
        intervals.mean_and_spread([found.test.accuracy.value for found in results]),
        tuple(results),
        tuple(indices),
        tuple(classes[np.bincount(codes) < num_shots].tolist()),
    )


def _drawn(key: Array, codes: np.ndarray, num_shots: int) -> np.ndarray:
    """Ascending indices of random examples, ``num_shots`` of each class or all."""
    order = np.asarray(jax.random.permutation(key, len(codes)))
    by_class = order[np.argsort(codes[order], kind="stable")]
    starts = np.searchsorted(codes[by_class], codes[by_class])
    return np.sort(by_class[np.arange(len(codes)) - starts < num_shots])
