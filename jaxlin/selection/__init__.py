"""Choosing between models without touching the test set.

  splits            disjoint index arrays: training, validation and test examples
  folds             k folds, stratified, grouped, repeated, as weights of 0 and 1
  held_out          parts to choose by, where some classes have few examples
  grids             which models a sweep fits
  plans             with how much of the machine
  schedule          which model is in which slot of a sweep, turn by turn
  sweep_run         the run of a sweep; `sweep_checkpoint` saves it as it goes
  sweep             hundreds of certified fits in one program (`jaxlin.sweep`)
  training          learning rates, seeds, folds and normalisations in one program
                    (`jaxlin.train`)
  cross_validation  every setting on every fold (`jaxlin.cross_validate`)
  nested            and an honest estimate of what was chosen so
  choice            the best setting, or the simplest within one standard error
  calibration       the temperature of a softmax

Import the module that you need: ``from jaxlin.selection import splits``.
"""
