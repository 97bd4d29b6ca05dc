r"""Decomposition of an error into modelling, estimation and optimisation terms.

.. math::
   R(f) - R_\text{Bayes}
     = \underbrace{R(f_H) - R_\text{Bayes}}_\text{modelling}
     + \underbrace{R(f_n) - R(f_H)}_\text{estimation}
     + \underbrace{R(f) - R(f_n)}_\text{optimisation}

R is the risk: the mean over the distribution of examples of any loss of one example.
f is the trained model, :math:`f_n` the optimum of the class on the training sample and
:math:`f_H` the optimum of the class on the whole distribution; both optima are those of
the objective that was trained (penalty included, at one l2). The same functions serve
the surrogate loss and the zero-one error; a term of the zero-one error may be below 0,
because training does not minimise it. The terms are those of this training sample, not
means over samples.

**Measurements.** Losses per test example of f, of :math:`f_n`, of refits on random
halves of the sample (both halves of each split) and of refits on quarters. All
intervals are over paired test examples.

**Estimation.** Near the optimum :math:`R(f_n) - R(f_H) \approx g^\top \delta + \frac12
\delta^\top Q \delta` with :math:`\delta = f_n - f_H`. The two halves of the sample give
:math:`f_n \pm d`, where d has the distribution of :math:`\delta`. The mean risk of the
halves minus :math:`R(f_n)` is therefore :math:`\frac12 d^\top Q d`, which estimates the
term, and its spread over splits estimates the error that is due to this sample. Half
the difference of the two halves, :math:`(g + Q \delta)^\top d`, has a variance that
exceeds twice that spread squared by the variance of :math:`g^\top \delta`, which is 0
where g is 0, as for the objective itself. The estimate amounts to a learning curve
:math:`a + b / n` through n / 2 and n. The quarters give the next term of the curve,
:math:`c / n^2`, which usually overshoots unless there are many more examples than
parameters (a calculation for least squares shows it): half of it is added, and half of
it widens the interval.

The curve is preferred to the bracket between the training error of the optimum (below)
and its test error (above): on average the bracket holds for the objective alone, not
for the zero-one error.

**Classes without such a theory** (networks): all that is known of the best of the class
is that its risk lies between the value of that curve and the reference. The interval
therefore reaches from a curve that falls as 1 / n to one that falls slowly enough to
end at the reference; the value is that of a power law through the three sample sizes.
The sum of modelling and estimation is measured, and the split between them is bounded.
If the errors do not measurably fall (the interval of estimation contains 0), the split
is not bounded either.

  >>> import numpy as np
  >>> from jaxlin.stats import decomposition
  >>> random = np.random.default_rng(0)
  >>> noise = random.uniform(size=2000)
  >>> measured = decomposition.Measured(
  ...     trained=(noise < 0.23)[None], optimum=(noise < 0.22)[None],
  ...     halves=np.broadcast_to(noise < 0.24, (4, 2, 2000)),
  ...     quarters=np.broadcast_to(noise < 0.28, (4, 2000)))
  >>> found = decomposition.decompose(measured, reference=(0.1, 0.1))
  >>> [round(term.value, 2) for term in (found.modelling, found.estimation)]
  [0.1, 0.02]

References:
  A. Agresti and Y. Min. Simple improved confidence intervals for comparing matched
  proportions. Statistics in Medicine, 2005.
  P. J. McCarthy. Pseudo-replication: half samples. Review of the International
  Statistical Institute, 1969.
  L. Bottou and O. Bousquet. The tradeoffs of large scale learning. NIPS 2007.
"""

from jaxlin.stats.decomposition.measured import Measured
from jaxlin.stats.decomposition.reference import least_cross_entropy
from jaxlin.stats.decomposition.terms import (
    Decomposition,
    bootstrap_estimation,
    decompose,
)

__all__ = [
    "Decomposition",
    "Measured",
    "bootstrap_estimation",
    "decompose",
    "least_cross_entropy",
]
