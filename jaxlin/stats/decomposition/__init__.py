r"""How much of an error is the model's, the sample's, the optimiser's.

.. math::
   R(f) - R_\text{Bayes}
     = \underbrace{R(f_H) - R_\text{Bayes}}_\text{modelling}
     + \underbrace{R(f_n) - R(f_H)}_\text{estimation}
     + \underbrace{R(f) - R(f_n)}_\text{optimisation}

f is what was trained, :math:`f_n` the optimum of the class on the training sample,
:math:`f_H` the optimum of the class on all examples that there could be, each of the
objective that was trained (penalty included, at one l2). R is any loss of one example,
so the same functions serve the surrogate and the zero-one error; of the latter a term
may be below 0, because nobody minimised it. The terms are those of this training
sample, not means over samples.

**What is measured.** Losses of single test examples: of f, of :math:`f_n`, of refits on
random halves of the sample (both halves of each split) and on quarters. All intervals
are over paired test examples.

**Estimation.** Near the optimum :math:`R(f_n) - R(f_H) \approx g^\top \delta + \frac12
\delta^\top Q \delta` with :math:`\delta = f_n - f_H`. The two halves of the sample give
:math:`f_n \pm d`, where d has the distribution of :math:`\delta`. So the mean risk of
the halves less :math:`R(f_n)` is :math:`\frac12 d^\top Q d`, which estimates the term,
and its spread over splits tells how far off this sample may be. Half the difference of
the two halves, :math:`(g + Q \delta)^\top d`, has a variance that exceeds twice that
spread squared by the variance of :math:`g^\top \delta`, which is 0 where g is: for the
objective itself. That is a learning curve :math:`a + b / n` from n / 2 and n. The
quarters give its next term, :math:`c / n^2`, which overshoots as a rule where there are
not many more examples than parameters (so it can be worked out for least squares): half
of it is added, and half of it widens the interval.

Why the curve and not the bracket (training error of the optimum below, test error
above): on average that holds for the objective alone, not for the zero-one error.

**Classes without such a theory** (networks): what is best in the class is known to lie
between that and the reference alone. So the interval reaches from a curve that falls as
1 / n to one that falls so slowly that it ends at the reference; the value is that of a
power law through the three sizes. Measured is the sum of modelling and estimation, and
bounds between which it splits. If the errors do not measurably fall (the interval of
estimation reaches to 0), not even these.

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
