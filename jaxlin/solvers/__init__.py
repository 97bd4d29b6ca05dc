"""Solvers and their loop: certified, minibatch, random search.

  stopping         `Stop`: the gap to be proven and the largest number of passes
  class_hessian    mean Hessian of a loss in the scores, from a sample of rows
  preconditioner   preconditioner of certified fits, from a sample of rows
  lbfgs            L-BFGS directions
  interface        Examples, Settings, Solver; maps over models; the training loop
  minibatch        epochs of minibatch steps with any optax transformation
  random_search    the lecture's search without gradients, global and local
  optimizer_state  state of a certified fit: initial, resumed or warm-started
  fitted           `Fit`: a linear classifier and its certificate
  line_search      acceptance of a candidate, shorter steps
  optimizer        decisions after each pass: line search, new direction, new round
  regularization_path  warm start of a model from that with the next larger l2
  fit_checks       checks of a certified fit, before anything is compiled
  fit_loop         passes until the gap is proven
  full_batch       iterations by L-BFGS over any source of rows
  certified        rows on the device, and the solver for custom loops
  full_hessian     Hessian of the mean loss in all weights of a small problem
  conjugate_gradients  preconditioned conjugate gradients
  score_gradients  gradient of the mean loss in the scores of all examples
  hessian_system   linear systems with the Hessian of the objective
  optimum_derivatives  derivatives of a function of the optimum
  derivative_bounds    bounds on their errors
  interior_system  linear system of a step of the interior-point method
  interior_point   interior-point method in float64 for hinges of small problems
  newton           Newton's method in float64 for softmax of small problems
  active_rows      examples of a hinge that have curvature
  semismooth_newton  Newton's method in float64 for hinges of large problems
  float64_methods  choice among the methods that continue a fit in float64
  streaming        rows in blocks, on the host
  model_batch      batches of models of one loss, in slots
  batch_pass       one pass for all models of some batches
  batch_step       next candidate of each model of a batch, warm starts
  device_loop      iterations of model batches without the host, for accelerators

`jaxlin.fit`, `jaxlin.sweep` and `jaxlin.train` run these solvers in one call. A custom
loop imports the modules it needs: ``from jaxlin.solvers import interface``.
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
