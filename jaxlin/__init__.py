"""jaxlin: linear classification in JAX, as pure functions, with proven fits.

Fit, prove, predict::

    import jaxlin
    from jaxlin import losses
    fit = jaxlin.fit(features, labels, loss=losses.weston_watkins_hinge, l2=1e-2)
    print(fit)                           # objective, proven gap, passes
    jaxlin.predict(fit, new_features)    # in the labels that were given

Modules, in the order of their chapters (a file imports only from those before it):

  typing, check, precision,
  placement, processes                words, what may enter, devices and processes
  class_labels, normalization,
  linear, losses, loss_transforms,
  conjugates, penalties, metrics,
  distances, all_pairs, geometry,
  robustness, separability, best_line mathematics of one example, one pair of them, one
                                      parameter tree or points in the plane
  compensated, row_blocks, row_sums,
  objective, proof_terms, duality,
  label_proofs                        one number to minimise, one number to trust
  solvers, features, sharding,
  problems, fits, neighbors           methods; the first doors: checked examples and
                                      certified fits
  intervals, files, checkpoint,
  selection, comparison, variances,
  decomposition                       judging methods
  data, plotting                      the outside world
  predictions, linear_probe, saving   the other doors: labels of a fit, features in and
                                      one answer out, a fit in one file
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jaxlin.fits import certify as certify
    from jaxlin.fits import fit as fit
    from jaxlin.linear_probe import ProbeResult as ProbeResult
    from jaxlin.linear_probe import probe as probe
    from jaxlin.predictions import Evaluation as Evaluation
    from jaxlin.predictions import certified_labels as certified_labels
    from jaxlin.predictions import evaluate as evaluate
    from jaxlin.predictions import predict as predict
    from jaxlin.predictions import probabilities as probabilities
    from jaxlin.predictions import scores as scores
    from jaxlin.problems import Problem as Problem
    from jaxlin.problems import problem as problem
    from jaxlin.saving import load as load
    from jaxlin.saving import save as save
    from jaxlin.selection.cross_validation import CrossValidation as CrossValidation
    from jaxlin.selection.cross_validation import cross_validate as cross_validate
    from jaxlin.selection.sweep import SweepResult as SweepResult
    from jaxlin.selection.sweep import sweep as sweep
    from jaxlin.selection.training import TrainingResult as TrainingResult
    from jaxlin.selection.training import train as train
    from jaxlin.solvers.fitted import Fit as Fit
    from jaxlin.solvers.stopping import Stop as Stop

__version__ = "0.1.0"

# The doors and where they are; loaded at first use, so that importing costs nothing.
_DOORS = {
    "Problem": "problems",
    "problem": "problems",
    "Stop": "solvers.stopping",
    "Fit": "solvers.fitted",
    "fit": "fits",
    "certify": "fits",
    "scores": "predictions",
    "predict": "predictions",
    "probabilities": "predictions",
    "certified_labels": "predictions",
    "Evaluation": "predictions",
    "evaluate": "predictions",
    "SweepResult": "selection.sweep",
    "sweep": "selection.sweep",
    "CrossValidation": "selection.cross_validation",
    "cross_validate": "selection.cross_validation",
    "TrainingResult": "selection.training",
    "train": "selection.training",
    "ProbeResult": "linear_probe",
    "probe": "linear_probe",
    "save": "saving",
    "load": "saving",
}
_ROOMS = (
    "all_pairs",
    "best_line",
    "comparison",
    "conjugates",
    "data",
    "decomposition",
    "distances",
    "duality",
    "features",
    "geometry",
    "intervals",
    "label_proofs",
    "linear",
    "loss_transforms",
    "losses",
    "metrics",
    "neighbors",
    "normalization",
    "objective",
    "penalties",
    "plotting",
    "robustness",
    "row_blocks",
    "selection",
    "separability",
    "sharding",
    "solvers",
    "variances",
)
__all__ = [*_DOORS, *_ROOMS]  # noqa: PLE0604


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"jaxlin.{name}")
    if name not in _DOORS:
        raise AttributeError(f"module 'jaxlin' has no attribute {name!r}")
    door = getattr(importlib.import_module(f"jaxlin.{_DOORS[name]}"), name)
    globals()[name] = door
    return door


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
