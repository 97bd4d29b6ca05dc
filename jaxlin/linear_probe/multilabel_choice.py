"""Choice of l2 per label, or for all labels, by held-out average precision."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxlin import predictions
from jaxlin.linear import BiasName, Params
from jaxlin.linear_probe import l2_choice
from jaxlin.linear_probe.examples import ProbeExamples
from jaxlin.linear_probe.l2_choice import SweepOptions
from jaxlin.problems.target_sets import TargetSets
from jaxlin.selection import grids
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers.fitted import Fit
from jaxlin.stats import multilabel
from jaxlin.typing import Loss

# Largest number of scores computed at once, 200 MB.
_MAX_SCORES = 50_000_000


class LabelChoice(NamedTuple):
    """Chosen l2 of each label.

    Attributes:
      setting: index of the chosen l2 of each label, shape ``(labels,)``.
      held_out: average precisions, shape ``(labels, l2s, parts)``; NaN for a label
        without a positive example in a part; None without parts.
      num_converged: number of compared fits with the requested gap proven.
      slot_passes: number of passes of all slots.
    """

    setting: np.ndarray
    held_out: np.ndarray | None
    num_converged: int
    slot_passes: int


def choose_l2s(
    given: ProbeExamples,
    sets: TargetSets,
    l2s: Sequence[float],
    *,
    loss: Loss,
    bias: BiasName,
    choose: Choose,
    one_l2: bool,
    options: SweepOptions,
) -> LabelChoice:
    """Fits every label and l2 without each part, and chooses an l2 for each label.

    Args:
      given: training examples.
      sets: labels of the training examples.
      l2s: distinct strengths of the penalty, above 0.
      loss: loss with a conjugate.
      bias: treatment of the bias.
      choose: selection rule.
      one_l2: whether all labels have the same l2, by the mean average precision.
      options: keywords of the sweeps.
    """
    num_labels, parts = len(sets.names), given.parts
    if not len(parts):
        return LabelChoice(np.zeros(num_labels, int), None, 0, 0)
    table = np.full((num_labels, len(l2s), len(parts)), np.nan)
    num_converged = slot_passes = 0
    for problem, group, own in l2_choice.sweeps(given, options):
        models = grids.product(
            losses=(loss,),
            l2s=l2s,
            num_weight_sets=len(group),
            num_target_sets=num_labels,
            bias=bias,
        )
        fits = l2_choice.sweep_of(
            problem, models, weight_sets=1 - parts[group], target_sets=sets, options=own
        )
        num_converged += int(fits.converged.sum())
        slot_passes += fits.slot_passes
        for number, part in enumerate(group):
            table[:, :, part] = _average_precisions(
                given, fits, sets, l2s=l2s, weight_set=number, part=int(part)
            )
    setting = _settings(
        table, l2s, choose=choose, one_l2=one_l2, num_repeats=given.num_repeats
    )
    return LabelChoice(setting, table, num_converged, slot_passes)


def label_scores(params: Params, fit: Fit, features: Any) -> np.ndarray:
    """Scores of True minus those of False of several models, ``(examples, models)``.

    Args:
      params: two-class parameters with the models first.
      fit: one of their fits, for the normalization that they share.
      features: raw features, shape ``(examples, features)``.
    """
    differences: Any = Params(*(leaf[:, 1] - leaf[:, 0] for leaf in params))
    return predictions.scores(fit._replace(params=differences), features)


def _average_precisions(
    given: ProbeExamples,
    fits: SweepResult,
    sets: TargetSets,
    *,
    l2s: Sequence[float],
    weight_set: int,
    part: int,
) -> np.ndarray:
    """Average precisions on the held-out examples of a part, ``(labels, l2s)``."""
    out, models = np.flatnonzero(given.parts[part]), fits.models
    features = given.problem.whole_rows.features[out]
    target_set: Any = models.target_set
    of_l2 = np.searchsorted(np.sort(l2s), models.l2)
    position = np.argsort(np.argsort(l2s))
    found = np.zeros((len(sets.names), len(l2s)))
    size = max(1, _MAX_SCORES // (len(out) * len(l2s)))
    for first in range(0, len(sets.names), size):
        labels = np.arange(first, min(first + size, len(sets.names)))
        own = np.flatnonzero(
            np.isin(target_set, labels) & (models.weight_set == weight_set)
        )
        params = jax.tree.map(lambda leaf, own=own: leaf[own], fits.params)
        scores = label_scores(params, fits[int(own[0])], features)
        target = target_set[own]
        values = multilabel.average_precision(scores, sets.codes[out][:, target])
        by_label = np.zeros((len(labels), len(l2s)))
        by_label[target - first, of_l2[own]] = values
        found[labels] = by_label[:, position]
    return found


def _settings(
    table: np.ndarray,
    l2s: Sequence[float],
    *,
    choose: Choose,
    one_l2: bool,
    num_repeats: int,
) -> np.ndarray:
    """Index of the l2 of each label; of all labels where a label cannot be judged."""
    is_known = ~np.isnan(table).any(axis=1)
    parts = is_known.any(axis=0)
    if not parts.all():
        raise ValueError(
            "validation must hold out an example with a label in each part, got none "
            f"in part {int(np.argmin(parts))}; hold out more examples"
        )

    def chosen(scores: np.ndarray) -> int:
        # Parts left out belong to no whole partition, unless each is one of its own.
        repeats, num_parts = 1, scores.shape[1]
        if num_parts == table.shape[2] or num_repeats == table.shape[2]:
            repeats = num_parts * num_repeats // table.shape[2]
        return choose(scores, strength=np.asarray(l2s), num_repeats=repeats)

    shared = chosen(np.nanmean(table, axis=0))
    return np.array(
        [
            shared if one_l2 or not known.any() else chosen(scores[:, known])
            for scores, known in zip(table, is_known, strict=True)
        ]
    )
