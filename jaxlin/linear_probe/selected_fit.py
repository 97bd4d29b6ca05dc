"""Choice of l2 and the fit on it, before any test."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxlin import check, fits, losses
from jaxlin.linear import BiasName
from jaxlin.linear_probe import calibrated_fit, l2_choice
from jaxlin.linear_probe.examples import ProbeExamples
from jaxlin.linear_probe.l2_choice import Choice, SweepOptions
from jaxlin.numerics import processes
from jaxlin.objective.penalties import l2_of_c_for
from jaxlin.selection import grids, sweep
from jaxlin.selection.calibration import Temperature
from jaxlin.selection.rules import Choose
from jaxlin.solvers.fitted import Fit
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss

#: Values of scikit-learn's C in DINOv2's protocol.
CS = tuple(float(c) for c in np.logspace(-6, 5, 45))


class SelectedFit(NamedTuple):
    """Fit at the chosen l2.

    Attributes:
      fit: final fit, with the temperature.
      choice: comparison that chose l2.
      temperature: temperature of the scores.
    """

    fit: Fit
    choice: Choice
    temperature: Temperature


def select(
    given: ProbeExamples,
    values: Sequence[float],
    *,
    are_cs: bool,
    loss: Loss,
    bias: BiasName,
    choose: Choose,
    mean_per_class: bool,
    train_on_validation: bool,
    undo_prior_shift: bool,
    options: SweepOptions,
    final_stop: Stop | None = None,
) -> SelectedFit:
    """Chooses l2 on the held-out examples, fits again and calibrates.

    Args:
      given: training examples.
      values: distinct values of C or of l2.
      are_cs: whether they are values of C: a fit then has the l2 of C on the examples
        that it trains on.
      loss: loss with a conjugate.
      bias: treatment of the bias.
      choose: selection rule.
      mean_per_class: whether accuracy and loss are means over classes.
      train_on_validation: whether the final fit trains on all examples.
      undo_prior_shift: whether the final fit is of the population of the training
        examples, whatever the class weights.
      options: keywords of the sweeps.
      final_stop: stopping criterion of the final fit; None is that of the sweeps with
        ten times as many passes.

    Raises:
      ValueError: if an argument is invalid; the message gives the rule and the value.
    """
    if not callable(choose):
        raise ValueError(
            "choose must be a selection rule, such as jaxlin.selection.rules.best, got "
            f"{choose!r}"
        )
    compared_total, final_total = total_weights(given, train_on_validation)
    if are_cs:
        values = l2_of_c_for(
            loss,
            values,
            total_weight=compared_total,
            num_classes=given.problem.num_classes,
        )
    choice = l2_choice.choose_l2(
        given,
        values,
        loss=loss,
        bias=bias,
        choose=choose,
        mean_per_class=mean_per_class,
        options=options,
    )
    stop = options.stop
    final = _final_fit(
        given,
        choice,
        loss=loss,
        bias=bias,
        l2=choice.l2 * (compared_total / final_total if are_cs else 1),
        stop=final_stop or Stop(stop.relative_gap, 10 * stop.max_passes),
        train_on_validation=train_on_validation,
    )
    final, temperature = calibrated_fit.calibrated(
        given, choice.fits, final, undo_prior_shift=undo_prior_shift
    )
    return SelectedFit(final, choice, temperature)


def values_to_try(
    cs: Sequence[float] | None, l2s: Sequence[float] | None
) -> tuple[float, ...]:
    """Checked values of C or of l2, one of which is given; `CS` if neither is."""
    if cs is not None and l2s is not None:
        raise ValueError("cs must not be given with l2s, got both; give one of them")
    if l2s is not None:
        return check.numbers_list("l2s", l2s, above=0)
    return check.numbers_list("cs", CS if cs is None else cs, above=0)


def check_options(
    given: ProbeExamples,
    *,
    loss: Loss,
    train_on_validation: bool,
    undo_prior_shift: bool,
) -> None:
    """Raises a ValueError for options that do not fit the examples or the loss."""
    if not train_on_validation and len(given.parts) != 1:
        raise ValueError(
            "train_on_validation must be True unless there is one held-out set, got "
            f"False for {len(given.parts)} of them"
        )
    if undo_prior_shift and loss is not losses.softmax_cross_entropy:
        raise ValueError(
            "undo_prior_shift must be False unless the loss is softmax_cross_entropy, "
            "whose scores are logarithms of probabilities, got True with "
            f"{getattr(loss, '__name__', loss)}"
        )


def total_weights(
    given: ProbeExamples, train_on_validation: bool
) -> tuple[float, float]:
    """Total weight that compared fits train on, in the mean, and the final fit."""
    everything, parts = float(processes.total(given.weights.sum())), given.parts
    if not len(parts):
        return everything, everything
    of_parts = float(processes.total((1 - parts) @ given.weights).mean())
    return of_parts, everything if train_on_validation else of_parts


def _final_fit(
    given: ProbeExamples,
    chosen: Choice,
    *,
    loss: Loss,
    bias: BiasName,
    l2: float,
    stop: Stop,
    train_on_validation: bool,
) -> Fit:
    """Fit on all examples, or on those that are not held out."""
    if train_on_validation:
        start = chosen.fits[0].params if chosen.fits else None
        return fits.fit(
            given.problem,
            loss=loss,
            l2=l2,
            bias=bias,
            start=start,
            stop=stop,
            refine=True,
        )
    # As a weight set, which shares the rows on the device with the comparison.
    (problem,) = given.part_problems
    models = grids.product(losses=(loss,), l2s=(l2,), bias=bias)
    found = sweep.fit_models(
        problem, models, weight_sets=1 - given.parts, stop=stop, refine=True
    )
    trained_on = given.weights * (1 - given.parts[0])
    radius = fits.bias_radius(problem, found[0], example_weights=trained_on)
    return found[0]._replace(bias_radius=radius)
