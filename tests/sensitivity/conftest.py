"""Fits of the problem of covariances, which several files of tests share."""

import pytest
from covariance_problems import L2, LABELS, ROWS, fitted

import jaxlin


@pytest.fixture(scope="package")
def unpenalized():
    problem = jaxlin.problem(ROWS, LABELS)
    return fitted(problem), problem


@pytest.fixture(scope="package")
def penalized():
    problem = jaxlin.problem(ROWS, LABELS)
    return fitted(problem, l2=L2), problem
