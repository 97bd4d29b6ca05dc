"""Dependence of a fit on its examples: leave-one-out, influence, covariance.

All of them are linear systems with the Hessian of the fit's objective
(`jaxlin.solvers.hessian_system`).

  left_out       optima without one example each, where the Hessian is factorised
  kronecker      scores without each example, by an approximate Hessian
  refits         certified fits without some examples
  leave_one_out  predictions of each example by the model fitted without it
  influence      influence of training examples on test losses and scores
  support        examples of a hinge that are certified to be no support vectors
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
