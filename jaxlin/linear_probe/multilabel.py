"""Probe of several labels per example: one binary problem per label, one program.

>>> import jax
>>> from jaxlin import linear_probe
>>> key = jax.random.key(0)
>>> features = jax.random.normal(key, (400, 6))
>>> indicators = features[:, :3] + features[:, 1:4] > 1
>>> found = linear_probe.multilabel_probe(
...     key, features[:300], indicators[:300], features[300:], indicators[300:],
...     cs=(0.1, 10))
>>> found.test.mean_average_precision.value > 0.95, found.fits.converged.all()
(True, np.True_)
>>> linear_probe.label_scores(found, features[:2]).shape
(2, 3)
"""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, fits, losses
from jaxlin import normalization as normalization_of
from jaxlin.io.checkpoint import Path
from jaxlin.linear import BiasName
from jaxlin.linear_probe import (
    examples,
    l2_choice,
    multilabel_choice,
    selected_fit,
)
from jaxlin.linear_probe.examples import ProbeExamples
from jaxlin.linear_probe.l2_choice import SweepOptions
from jaxlin.linear_probe.multilabel_result import MultilabelResult
from jaxlin.normalization import Normalization
from jaxlin.numerics import row_arrays
from jaxlin.objective.penalties import l2_of_c_for
from jaxlin.problems import FitNormalization
from jaxlin.problems.target_sets import TargetSets
from jaxlin.selection import grids, rules
from jaxlin.selection.held_out import Validation
from jaxlin.selection.parts import Parts
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import SweepCallback
from jaxlin.selection.sweep_result import SweepResult
from jaxlin.solvers import stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.stats import multilabel
from jaxlin.typing import Array, Loss


def multilabel_probe(
    key: Array,
    features: ArrayLike,
    indicators: ArrayLike,
    test_features: ArrayLike,
    test_indicators: ArrayLike,
    *,
    loss: Loss = losses.softmax_cross_entropy,
    cs: Sequence[float] | None = None,
    l2s: Sequence[float] | None = None,
    bias: BiasName = "free",
    weights: ArrayLike | None = None,
    normalization: Normalization
    | FitNormalization
    | None = normalization_of.fit_standard,
    names: Sequence[Any] | None = None,
    validation: Validation | tuple[ArrayLike, ArrayLike] = 0.1,
    one_l2: bool = False,
    choose: Choose = rules.best,
    stop: Stop = stopping.DEFAULT,
    checkpoint: Path | Parts | None = None,
    callback: SweepCallback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
    memory_bytes: int | None = None,
) -> MultilabelResult:
    """Chooses the l2 of each label on held-out examples, refits, tests once.

    Each label is a problem of two classes, its absence and its presence. All labels,
    l2 and parts share the passes over the rows, and each fit has its certificate.

    Args:
      key: a `jax.random.key` for the held-out examples, where they are drawn.
      features: raw features of the training examples, shape ``(examples, features)``.
      indicators: booleans, or numbers 0 and 1: whether an example has a label, shape
        ``(examples, labels)``. Each label needs a positive and a negative example
        outside each held-out part.
      test_features: raw features of the test examples, shape ``(test examples,
        features)``.
      test_indicators: shape ``(test examples, labels)``; used once, to test the fits.
      loss: loss with a conjugate, of two classes.
      cs: values of scikit-learn's C to try, above 0; None takes
        `jaxlin.linear_probe.CS`, unless ``l2s`` are given. Each fit has the l2 of C and
        the total weight that it trains on, as scikit-learn's of two classes
        (`jaxlin.objective.penalties.l2_of_c_for`).
      l2s: in place of ``cs``, strengths of the penalty to try, above 0.
      bias: treatment of the bias, as in `jaxlin.fit`.
      weights: weights of the training examples, shape ``(examples,)``, non-negative;
        None is all ones. They count in the normalization, ``cs`` and all fits.
        Metrics are unweighted; examples of weight 0 are never held out.
      normalization: normalisation of the features, a function that fits one to the
        training features without the held-out ones, or None. Default: standardises each
        feature.
      names: distinct names of the labels; None takes the columns of a table of
        indicators, and otherwise 0, 1, ...
      validation: examples on which l2 are compared, as in `jaxlin.probe`. A share or a
        number of folds is drawn stratified by the rarest label of each example. A pair
        is ``(features, indicators)``.
      one_l2: whether all labels have the same C, that of the highest mean average
        precision, instead of each label its own.
      choose: selection rule of average precisions: `jaxlin.selection.rules.best`,
        ``one_standard_error``, or a function with their arguments.
      stop: stopping criterion of each compared fit; final fits may take ten times as
        many passes, and continue in float64 where float32 cannot prove the gap.
      checkpoint: file to which the comparison is saved and from which it resumes, as in
        `jaxlin.probe`.
      callback: function ``callback(state)``, called after some iterations of each
        sweep; None calls nothing.
      slots: number of models fitted at once, at least one; None lets
        `jaxlin.selection.plans` choose.
      block_size: rows per block of a pass, at least 1; None chooses it from the shape.
      memory_bytes: largest size of the states of running models
        (`jaxlin.selection.plans.plan`); None is its default.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    check.integer("the number of processes", jax.process_count(), at_most=1)
    check.key("key", key)
    stopping.checked(stop)
    values = selected_fit.values_to_try(cs, l2s)
    sets, names = _checked_sets(indicators, names)
    check.concrete("test_indicators", test_indicators)
    tested = check.indicators(
        "test_indicators", test_indicators, num_labels=sets.codes.shape[1]
    )
    given, sets = _examples(
        key,
        features,
        sets,
        validation=validation,
        num_settings=len(values),
        weights=weights,
        normalization=normalization,
    )
    rows = row_arrays.rows(
        "test_features", test_features, num_features=given.problem.num_features
    )
    check.one_per_example("test_indicators", len(tested), num_examples=rows.shape[0])
    compared_total, final_total = selected_fit.total_weights(given, True)
    compared = final = values
    if l2s is None:
        compared, final = (
            l2_of_c_for(loss, values, total_weight=total, num_classes=2)
            for total in (compared_total, final_total)
        )
    options = SweepOptions(stop, checkpoint, callback, slots, block_size, memory_bytes)
    chosen = multilabel_choice.choose_l2s(
        given,
        sets,
        compared,
        loss=loss,
        bias=bias,
        choose=choose,
        one_l2=one_l2,
        options=options,
    )
    l2 = np.array(final)[chosen.setting]
    # The formula is its own inverse.
    cs = values
    if l2s is not None:
        cs = l2_of_c_for(loss, values, total_weight=final_total, num_classes=2)
    final_fits = _final_fits(given, sets, l2, loss=loss, bias=bias, options=options)
    scores = multilabel_choice.label_scores(final_fits.params, final_fits[0], rows)
    return MultilabelResult(
        names=names,
        test=multilabel.measure(scores, tested),
        fits=final_fits,
        cs=np.array(cs)[chosen.setting],
        at_edge=(len(final) > 1) & ((l2 == min(final)) | (l2 == max(final))),
        held_out=chosen.held_out,
        num_compared=0 if chosen.held_out is None else chosen.held_out.size,
        num_converged=chosen.num_converged,
        passes=chosen.slot_passes + final_fits.slot_passes,
        num_positives=np.count_nonzero(tested, axis=0),
    )


def _final_fits(
    given: ProbeExamples,
    sets: TargetSets,
    l2: np.ndarray,
    *,
    loss: Loss,
    bias: BiasName,
    options: SweepOptions,
) -> SweepResult:
    """Fits of all labels on all examples, each at its l2."""
    models = grids.product(
        losses=(loss,),
        l2s=sorted(set(l2.tolist())),
        num_target_sets=len(l2),
        bias=bias,
    )
    target_set: Any = models.target_set
    is_own = models.l2 == l2[target_set]
    stop = Stop(options.stop.relative_gap, 10 * options.stop.max_passes)
    found = l2_choice.sweep_of(
        given.problem,
        grids.subset(models, np.flatnonzero(is_own)),
        # A set of ones, which shares its programs with a comparison on one part.
        weight_sets=np.ones((1, given.problem.num_examples)),
        target_sets=sets,
        refine=True,
        options=options._replace(stop=stop, checkpoint=None),
    )
    radii = [fits.bias_radius(given.problem, one) for one in found]
    return dataclasses.replace(found, bias_radius=np.array(radii))


def _examples(
    key: Array,
    features: ArrayLike,
    sets: TargetSets,
    *,
    validation: Any,
    num_settings: int,
    weights: ArrayLike | None,
    normalization: Normalization | FitNormalization | None,
) -> tuple[ProbeExamples, TargetSets]:
    """Training examples, and labels of them and of a given validation set."""
    codes = sets.codes
    strata: Any = 0
    # A value without a shape, such as a lazy frame, is refused by name.
    shape = np.shape(features) or row_arrays.rows("features", features).shape
    check.one_per_example("indicators", len(codes), num_examples=shape[0])
    if isinstance(validation, numbers.Real):
        strata = _rarest_labels(codes, weights)
    elif examples.is_set(validation):
        check.concrete("validation[1]", validation[1])
        others = check.indicators(
            "validation[1]", validation[1], num_labels=codes.shape[1]
        )
        validation = (validation[0], others[:, 0] == 1)
        sets = sets._replace(codes=np.concatenate([codes, others]))
    given = examples.make(
        key,
        features,
        # The problem needs labels, of which only the two classes count.
        codes[:, 0] == 1,
        validation=validation,
        num_settings=num_settings,
        weights=weights,
        class_weights=None,
        normalization=normalization,
        classes=(False, True),
        strata=strata,
    )
    return given, sets


def _rarest_labels(codes: np.ndarray, weights: ArrayLike | None) -> np.ndarray:
    """Rarest label of each example, the number of labels where it has none."""
    counted = codes
    if weights is not None:
        checked = check.example_weights("weights", weights, num_examples=len(codes))
        counted = codes[checked > 0]
    rank = np.argsort(np.argsort(counted.sum(axis=0), kind="stable"))
    return np.where(codes == 1, rank, codes.shape[1]).min(axis=1)


def _checked_sets(
    indicators: ArrayLike, names: Sequence[Any] | None
) -> tuple[TargetSets, tuple[Any, ...]]:
    """Checked training labels, and their names as they are given."""
    check.concrete("indicators", indicators)
    codes = check.indicators("indicators", indicators)
    num_labels = codes.shape[1]
    if names is None:
        names = check.column_names(indicators) or range(num_labels)
    # NumPy scalars, such as np.unique gives, cannot be written as JSON.
    given = [one.item() if isinstance(one, np.generic) else one for one in names]
    if len(given) != num_labels or len(set(given)) < num_labels:
        raise ValueError(
            f"names must be {num_labels} distinct names, one per label, got "
            f"{given!r:.80}; name each column of the indicators"
        )
    for value, kind in ((1, "positive"), (0, "negative")):
        missing = ~(codes == value).any(axis=0)
        if missing.any():
            raise ValueError(
                "indicators must have positive and negative training examples of each "
                f"label, got no {kind} one of label {given[np.argmax(missing)]!s}; "
                "leave the label out"
            )
    return TargetSets(codes, tuple(f"label {name!s}" for name in given)), tuple(given)
