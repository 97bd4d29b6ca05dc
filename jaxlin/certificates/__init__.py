"""Proofs: how far parameters are from the optimum, and what follows for labels.

fenchel_young       the terms that one example contributes to a certificate
duality             duality gap, certificate, radius of the optimum
label_certificates  labels that the exact optimum gives too
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
