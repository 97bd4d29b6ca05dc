"""Geometry of linear classifiers and of labelled points.

hyperplanes       templates, decision hyperplanes, regions, contributions
robustness        distance of an example to another label, in several norms
rational_simplex  exact linear programs in whole numbers
separability      whether points can be separated, with a proof
best_line         the line with the fewest errors in the plane
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
