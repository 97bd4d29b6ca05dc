"""jaxlin: linear classification in JAX, as pure functions, with proven fits.

Fit, prove, predict::

    import jaxlin
    from jaxlin import losses
    fit = jaxlin.fit(features, labels, loss=losses.weston_watkins_hinge, l2=1e-2)
    print(fit)                           # objective, proven gap, passes
    jaxlin.predict(fit, new_features)    # in the labels that were given

Chapters, in the order of imports (`jaxlin.chapters`):

  typing         protocols of losses, distances, penalties; short names of types
  chapters       this list
  check          checks of data and settings, where they enter
  numerics       compensated sums, full-precision products, devices, processes
  class_labels   names of classes and their codes
  normalization  centering and scaling of rows
  linear         parameters and scores of a linear classifier
  losses         losses of one example, their transforms and conjugates
  objective      mean loss plus penalty, in passes over blocks of rows
  certificates   duality gap, Fenchel-Young terms, certified labels
  stats          metrics, intervals, paired comparison, error decomposition
  geometry       hyperplanes, robustness, separability, lines in the plane
  features       features of images: learned patches, a small network
  solvers        solvers and their loop: certified, minibatch, random search
  neighbors      distances, exact search of nearest neighbours, votes, local fits
  sharding       rows spread over devices
  problems       examples, checked once: `jaxlin.problem`
  fits           certified fits: `jaxlin.fit`, `jaxlin.certify`
  io             atomic files and checkpoints
  selection      splits, folds, sweeps, cross-validation, rules of choice, calibration
  predictions    labels, scores and probabilities of a fit
  evaluation     metrics of a fit on test examples: `jaxlin.evaluate`
  sensitivity    leave-one-out, influence of examples, covariance of a fit
  linear_probe   choose, refit, test once: `jaxlin.probe`
  saving         a fit in one file: `jaxlin.save`, `jaxlin.load`
  sklearn        estimators for scikit-learn
  data           data sets as checked NumPy arrays
  plotting       figures on given axes
"""

import importlib
from typing import TYPE_CHECKING, Any

from jaxlin.chapters import CHAPTERS

if TYPE_CHECKING:
    from jaxlin.evaluation import Evaluation as Evaluation
    from jaxlin.evaluation import evaluate as evaluate
    from jaxlin.fits import certify as certify
    from jaxlin.fits import fit as fit
    from jaxlin.linear_probe import ProbeResult as ProbeResult
    from jaxlin.linear_probe import probe as probe
    from jaxlin.predictions import certified_labels as certified_labels
    from jaxlin.predictions import predict as predict
    from jaxlin.predictions import probabilities as probabilities
    from jaxlin.predictions import scores as scores
    from jaxlin.problems import Problem as Problem
    from jaxlin.problems import problem as problem
    from jaxlin.saving import load as load
    from jaxlin.saving import save as save
    from jaxlin.selection.cross_validation import CrossValidation as CrossValidation
    from jaxlin.selection.cross_validation import cross_validate as cross_validate
    from jaxlin.selection.sweep import sweep as sweep
    from jaxlin.selection.sweep_result import SweepResult as SweepResult
    from jaxlin.selection.training import train as train
    from jaxlin.selection.training_result import TrainingResult as TrainingResult
    from jaxlin.sensitivity.covariance import covariance as covariance
    from jaxlin.sensitivity.covariance_result import Covariance as Covariance
    from jaxlin.sensitivity.influence import Influence as Influence
    from jaxlin.sensitivity.influence import influence as influence
    from jaxlin.sensitivity.leave_one_out import LeaveOneOut as LeaveOneOut
    from jaxlin.sensitivity.leave_one_out import leave_one_out as leave_one_out
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
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "LeaveOneOut": "sensitivity.leave_one_out",
    "leave_one_out": "sensitivity.leave_one_out",
    "Influence": "sensitivity.influence",
    "influence": "sensitivity.influence",
    "Covariance": "sensitivity.covariance_result",
    "covariance": "sensitivity.covariance",
    "SweepResult": "selection.sweep_result",
    "sweep": "selection.sweep",
    "CrossValidation": "selection.cross_validation",
    "cross_validate": "selection.cross_validation",
    "TrainingResult": "selection.training_result",
    "train": "selection.training",
    "ProbeResult": "linear_probe",
    "probe": "linear_probe",
    "save": "saving",
    "load": "saving",
}
_ROOMS = tuple(name for name, chapter in CHAPTERS.items() if chapter.is_room)
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
    return sorted([*__all__, "__version__"])
