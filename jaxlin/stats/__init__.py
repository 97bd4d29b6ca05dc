"""Judging methods: metrics, intervals, paired comparisons, error decomposition.

metrics              accuracy, confusion matrix, calibration error, ...
intervals            confidence intervals of proportions and means
comparison           paired comparison of two methods on the same test examples
variance_components  variance of examples and of runs, and the intervals they make
decomposition        approximation, estimation and optimisation error, with intervals
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
