"""Dependence of a fit on its examples: leave-one-out, influence, covariance.

All of them are linear systems with the Hessian of the fit's objective
(`jaxlin.solvers.hessian_system`).
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
