"""The probe: its comparison of l2, its final fit, its test."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, evaluation, losses, predictions
from jaxlin import normalization as normalization_of
from jaxlin.io.checkpoint import Path
from jaxlin.linear import BiasName
from jaxlin.linear_probe import examples, selected_fit
from jaxlin.linear_probe.l2_choice import SweepOptions
from jaxlin.linear_probe.result import ProbeResult
from jaxlin.normalization import Normalization
from jaxlin.numerics import processes
from jaxlin.problems import FitNormalization
from jaxlin.selection import rules
from jaxlin.selection.held_out import Validation
from jaxlin.selection.parts import Parts
from jaxlin.selection.rules import Choose
from jaxlin.selection.sweep import SweepCallback
from jaxlin.solvers import stopping
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Array, Loss


def probe(
    key: Array,
    features: ArrayLike,
    labels: ArrayLike,
    test_features: ArrayLike,
    test_labels: ArrayLike,
    *,
    loss: Loss = losses.softmax_cross_entropy,
    cs: Sequence[float] | None = None,
    l2s: Sequence[float] | None = None,
    bias: BiasName = "free",
    weights: ArrayLike | None = None,
    class_weights: str | Sequence[float] | None = None,
    undo_prior_shift: bool = False,
    normalization: Normalization
    | FitNormalization
    | None = normalization_of.fit_standard,
    classes: Any = None,
    validation: Validation | tuple[ArrayLike, ArrayLike] = 0.1,
    train_on_validation: bool = True,
    mean_per_class: bool = False,
    choose: Choose = rules.best,
    stop: Stop = stopping.DEFAULT,
    checkpoint: Path | Parts | None = None,
    callback: SweepCallback | None = None,
    slots: int | None = None,
    block_size: int | None = None,
    memory_bytes: int | None = None,
) -> ProbeResult:
    """Chooses l2 on held-out examples, refits on all training examples, tests once.

    Args:
      key: a `jax.random.key` for the held-out examples, where they are drawn.
      features: raw features of the training examples, shape ``(examples, features)``.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``.
      test_features: raw features of the test examples, shape ``(test examples,
        features)``.
      test_labels: labels of the same kind, shape ``(test examples,)``; used once, to
        test the final fit.
      loss: loss with a conjugate (`jaxlin.losses.conjugates`).
      cs: distinct values of scikit-learn's C to try, above 0. A fit has the l2 of C on
        the examples that it trains on, as scikit-learn's has
        (`jaxlin.objective.penalties.l2_of_c_for`); on the mean of the folds where there
        are several. None takes `jaxlin.linear_probe.CS`, unless ``l2s`` is given.
      l2s: instead of ``cs``, distinct strengths of the penalty to try, above 0, the
        same on any number of examples. With a single value, held-out examples only set
        the temperature, and there may be none.
      bias: treatment of the bias, as in `jaxlin.fit`. It is free by default, as in
        published protocols: with the strongest penalty, probabilities are then the
        shares of the classes. Every class needs a training example. Labels of the
        optimum are certified at smaller gaps than with ``"penalized"``.
      weights: weights of the training examples, shape ``(examples,)``, non-negative;
        None is all ones. They count in the normalization, ``cs``, all fits, the
        held-out accuracy and loss, and the temperature. Held-out examples are drawn
        without regard to them, but never of weight 0. Examples of a given validation
        set have weight 1. The test is unweighted.
      class_weights: factors of the weights by class, in fits and the temperature only:
        "balanced", inversely proportional to the weight of the class among the training
        examples; or one number above 0 per class, in the order of ``classes``. None is
        all ones. They shift the prior: probabilities are those of a population in which
        a class is more frequent by its factor.
      undo_prior_shift: whether to subtract the logarithms of the class weights from the
        bias of the final fit, so that its labels and probabilities are those of the
        population of the training examples. For the softmax cross-entropy only.
      normalization: normalisation of the features, a function that fits one to the
        training features without the held-out ones (per fold, in a sweep per fold), or
        None. Default: standardises each feature. `jaxlin.normalization.unit_rows`
        scales rows to length 1, before they are given.
      classes: distinct labels in the order of the scores; None takes those that occur
        in ``labels``. Validation and test labels must be among them.
      validation: examples on which l2 are compared: a share in (0, 1) of the training
        examples, or a whole number of folds of them, drawn stratified by label;
        training examples to hold out, as fold ids, mask, indices or split
        (`jaxlin.selection.held_out`; `jaxlin.selection.folds.grouped_k_fold` keeps
        groups together); a pair ``(features, labels)`` of other examples, which are
        copied into one array with the training examples; or None.
      train_on_validation: whether the final fit trains on all examples, those of the
        validation included. False leaves them out, for one held-out set.
      mean_per_class: whether held-out accuracy and loss are means over classes of the
        means over the examples of each class.
      choose: selection rule: `jaxlin.selection.rules.best`, ``one_standard_error``, or
        a function with their arguments.
      stop: stopping criterion of each compared fit; the final fit may take ten times as
        many passes, and continues in float64 where float32 cannot prove the gap. The
        table reports the gaps reached.
      checkpoint: file to which the sweep is saved and from which it resumes, or
        `jaxlin.selection.parts.Parts`; None saves nothing. Where each fold has a sweep,
        its index is added to the name of a single file; parts are dealt to the sweeps.
      callback: function ``callback(state)``, called after some iterations of each
        sweep; None calls nothing.
      slots: number of models fitted at once, at least one; None lets
        `jaxlin.selection.plans` choose.
      block_size: rows per block of a pass, at least 1; None chooses it from the shape.
      memory_bytes: largest size of the states of running models
        (`jaxlin.selection.plans.plan`); None is its default.

    Returns:
      The result: ``fit``, the final fit, calibrated, which `jaxlin.predict` and
      `jaxlin.save` take; ``test``, its metrics on the test examples with intervals and
      proven bounds for the exact optimum; ``table``, the comparison that chose l2;
      ``at_edge`` and ``notes``, what may be wrong with the choice. `ProbeResult`
      describes all of them.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
      OSError: if the checkpoint cannot be read or written.
    """
    data = {
        "key": key,
        "features": features,
        "labels": labels,
        "test_features": test_features,
        "test_labels": test_labels,
    }
    for name, value in data.items():
        check.concrete(name, value)
    check.key("key", key)
    stopping.checked(stop)
    values = selected_fit.values_to_try(cs, l2s)
    given = examples.make(
        key,
        features,
        labels,
        validation=validation,
        num_settings=len(values),
        weights=weights,
        class_weights=class_weights,
        normalization=normalization,
        classes=classes,
    )
    processes.check_everywhere(
        lambda: predictions.check_examples(
            test_features,
            test_labels,
            num_features=given.problem.num_features,
            classes=given.problem.classes,
            feature_names=given.problem.feature_names,
            prefix="test_",
        )
    )
    selected_fit.check_options(
        given,
        loss=loss,
        train_on_validation=train_on_validation,
        undo_prior_shift=undo_prior_shift,
    )
    found = selected_fit.select(
        given,
        values,
        are_cs=l2s is None,
        loss=loss,
        bias=bias,
        choose=choose,
        mean_per_class=mean_per_class,
        train_on_validation=train_on_validation,
        undo_prior_shift=undo_prior_shift,
        options=SweepOptions(
            stop, checkpoint, callback, slots, block_size, memory_bytes
        ),
    )
    final, chosen = found.fit, found.choice
    own, codes = (
        processes.gather_rows(one) for one in (given.own_weights, given.codes)
    )
    is_held_out = processes.gather_rows(given.parts.any(axis=0))
    single = np.flatnonzero(np.bincount(codes, weights=own > 0) == 1)
    is_shifted = class_weights is not None and not undo_prior_shift
    table = chosen.table
    return ProbeResult(
        test=evaluation.evaluate(final, test_features, test_labels),
        fit=final,
        setting=chosen.setting,
        at_edge=chosen.at_edge,
        temperature=found.temperature,
        table=table,
        class_weights=given.class_weights if is_shifted else None,
        passes=final.passes + (0 if table is None else table.fits.slot_passes),
        num_held_out=int(is_held_out.sum()),
        effective_held_out=_effective_size(is_held_out * own),
        single_classes=tuple(given.problem.classes[single].tolist()),
    )


def _effective_size(weights: np.ndarray) -> float:
    """Kish's effective sample size of example weights; 0 if all are 0."""
    squares = np.square(weights).sum()
    return float(weights.sum() ** 2 / squares) if squares else 0.0
