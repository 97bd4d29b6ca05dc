"""Certificates: bounds on the distance to the optimum, and on its labels.

certificate_checks  checks of what is to be certified
fenchel_young       Fenchel-Young term of one example, with its rounding error
bias_search         free bias that minimises the objective of a pass
bias_bounds         part of the gap that a free bias adds
duality             gap and gradient from the sums of a pass, radius of the optimum
certification       certificate of parameters of any origin
label_certificates  labels shared with the exact optimum, interval of its accuracy
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
