"""A probe with the interface of scikit-learn: chooses l2 by cross-validation."""

import numbers
from collections.abc import Sequence
from typing import Any, Self

import jax
import numpy as np
from sklearn.model_selection import check_cv

from jaxlin import check
from jaxlin import normalization as normalization_of
from jaxlin.linear import BiasName
from jaxlin.linear_probe import examples, selected_fit
from jaxlin.linear_probe.l2_choice import SweepOptions
from jaxlin.normalization import Normalization
from jaxlin.problems import FitNormalization
from jaxlin.selection import folds, rules
from jaxlin.selection.rules import Choose
from jaxlin.sklearn import arguments
from jaxlin.sklearn.certified_classifier import CertifiedClassifier
from jaxlin.solvers.stopping import Stop
from jaxlin.typing import Loss


class ProbeClassifier(CertifiedClassifier):
    """Linear classifier that chooses its l2 by cross-validation.

    One sweep fits all values of C on all folds. The best value is then fitted on all
    examples, and the held-out scores set the temperature of its probabilities. Features
    are standardised, in each fold by its training examples alone.

    Args:
      loss: name of a loss or function, as in `LinearClassifier`.
      Cs: values of C to try, or their number, between 1e-4 and 1e4, as in
        `LogisticRegressionCV`; None is 10 unless ``l2s`` is given. The l2 of each
        fit follows from C and the examples that it trains on
        (`jaxlin.objective.penalties.l2_of_c_for`).
      l2s: strengths of half the sum of squares relative to the mean loss, as in
        `jaxlin.fit`; replaces Cs.
      bias: ``"free"``, ``"penalized"`` or ``"none"``, as in `LinearClassifier`.
      class_weight: None, ``"balanced"`` or a dictionary from labels to weights above 0.
        It counts in fits and in the temperature, not in held-out scores.
      normalization: function that fits a normalisation (`jaxlin.normalization`), a
        fitted one, or None.
      cv: number of folds, at least 2; a splitter of scikit-learn; or pairs of indices
        (train, test). Each split trains on all examples that it does not hold out. None
        is five folds, in which a class may have fewer than five examples
        (`jaxlin.selection.held_out`).
      choose: selection rule, such as `jaxlin.selection.rules.one_standard_error`.
      tol: relative gap of the final fit, as in `LinearClassifier`.
      cv_tol: relative gap of the fits on folds.
      max_iter: largest number of passes of each fit.

    Attributes:
      classes_: labels in ascending order, shape ``(classes,)``.
      coef_: weights for raw features, as in `LinearClassifier`; float64 if the fit has
        a normalisation.
      intercept_: bias for raw features.
      l2_: chosen strength of the penalty of the final fit.
      table_: scores of all values on all folds (`jaxlin.CrossValidation`); None for a
        single value without an example to hold out.
      n_iter_: number of passes of the final fit.
      n_features_in_: number of features.
      feature_names_in_: names of the features, where X has column names of text.
      certificate_: duality gap of the final fit.
      fit_: the `jaxlin.Fit`, with its normalisation and temperature.

    Raises:
      ValueError: in ``fit``, naming the argument, the rule and the value.
    """

    def __init__(
        self,
        loss: str | Loss = "softmax",
        *,
        Cs: int | Sequence[float] | None = None,
        l2s: Sequence[float] | None = None,
        bias: BiasName = "free",
        class_weight: Any = None,
        normalization: Normalization
        | FitNormalization
        | None = normalization_of.fit_standard,
        cv: Any = None,
        choose: Choose = rules.best,
        tol: float | None = None,
        cv_tol: float = 1e-6,
        max_iter: int = 1000,
    ):
        self.loss = loss
        self.Cs = Cs
        self.l2s = l2s
        self.bias = bias
        self.class_weight = class_weight
        self.normalization = normalization
        self.cv = cv
        self.choose = choose
        self.tol = tol
        self.cv_tol = cv_tol
        self.max_iter = max_iter

    def fit(
        self, X: Any, y: Any, sample_weight: Any = None, *, groups: Any = None
    ) -> Self:
        """Chooses l2 and fits the classifier.

        Args:
          X: features, shape ``(examples, features)``, as in `LinearClassifier`.
          y: labels of any kind, shape ``(examples,)``.
          sample_weight: non-negative weights, shape ``(examples,)``; None is all ones.
          groups: group of each example, for a splitter that keeps groups together.
        """
        loss = arguments.loss_of(self.loss)
        stop = self._stop(loss)
        compared = Stop(check.number("cv_tol", self.cv_tol, above=0), stop.max_passes)
        X, y, weights = self._checked(X, y, sample_weight)
        class_weights = None
        if self.class_weight is not None:
            of_classes, _ = arguments.class_weight_numbers(
                self.class_weight, y, sample_weight=weights
            )
            class_weights = of_classes.tolist()
        values = self._values()
        validation = 5 if self.cv is None else self._fold_ids(y, groups)
        with arguments.own_names():
            given = examples.make(
                jax.random.key(0),
                X,
                y,
                validation=validation,
                num_settings=len(values),
                weights=weights,
                class_weights=class_weights,
                normalization=self.normalization,
                classes=None,
            )
            found = selected_fit.select(
                given,
                values,
                are_cs=self.l2s is None,
                loss=loss,
                bias=self.bias,
                choose=self.choose,
                mean_per_class=False,
                train_on_validation=True,
                undo_prior_shift=False,
                options=SweepOptions(compared, None, None, None, None, None),
                final_stop=stop,
            )
        self._keep(self._polished(found.fit, given.problem), X.dtype, stop=stop)
        self.l2_ = found.fit.l2
        self.table_ = found.choice.table
        return self

    def _values(self) -> tuple[float, ...]:
        """Values of C or of l2 to try."""
        if self.l2s is not None:
            if self.Cs is not None:
                raise ValueError(
                    f"Cs must be None if l2s is given, got Cs={self.Cs} and "
                    f"l2s={self.l2s}"
                )
            return check.numbers_list("l2s", self.l2s, above=0)
        Cs: Any = 10 if self.Cs is None else self.Cs
        if isinstance(Cs, numbers.Integral) and not isinstance(Cs, bool):
            Cs = np.logspace(-4, 4, check.integer("Cs", Cs, at_least=1))
        elif np.ndim(Cs) == 0:
            remedy = f"; write [{Cs!r}] for one value" if isinstance(Cs, float) else ""
            raise ValueError(
                "Cs must be a sequence of numbers, or an integer that is their number, "
                f"got {Cs!r}{remedy}"
            )
        return check.numbers_list("Cs", Cs, above=0)

    def _fold_ids(self, y: np.ndarray, groups: Any) -> np.ndarray:
        """Fold ids of ``cv``."""
        cv = splitter = self.cv
        if isinstance(cv, numbers.Number):
            check.integer("cv", cv, at_least=2)
        try:
            if isinstance(cv, numbers.Number):
                splitter = check_cv(cv, y, classifier=True)
            fold_ids = folds.from_splitter(splitter, y, groups=groups)
        # scikit-learn's errors name arguments of the splitter.
        except (TypeError, ValueError) as error:
            raise ValueError(
                "cv must be a number of folds, a splitter or pairs of indices that "
                f"split these examples, got {cv!r:.80}: {error}"
            ) from error
        if fold_ids.min() < -1:
            example = np.argmax((fold_ids < -1).reshape(-1, len(y)).any(axis=0))
            raise ValueError(
                "cv must train on all examples that a split does not hold out, got "
                f"{cv!r:.80}, which leaves out example {example}; "
                "jaxlin.cross_validate takes such splits"
            )
        return fold_ids
