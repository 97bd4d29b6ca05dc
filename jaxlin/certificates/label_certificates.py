r"""Labels of the exact optimum: what a certificate says of predictions.

The optimum W* is within the radius r of `jaxlin.certificates.duality.radius` of W. A
row x (with its constant 1) whose two best scores differ by more than :math:`\sqrt{2}\,
r \|x\|` therefore gets its label from the optimum too. So the accuracy of an optimum
that nobody has computed lies in an interval, which is informative where most labels are
proven. With a free bias the objective is not strongly convex, and nothing of this
holds.

  >>> import jax.numpy as jnp
  >>> from jaxlin.certificates import label_certificates
  >>> from jaxlin import linear
  >>> params = linear.Params(jnp.array([[1.0, 0.0], [-1.0, 0.0]]), jnp.zeros(2))
  >>> rows = jnp.array([[1.0, 0.0], [0.01, 0.0], [-2.0, 1.0]])
  >>> same = label_certificates.same_labels(params, rows, radius=0.1)
  >>> print(same)
  [ True False  True]
  >>> correct = jnp.array([True, True, False])
  >>> print(label_certificates.accuracy_interval(correct, same))
  uninformative (66.7 % of labels certified)
"""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import linear, objective
from jaxlin.linear import Params
from jaxlin.normalization import Normalization
from jaxlin.numerics import precision
from jaxlin.objective import row_sums
from jaxlin.typing import Array

# An interval of the optimum's accuracy wider than this says nothing worth saying.
UNINFORMATIVE_WIDTH = 0.05


def label_radii(
    params: Params, features: ArrayLike, *, normalization: Normalization | None = None
) -> Array:
    r"""How far W may be moved before a row's label can change, shape ``(rows,)``.

    :math:`(s_1 - s_2) / (\sqrt{2} \|x\|)` for the two best scores, less what rounding
    may have added to their difference.

    Args:
      params: parameters, bias penalised; float64 ones, as refined fits have, are taken
        at their digits, and the result then is a NumPy array. float32 ones mean float32
        rows.
      features: raw rows, shape ``(rows, features)``.
      normalization: the one the parameters were fitted with, or None.

    Raises:
      ValueError: if the rows are not as wide as the parameters.
    """
    num_features = params.weights.shape[1]
    if np.ndim(features) != 2 or np.shape(features)[1] != num_features:
        raise ValueError(
            f"features must have shape (rows, {num_features}) for these parameters, "
            f"got {np.shape(features)}"
        )
    # The digits of the scores, and of the norms, are those of the parameters.
    with precision.keeping_digits(*params):
        return precision.as_given(_label_radii(params, features, normalization))


def same_labels(
    params: Params,
    features: ArrayLike,
    *,
    radius: ArrayLike,
    normalization: Normalization | None = None,
) -> Array:
    """Which rows the exact optimum provably gives the same label, shape ``(rows,)``.

    Those whose `label_radii` exceed ``radius``, from
    `jaxlin.certificates.duality.radius`; other arguments as there.
    """
    return label_radii(params, features, normalization=normalization) > radius


@jax.jit
@jax.default_matmul_precision("highest")
def _label_radii(params, features, normalization):
    if normalization is not None:
        normalization = Normalization(
            *(jnp.asarray(part, params.weights.dtype) for part in normalization)
        )
    scores = objective.blocked_scores(params, features, normalization=normalization)
    norms = row_sums.norms(features, normalization=normalization)
    best, second = jax.lax.top_k(scores, 2)[0].T
    folded = linear.fold_bias(params)
    unit = 2 * jnp.finfo(folded.dtype).eps * jnp.sqrt(1.0 * folded.shape[1])
    rounding = 2 * unit * jnp.max(jnp.linalg.norm(folded, axis=1))
    return ((best - second) / norms - rounding) / jnp.sqrt(2.0)


class AccuracyInterval(NamedTuple):
    """Bounds that the accuracy of the exact optimum on some rows provably satisfies.

    Attributes:
      lower: share of rows that are proven and right.
      upper: 1 less the share of rows that are proven and wrong.
      certified: share of rows whose label is proven; always to be shown beside.
    """

    lower: float
    upper: float
    certified: float

    def __str__(self) -> str:
        share = f"{100 * self.certified:.1f} % of labels certified"
        if self.upper - self.lower > UNINFORMATIVE_WIDTH:
            return f"uninformative ({share})"
        return f"[{100 * self.lower:.2f}, {100 * self.upper:.2f}] % ({share})"


def accuracy_interval(
    correct: Array | np.ndarray, same: Array | np.ndarray
) -> AccuracyInterval:
    """Interval of the optimum's accuracy from what was proven of each row.

    Args:
      correct: whether our label of each row is right, shape ``(rows,)``.
      same: from `same_labels`, shape ``(rows,)``.

    Raises:
      ValueError: if one of them is not boolean.
    """
    chex.assert_rank([correct, same], 1)
    chex.assert_equal_shape([correct, same])
    for name, value in (("correct", correct), ("same", same)):
        if value.dtype != bool:
            raise ValueError(f"{name} must be booleans, got {value.dtype}")
    right, wrong = (int(jnp.sum(same & hits)) for hits in (correct, ~correct))
    # Of counts: shares in float32 could exclude the accuracy by their rounding.
    count = len(same)
    return AccuracyInterval(
        right / count, (count - wrong) / count, (right + wrong) / count
    )
