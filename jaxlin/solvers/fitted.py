"""Result of a certified fit: a linear classifier and its certificate."""

from typing import NamedTuple

import numpy as np

from jaxlin.certificates import duality
from jaxlin.certificates.duality import Certificate
from jaxlin.check.diagnosis import counted
from jaxlin.linear import BiasName, Params
from jaxlin.normalization import Normalization
from jaxlin.solvers.optimizer_state import Duals
from jaxlin.typing import Loss, LossArguments


class Fit(NamedTuple):
    """A linear classifier and its certificate.

    Attributes:
      params: weights ``(classes, features)`` and bias ``(classes,)``, float32, or
        float64 after a refinement.
      certificate: certificate of ``params``, as Python floats.
      relative_gap: proven bound on (objective - optimum) / objective.
      converged: whether the requested gap was proven.
      stalled: whether the fit gave up with passes left, usually because rounding error
        exceeds the requested gap. ``refine=True`` continues in float64; features scaled
        to size about 1 (`jaxlin.normalization`) have less rounding error.
      passes: number of passes over the rows, float64 passes included.
      float64_passes: number of passes in float64.
      duals: dual variables of a hinge, for warm starts; None in a fit that was loaded
        from a file.
      loss: the loss that was fitted; of a loaded fit with a loss of the user, its name.
      l2: strength of half the sum of squares.
      loss_arguments: keywords of the loss, such as ``{"margin": 1.0}``.
      normalization: applied to raw features before the scores, or None.
      classes: labels in the order of the scores, shape ``(classes,)``.
      temperature: divisor of the scores in `jaxlin.probabilities`, above 0; 1 without
        calibration.
      bias: treatment of the bias: ``"penalized"``, ``"free"`` or ``"none"``.
      bias_radius: bound on the distance of a free bias from the optimum, up to a shift
        of all scores; infinite where none is known, which is so for hinges, sweeps and
        blocks of rows. 0 for another bias, which ``radius`` covers.
      feature_names: names of the columns, where the training rows were a table; None
        otherwise. Tables to predict must have the same columns in the same order.
    """

    params: Params
    certificate: Certificate
    relative_gap: float
    converged: bool
    stalled: bool
    passes: int
    float64_passes: int
    duals: Duals | None
    loss: Loss | str
    l2: float
    loss_arguments: LossArguments
    normalization: Normalization | None
    classes: np.ndarray
    temperature: float = 1.0
    bias: BiasName = "penalized"
    bias_radius: float = 0.0
    feature_names: tuple[str, ...] | None = None

    @property
    def objective(self) -> float:
        """Mean loss plus penalty at the parameters, on the training rows."""
        return float(self.certificate.primal)

    @property
    def radius(self) -> float:
        """Distance from the parameters within which the exact optimum lies.

        It is that of the weights alone where the bias is free.
        """
        return float(duality.radius(self.certificate, l2=self.l2))

    def __str__(self) -> str:
        found = (
            f"{getattr(self.loss, '__name__', self.loss)}, l2 {self.l2:g}: objective "
            f"{self.certificate.primal:.6g}, "
        )
        if not np.isfinite(self.relative_gap):
            return f"{found}nothing proven"
        passes = counted(self.passes, "pass")
        if self.float64_passes:
            passes += f", {self.float64_passes:,} of them in float64"
        gap = f"{found}relative gap {self.relative_gap:.1e}"
        if self.converged:
            return f"{gap} proven in {passes}"
        reason = "stalled" if self.stalled else "pass limit reached"
        return f"{gap} in {passes}; requested gap not proven: {reason}"
