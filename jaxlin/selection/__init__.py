"""Model selection without touching the test set.

  splits            disjoint index arrays: training, validation and test examples
  folds             k folds, stratified, grouped, repeated, as weights of 0 and 1
  held_out          parts to choose by, where some classes have few examples
  resampling        halves, quarters and bootstrap samples as example weights
  grids             the models of a sweep
  plans             how much of the machine a sweep uses
  schedule          which model is in which slot of a sweep
  sweep_run         the run of a sweep
  sweep_checkpoint  the same, saved as it goes
  sweep             hundreds of certified fits in one program (`jaxlin.sweep`)
  training          learning rates, seeds, folds and normalisations in one program
                    (`jaxlin.train`)
  rules             the best setting, or the simplest within one standard error
  cross_validation  every setting on every fold (`jaxlin.cross_validate`)
  nested            an honest estimate of the chosen setting
  calibration       the temperature of a softmax

Import the module that you need: ``from jaxlin.selection import splits``.
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
