"""Dependence of a fit on its examples: leave-one-out, influence, covariance.

All of them are linear systems with the Hessian of the fit's objective
(`jaxlin.solvers.hessian_system`).

  removal_systems      systems without one example each, and bounds on their optima
  left_out             optima without one example each
  kronecker            scores without each example, by an approximate Hessian
  refits               certified fits without some examples
  sampling_checks      checks of weights, groups and losses
  leave_one_out        predictions of each example by the model fitted without it
  support              examples of a hinge that are certified to be no support vectors
  linear_functions     coefficients, contrasts and probabilities as linear functions
  estimate_table       estimates with standard errors, tests and intervals
  function_covariance  covariance of linear functions, by systems with the Hessian
  influence            influence of training examples on test losses and scores
  covariance_result    `Covariance`, with its tables
  covariance           standard errors of a fit: `jaxlin.covariance`
  bootstrap_result     `Bootstrap`, with its tables
  fit_bootstrap        parametric and nonparametric bootstrap, as one sweep
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
