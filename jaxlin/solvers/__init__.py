"""Solvers: each a `Solver` for the one loop in `interface`.

  stopping         `Stop`: the gap asked for and the passes allowed
  preconditioner   the metric of a certified fit, from a sample of rows
  lbfgs            L-BFGS directions from a short memory
  interface        the roles (Examples, Settings, Solver), mapping over models, the loop
  minibatch        epochs of minibatch steps with any optax transformation
  random_search    the lecture's search without gradients, global and local
  optimizer_state  the state of a certified fit, started, resumed or warm-started
  fitted           `Fit`: a linear classifier and its proof
  optimizer        the decision after each pass: line search, new direction, new round
  fit_loop         passes until the proof is there
  certified        certified fits of arrays
  streaming        the same over blocks of rows
  model_batch      one pass and one decision for a batch of models
  device_loop      iterations of model batches without the host, for accelerators

`jaxlin.fit`, `jaxlin.sweep` and `jaxlin.train` are the one calls. For own loops import
the module that you need: ``from jaxlin.solvers import interface``.
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
