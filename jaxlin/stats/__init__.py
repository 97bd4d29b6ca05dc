"""Evaluation of methods: metrics, intervals, paired comparison, error decomposition.

metrics              accuracy, confusion matrix, calibration error, ...
intervals            confidence intervals of proportions and means
bootstrap            means of resamples, tails of percentile and BCa intervals
comparison           paired comparison of two methods on the same test examples
estimates            shares, means and calibration error with intervals
multilabel           average precision and F1 of several labels per example
variance_components  variances over examples and over runs, and intervals from them
decomposition        modelling, estimation and optimisation error, with intervals
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
