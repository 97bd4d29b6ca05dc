"""Choosing between models without touching the test set.

  splits    disjoint index arrays: training and held-out examples
  folds     k folds, stratified, grouped, repeated, as example weights of 0 and 1

Import the module that you need: ``from jaxlin.selection import splits``.
"""
