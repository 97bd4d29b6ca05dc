"""Model selection without the test set.

  splits            disjoint index arrays: training, validation and test examples
  group_folds       assignment of whole groups to folds
  splitter_folds    fold ids of scikit-learn's splitters
  fold_weights      example weights of all folds of fold ids
  folds             fold ids (stratified, grouped, repeated) as weights of 0 and 1
  held_out          held-out sets where some classes have few examples
  resampling        halves, quarters and bootstrap samples as example weights
  grids             grids of models: losses, l2, loss arguments, weight sets
  plans             slots, path segments and block size of a sweep
  schedule          assignment of models to the slots of a sweep
  sweep_run         iterations of a sweep
  sweep_facts       facts by which a file of another sweep is refused
  sweep_checkpoint  iterations of a sweep, saved and resumed
  parts             parts of a sweep, fitted by tasks that never communicate
  sweep_result      fits of a sweep, as arrays
  refinement        fits of a sweep that float32 cannot prove, in float64
  sweep             hundreds of certified fits in one program (`jaxlin.sweep`)
  training_result   models of a sweep of minibatch training, as arrays
  training          learning rates, seeds, folds and normalisations in one program
                    (`jaxlin.train`)
  rules             the best setting, or the simplest within one standard error
  held_out_metrics  accuracy and loss of each fit on its held-out examples
  cross_validation  every setting on every fold (`jaxlin.cross_validate`)
  nested            accuracy of a whole selection procedure
  calibration       temperature of a softmax

Import the module that you need: ``from jaxlin.selection import splits``.
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
