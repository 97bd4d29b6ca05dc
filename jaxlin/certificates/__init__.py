"""Certificates: bounds on the distance to the optimum, and on its labels.

certificate_checks  checks of what is to be certified
fenchel_young       Fenchel-Young term of one example, with its rounding error
bias_search         free bias that minimises the objective of a pass
bias_bounds         part of the gap that a free bias adds
duality             duality gap, certificate, radius of the optimum
label_certificates  labels shared with the exact optimum, interval of its accuracy
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
