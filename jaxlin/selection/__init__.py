"""Choosing between models without touching the test set.

  splits    disjoint index arrays: training and held-out examples

Import the module that you need: ``from jaxlin.selection import splits``.
"""
