"""jaxlin: linear classification in JAX, as pure functions.

Submodules, in the order of their layers (a file imports only from those before it):

  typing, check, precision,
  placement                           words, what may enter, float64 where it is wanted
  normalization, linear, losses,
  loss_transforms, conjugates,
  penalties, metrics, distances,
  all_pairs, geometry, robustness,
  separability, best_line             mathematics of one example, one pair of them, one
                                      parameter tree or points in the plane
  compensated, row_blocks, row_sums,
  objective, proof_terms, duality,
  label_proofs                        one number to minimise, one number to trust
  solvers, neighbors, features        methods
  intervals, selection, comparison,
  variances, decomposition            judging methods
  files, data, checkpoint, plotting   the outside world
  classifier, sweep_checkpoint        front door: a trained classifier in one file; a
                                      sweep that can be killed
  sharding, probe                     many devices; features in, one answer out
"""

__version__ = "0.1.0"
