"""Experiments of jaxlin: each asks one question and answers it in a report.

``python -m experiments`` lists them; run one from a clone, ``python -m
experiments.<name> --help``. They are not part of the installed package; `jaxlin` never
imports them.
"""
