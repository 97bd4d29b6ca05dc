"""Geometry of linear classifiers and of labelled points.

hyperplanes       templates, decision hyperplanes, decision regions, contributions
robustness        smallest adversarial perturbations in the L1, L2 and Linf norms
rational_simplex  exact feasibility of linear programs in integer arithmetic
separability      linear separability of two classes, with an exact proof
best_line         the line in the plane with the smallest zero-one loss
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
