"""Published digits of a multinomial logit beside a fit with a free bias.

Question. Does a fit with next to no penalty have the coefficients and the standard
errors that statistical packages publish?

Method. The model is that of party identification in the American National Election
Studies of 1996: seven categories, of which 0 is the base. Stata 11's mlogit has
published its digits; statsmodels (BSD licence) tests `MNLogit` against them in
``statsmodels/discrete/tests/results/results_discrete.py``, and its `anes96` are the
data. Ours is fitted on standardised features at an l2 that moves the seventh digit,
and written in the units of the data.

Command. ``python -m experiments.published_digits``.
"""

import dataclasses
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import jaxlin
from experiments.common.config import Count, Positive
from experiments.common.measurements import Measurements, main
from experiments.common.text_table import text_table
from jaxlin import losses, normalization

ANES96 = pathlib.Path(__file__).parent / "published" / "anes96.csv"
FEATURES = ("log(population + .1)", "left to right", "age", "education", "income")
# A row per feature and one of the constant, a column per category from 1 to 6.
COEFFICIENTS = np.transpose(
    [
        [-0.01153598, 0.29771435, -0.024945, 0.08249144, 0.00519655, -0.37340167],
        [-0.08875065, 0.39166864, -0.02289784, 0.18104276, 0.04787398, -2.2509132],
        [-0.1059667, 0.57345051, -0.01485121, -0.00715242, 0.05757516, -3.6655835],
        [-0.0915567, 1.2787718, -0.00868135, 0.19982796, 0.08449838, -7.6138431],
        [-0.0932846, 1.3469616, -0.01790407, 0.21693885, 0.08095841, -7.0604782],
        [-0.14088069, 2.0700801, -0.00943265, 0.3219257, 0.10889408, -12.105751],
    ]
)
STANDARD_ERRORS = np.transpose(
    [
        [0.0342823657, 0.093626795, 0.0065248584, 0.0735865799, 0.0176336937]
        + [0.6298376313],
        [0.0391615553, 0.1082386919, 0.0079144618, 0.0852893563, 0.0222809297]
        + [0.7631899491],
        [0.0570382292, 0.1585481337, 0.0113313133, 0.1262913234, 0.0336142088]
        + [1.156541492],
        [0.0437902764, 0.1288965854, 0.0084187486, 0.0941250559, 0.0261963632]
        + [0.9575809602],
        [0.0393516553, 0.1171860107, 0.0076110152, 0.0850070091, 0.0229760791]
        + [0.8443638283],
        [0.042138047, 0.1434089089, 0.0081338625, 0.0910979921, 0.025300888]
        + [1.059954821],
    ]
)
LOG_LIKELIHOOD = -1461.922747312


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of the fit.

    Attributes:
      l2: strength of half the sum of squares.
      relative_gap: gap to be proven.
      max_passes: largest number of passes.
    """

    l2: Positive = 1e-9
    relative_gap: Positive = 1e-12
    max_passes: Count = 1000


def items(_: Config) -> list[str]:
    """The one model."""
    return ["anes96"]


def measured(config: Config, _: None, item: str) -> dict[str, Any]:
    """Log likelihood, coefficients and standard errors of a fit, as published."""
    assert item == "anes96", "the one model"
    table = np.loadtxt(ANES96, delimiter=",", skiprows=1)
    rows, labels = table[:, :-1], table[:, -1].astype(int)
    rows[:, 0] = np.log(rows[:, 0] + 0.1)
    problem = jaxlin.problem(rows, labels, normalization=normalization.fit_standard)
    fit = jaxlin.fit(
        problem,
        loss=losses.softmax_cross_entropy,
        l2=config.l2,
        bias="free",
        stop=jaxlin.Stop(config.relative_gap, config.max_passes),
        refine=True,
    )
    assert fit.normalization is not None
    mean, scale = fit.normalization
    weights = np.asarray(fit.params.weights) / scale
    folded = np.c_[weights, fit.params.bias - weights @ mean]
    errors = jaxlin.covariance(fit, problem).coefficients(reference=0).standard_errors
    return {
        "log_likelihood": -float(fit.certificate.primal) * len(rows),
        "coefficients": (folded - folded[:1])[1:].T.tolist(),
        "standard_errors": errors.T.tolist(),
        "relative_gap": fit.relative_gap,
    }


def report(_: Config, results: Sequence[Mapping[str, Any]]) -> str:
    """A line per coefficient and per standard error, published and ours."""
    (result,) = results
    lines = [("log likelihood", "", LOG_LIKELIHOOD, result["log_likelihood"])]
    for kind, table, key in (
        ("", COEFFICIENTS, "coefficients"),
        ("standard error, ", STANDARD_ERRORS, "standard_errors"),
    ):
        for (row, column), published in np.ndenumerate(table):
            name = kind + (*FEATURES, "constant")[row]
            lines.append((name, f"{column + 1}", published, result[key][row][column]))
    printed = [
        (
            name,
            category,
            f"{published:.10g}",
            f"{ours:.10g}",
            f"{ours - published:+.1e}",
        )
        for name, category, published, ours in lines
    ]
    columns = ("", "category", "published", "jaxlin", "difference")
    return f"{text_table(columns, printed)}\nproven gap {result['relative_gap']:.1e}"


MEASUREMENTS = Measurements(
    name="published_digits",
    about=__doc__,
    config=Config(),
    smoke=Config(),
    items=items,
    measure=measured,
    report=report,
)

if __name__ == "__main__":
    main(MEASUREMENTS)
