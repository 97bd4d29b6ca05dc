"""jaxlin: linear classification in JAX, as pure functions.

Submodules, in the order of their layers (a file imports only from those before it):

  typing, check                       words, and what may enter
  normalization, linear, losses,
  loss_transforms, conjugates,
  penalties, metrics                  mathematics of one example or one parameter tree
  row_sums, objective, duality        one number to minimise, one number to trust
  solvers                             methods
  intervals, selection, comparison    judging methods
  files, data, checkpoint, plotting   the outside world
  classifier                          front door: a trained classifier in one file
"""

__version__ = "0.1.0"
