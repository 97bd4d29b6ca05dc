r"""Certified labels: predictions that the exact optimum provably shares.

The distance between W and the optimum W* is at most the radius r of
`jaxlin.certificates.duality.radius`. If the two highest scores of a row x (with its
constant 1) differ by more than :math:`\sqrt{2}\, r \|x\|`, the optimum therefore
predicts the same label. This gives an interval for the accuracy of the optimum, which
is informative if most labels are certified. A free bias may move the scores, too, by
as much as :math:`\sqrt{2}` times its own distance
(`jaxlin.certificates.bias_bounds.bias_distance`), which is known for softmax alone.

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
from jaxlin.objective import row_norms
from jaxlin.typing import Array

# A wider interval for the accuracy of the optimum is printed as uninformative.
UNINFORMATIVE_WIDTH = 0.05


def label_radii(
    params: Params,
    features: ArrayLike,
    *,
    normalization: Normalization | None = None,
    bias_radius: float = 0.0,
) -> Array:
    r"""Distance by which W may move before a label can change, shape ``(rows,)``.

    :math:`(s_1 - s_2) / (\sqrt{2} \|x\|)` for the two highest scores, minus a bound on
    the rounding error of their difference and the part of a free bias.

    Args:
      params: parameters. Float64 parameters, the result of a float64
        refinement, are used in float64 and give a NumPy array; with float32 parameters
        the rows are converted to float32.
      features: raw rows, shape ``(rows, features)``.
      normalization: the normalisation of the fit; None for normalised rows.
      bias_radius: distance of a free bias from the optimum; 0 for another.

    Raises:
      ValueError: if the number of features differs from that of the parameters.
    """
    num_features = params.weights.shape[1]
    if np.ndim(features) != 2 or np.shape(features)[1] != num_features:
        raise ValueError(
            f"features must have shape (rows, {num_features}) for these parameters, "
            f"got {np.shape(features)}"
        )
    # Scores and norms are computed in the dtype of the parameters.
    with precision.enable_float64_for(*params):
        arrays = precision.as_views((params, features, normalization))
        found = _label_radii(*arrays, bias_radius)
        return precision.float64_as_numpy(found)


def same_labels(
    params: Params,
    features: ArrayLike,
    *,
    radius: ArrayLike,
    normalization: Normalization | None = None,
    bias_radius: float = 0.0,
) -> Array:
    """Mask of the rows with a certified label, boolean, shape ``(rows,)``.

    The exact optimum provably predicts the same label as the parameters for rows whose
    `label_radii` exceed ``radius``.

    Args:
      params: parameters of the fit.
      features: raw rows, shape ``(rows, features)``.
      radius: distance to the optimum, shape ``()``, from
        `jaxlin.certificates.duality.radius`.
      normalization: the normalisation of the fit; None for normalised rows.
      bias_radius: distance of a free bias from the optimum; 0 for another.

    Raises:
      ValueError: if the number of features differs from that of the parameters.
    """
    found = label_radii(
        params, features, normalization=normalization, bias_radius=bias_radius
    )
    return found > radius


@jax.jit
@jax.default_matmul_precision("highest")
def _label_radii(params, features, normalization, bias_radius):
    if normalization is not None:
        normalization = Normalization(
            *(jnp.asarray(part, params.weights.dtype) for part in normalization)
        )
    scores = objective.blocked_scores(params, features, normalization=normalization)
    norms = row_norms.norms(features, normalization=normalization)
    best, second = jax.lax.top_k(scores, 2)[0].T
    folded = linear.fold_bias(params)
    unit = 2 * jnp.finfo(folded.dtype).eps * jnp.sqrt(1.0 * folded.shape[1])
    rounding = 2 * unit * jnp.max(jnp.linalg.norm(folded, axis=1))
    lead = best - second - jnp.sqrt(2.0) * bias_radius
    return (lead / norms - rounding) / jnp.sqrt(2.0)


class AccuracyInterval(NamedTuple):
    """Proven bounds on the accuracy of the exact optimum on some rows.

    Attributes:
      low: fraction of rows with a certified label that is right.
      high: 1 minus the fraction of rows with a certified label that is wrong.
      certified: fraction of rows with a certified label, to be reported with the
        bounds.
    """

    low: float
    high: float
    certified: float

    def __str__(self) -> str:
        share = f"{100 * self.certified:.1f} % of labels certified"
        if self.high - self.low > UNINFORMATIVE_WIDTH:
            return f"uninformative ({share})"
        return f"[{100 * self.low:.2f}, {100 * self.high:.2f}] % ({share})"


def accuracy_interval(
    correct: Array | np.ndarray, same: Array | np.ndarray
) -> AccuracyInterval:
    """Interval for the accuracy of the optimum, from the certified labels.

    Args:
      correct: whether the predicted label of each row is right, boolean, shape
        ``(rows,)``.
      same: whether the label is certified, from `same_labels`, boolean, shape
        ``(rows,)``.

    Raises:
      ValueError: if an argument is not boolean.
    """
    chex.assert_rank([correct, same], 1)
    chex.assert_equal_shape([correct, same])
    for name, value in (("correct", correct), ("same", same)):
        if value.dtype != bool:
            raise ValueError(f"{name} must be booleans, got {value.dtype}")
    right, wrong = (int(jnp.sum(same & hits)) for hits in (correct, ~correct))
    # From counts: fractions in float32 could exclude the true accuracy by rounding.
    count = len(same)
    return AccuracyInterval(
        right / count, (count - wrong) / count, (right + wrong) / count
    )
