"""Summary over all samples of each estimate and each choice."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from experiments.cross_validation import ideas
from experiments.cross_validation.config import Config
from experiments.cross_validation.ideas import ESTIMATES, IDEAS, Estimate, Idea, Record
from jaxlin.stats import intervals

_DRAWS = 10_000
# Apart from what samples draw from, whose numbers begin at 0.
_BOOTSTRAP = 2**31


def results(config: Config, records: Sequence[Record]) -> dict[str, Any]:
    """Numbers over all samples."""
    proofs = [record["proofs"] for record in records]
    return {
        "samples": len(records),
        "examples": config.examples,
        "estimates": {
            name: _of_estimate(estimate, records)
            for name, estimate in ESTIMATES.items()
        },
        "choices": {name: _of_choice(idea, records) for name, idea in IDEAS.items()},
        "idea_4_less_idea_3": _four_less_three(config, records),
        "fits": sum(one["fits"] for one in proofs),
        "certified": sum(one["certified"] for one in proofs),
        "largest_relative_gap": max(one["largest_gap"] for one in proofs),
        "passes": sum(one["passes"] for one in proofs),
    }


def rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """One row of results.csv for each sample and estimate."""
    table = []
    for record in records:
        for name, estimate in ESTIMATES.items():
            idea = IDEAS[estimate.idea]
            best = ideas.oracle(record, idea)
            told, truth = ideas.reported(record, estimate), ideas.truth(record, idea)
            table.append(
                {
                    "sample": record["sample"],
                    "idea": estimate.idea,
                    "estimate": name,
                    "l2": record["l2"][ideas.chosen(record, idea)],
                    "reported": told,
                    "truth": truth,
                    "error": told - truth,
                    "truth_of_models_measured": ideas.truth_of_measured(
                        record, estimate
                    ),
                    "best_l2": record["l2"][best],
                    "truth_at_best_l2": record["truth"][idea.fitted_on][best],
                }
            )
    return table


def truths(idea: Idea, records: Sequence[Record]) -> np.ndarray:
    """Accuracy in truth of the classifier of an idea, one a sample."""
    return np.array([ideas.truth(record, idea) for record in records])


def errors(estimate: Estimate, records: Sequence[Record]) -> np.ndarray:
    """Reported less truth, one a sample."""
    reported = np.array([ideas.reported(record, estimate) for record in records])
    return reported - truths(IDEAS[estimate.idea], records)


def log_l2(idea: Idea, records: Sequence[Record]) -> np.ndarray:
    """log10 of the l2 chosen, one a sample."""
    return np.log10([one["l2"][ideas.chosen(one, idea)] for one in records])


def log_best(idea: Idea, records: Sequence[Record]) -> np.ndarray:
    """log10 of the l2 whose classifier is best in truth, one a sample."""
    return np.log10([one["l2"][ideas.oracle(one, idea)] for one in records])


def _of_estimate(estimate: Estimate, records: Sequence[Record]) -> dict[str, Any]:
    idea, error = IDEAS[estimate.idea], errors(estimate, records)
    truth = truths(idea, records)
    of_measured = np.array([ideas.truth_of_measured(one, estimate) for one in records])
    bias = _mean(error)
    return {
        "title": estimate.title,
        "reported": float(np.mean(truth + error)),
        "truth": float(truth.mean()),
        "bias": bias["mean"],
        "bias_standard_error": bias["standard_error"],
        "bias_interval": bias["interval"],
        "spread": float(error.std(ddof=1)),
        # The bias is the sum of these two.
        "too_good_for_models_measured": _mean(truth + error - of_measured),
        "models_measured_less_classifier": _mean(of_measured - truth),
    }


def _of_choice(idea: Idea, records: Sequence[Record]) -> dict[str, Any]:
    chosen, best = log_l2(idea, records), log_best(idea, records)
    truth = truths(idea, records)
    at_best = [one["truth"][idea.fitted_on][ideas.oracle(one, idea)] for one in records]
    return {
        "title": idea.title,
        "log10_l2": _distribution(chosen),
        "log10_best_l2": _distribution(best),
        "log10_l2_less_best": _mean(chosen - best),
        "truth": float(truth.mean()),
        "accuracy_lost": _mean(np.array(at_best) - truth),
    }


def _four_less_three(config: Config, records: Sequence[Record]) -> dict[str, Any]:
    """Returns whether cross-validation varies less than one validation set."""
    three, four = IDEAS["train_validation_test"], IDEAS["cross_validation"]
    pairs = {
        "log10_l2_spread": (log_l2(four, records), log_l2(three, records)),
        "estimate_spread": (
            errors(ESTIMATES["folds"], records),
            errors(ESTIMATES["validation"], records),
        ),
    }
    key = jax.random.fold_in(jax.random.key(config.seed), _BOOTSTRAP)
    return {name: _spread_less(*pair, key=key) for name, pair in pairs.items()}


def _spread_less(first: np.ndarray, second: np.ndarray, *, key) -> dict[str, Any]:
    """Difference of two standard deviations, with a bootstrap over paired samples."""
    size = len(first)
    drawn = np.asarray(jax.random.randint(key, (_DRAWS, size), 0, size))
    found = first[drawn].std(axis=1, ddof=1) - second[drawn].std(axis=1, ddof=1)
    return {
        "difference": float(first.std(ddof=1) - second.std(ddof=1)),
        "interval": [float(end) for end in np.quantile(found, [0.025, 0.975])],
    }


def _mean(values: np.ndarray) -> dict[str, Any]:
    """Mean over samples, with its standard error and 95 % interval."""
    spread = intervals.mean_and_spread(values)
    assert spread.standard_deviation is not None
    assert spread.interval is not None
    return {
        "mean": spread.mean,
        "standard_error": spread.standard_deviation / spread.num_runs**0.5,
        "interval": list(spread.interval),
    }


def _distribution(values: np.ndarray) -> dict[str, Any]:
    return {
        "median": float(np.median(values)),
        "quartiles": [float(end) for end in np.quantile(values, [0.25, 0.75])],
        "spread": float(values.std(ddof=1)),
    }
