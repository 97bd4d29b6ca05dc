"""The class `Problem`: checked examples, and their arrays on the device."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check
from jaxlin.check.diagnosis import counted
from jaxlin.linear import Bias
from jaxlin.normalization import Normalization, fitting, rounding
from jaxlin.numerics import precision, processes
from jaxlin.objective.row_blocks import ArrayBlocks, Block
from jaxlin.problems import device_rows, weight_checks
from jaxlin.solvers import (
    certified,
    fit_checks,
    float64_methods,
    preconditioner,
    streaming,
)
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array, Loss


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Checked examples, made by `jaxlin.problem`.

    Attributes:
      rows: features, codes of the labels (or distributions) and weights of all
        examples, on the host (features that were given on the device are there); blocks
        of them where they do not fit into memory or are sparse.
      classes: labels in the order of the scores, shape ``(classes,)``.
      normalization: applied to each row, or None.
      feature_names: names of the columns, where the rows were given as a table.
    """

    rows: Block | Iterable[Block]
    classes: np.ndarray
    normalization: Normalization | None
    feature_names: tuple[str, ...] | None = None
    # Device arrays and row statistics, by kind, precision and mesh.
    _cache: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def num_examples(self) -> int:
        """Number of examples; in several processes, of this process."""
        if isinstance(self.rows, ArrayBlocks):
            return self.rows.features.shape[0]
        return len(self.whole_rows.features)

    @property
    def num_features(self) -> int:
        """Number of features."""
        return np.shape(self.first_block.features)[1]

    @property
    def rank(self) -> int:
        """Rank of the targets: 1 for labels, 2 for distributions over the classes."""
        return np.ndim(self.first_block.targets)

    @property
    def is_blocked(self) -> bool:
        """True for rows in blocks."""
        return not isinstance(self.rows, Block)

    @property
    def is_small(self) -> bool:
        """True where the methods for small problems finish fits in float64."""
        return not self.is_blocked and float64_methods.is_small_shape(
            num_classes=self.num_classes,
            num_features=self.num_features,
            num_examples=self.num_examples,
        )

    @functools.cached_property
    def first_block(self) -> Block:
        """First block of rows; all rows if they are not in blocks."""
        return self.rows if isinstance(self.rows, Block) else next(iter(self.rows))

    @property
    def whole_rows(self) -> Block:
        """All rows in one block; sparse rows become dense and are kept.

        Raises:
          ValueError: for other rows in blocks, and for sparse rows whose dense form
            does not fit into memory.
        """
        if isinstance(self.rows, Block):
            return self.rows
        if not isinstance(self.rows, ArrayBlocks):
            raise ValueError(
                "solvers and sweeps must have all examples on the device, got a "
                "problem of blocks; jaxlin.fit makes its passes block by block"
            )
        if "whole rows" not in self._cache:
            self._cache["whole rows"] = self.rows.whole()
        return self._cache["whole rows"]

    def __repr__(self) -> str:
        size = "blocks of examples"
        if isinstance(self.rows, Block | ArrayBlocks):
            num_rows, num_features = self.rows.features.shape
            size = f"{counted(num_rows, 'example')}, {counted(num_features, 'feature')}"
        if isinstance(self.rows, ArrayBlocks):
            stored = self.rows.features.nnz / (num_rows * num_features)
            size += f", sparse with {100 * stored:.2g} % stored"
        normalized = ", normalized" if self.normalization is not None else ""
        return f"Problem({size}, {counted(self.num_classes, 'class')}{normalized})"

    @property
    def examples(self) -> Examples:
        """Examples on the device, for a solver of `jaxlin.solvers`."""
        return self.cached("examples", self._examples)

    def prepared(
        self,
        *,
        loss: Loss | None = None,
        keep_float64: bool = False,
        bias: Bias = Bias.PENALIZED,
    ) -> Examples:
        """Returns the examples with the preconditioner of certified solvers.

        Args:
          loss: the only loss to be fitted, for which a smaller rank may do; None
            prepares for all losses.
          keep_float64: whether float64 rows stay float64, whatever `jax.config` says.
          bias: treatment of the bias.
        """
        rank = preconditioner.RANK if loss is None else preconditioner.rank_for(loss)
        if not (keep_float64 and self.has_float64):
            make = functools.partial(
                certified.prepare, self.examples, rank=rank, bias=bias
            )
            return self.cached(("prepared", rank, bias), make)
        with self.float64_context(keep_float64):
            return self.cached(
                ("prepared in float64", rank, bias),
                lambda: certified.prepare(
                    self.examples_in_float64(), rank=rank, bias=bias
                ),
            )

    def examples_in_float64(self) -> Examples:
        """Examples on the device with float64 rows; under `float64_context`."""
        return self.cached(
            "examples in float64",
            lambda: device_rows.place(self.whole_rows, self.normalization),
        )

    def row_statistics(
        self,
        *,
        loss: Loss,
        keep_float64: bool = False,
        bias: Bias = Bias.PENALIZED,
    ) -> streaming.RowStatistics:
        """Norms, sample and preconditioner of rows in blocks, from one pass.

        Args:
          loss: the loss to be fitted, which decides the rank of the preconditioner.
          keep_float64: whether float64 rows stay float64, whatever `jax.config` says.
          bias: treatment of the bias.
        """
        in_float64 = keep_float64 and self.has_float64
        rank = preconditioner.rank_for(loss)

        def make() -> streaming.RowStatistics:
            return streaming.row_statistics(
                self.rows,
                num_classes=self.num_classes,
                normalization=self.normalization,
                rank=rank,
                bias=bias,
            )

        with self.float64_context(keep_float64):
            return self.cached(("row statistics", rank, in_float64, bias), make)

    def float64_context(self, keep: bool) -> contextlib.AbstractContextManager:
        """Context that keeps float64 rows in float64; no effect on other rows.

        Args:
          keep: whether to enable float64; False gives a context without effect.
        """
        in_float64 = keep and self.has_float64
        return jax.enable_x64(True) if in_float64 else contextlib.nullcontext()

    def weight_sets(
        self,
        values: ArrayLike | None,
        *,
        num_sets: int | None = None,
        allow_one_class: bool = False,
        every_class: bool = False,
        name: str = "weight_sets",
    ) -> Array | np.ndarray | None:
        """Checks sets of example weights and spreads them over devices like the rows.

        Args:
          values: shape ``(sets, examples)``, in the order of the given examples; None
            is one set of all ones.
          num_sets: least number of sets; None allows any number.
          allow_one_class: whether a set may leave examples of one class alone.
          every_class: whether each set must leave examples of every class, as a free
            bias needs.
          name: the argument's name in error messages.

        Returns:
          Shape ``(sets, rows on the device)``, float32; None for None.

        Raises:
          ValueError: that names the argument, the rule and the value.
        """
        check.concrete(name, values)
        if every_class:
            self.check_every_class()
        if values is None:
            if (num_sets or 1) > 1:
                raise ValueError(
                    f"{name} must be given for models of {num_sets} of them, got None"
                )
            return None
        return weight_checks.placed_sets(
            name,
            np.asarray(values),
            rows=self.whole_rows,
            classes=self.classes,
            num_sets=num_sets,
            allow_one_class=allow_one_class,
            every_class=every_class,
        )

    def check_every_class(self) -> None:
        """Raises a ValueError if a class has no weight: its free bias has no optimum.

        Rows in blocks are checked in their first pass (`fit_methods`).
        """
        weight_checks.check_every_class(self.whole_rows, classes=self.classes)

    def with_normalization(self, normalization: Normalization | None) -> "Problem":
        """The same examples under another normalization; the rows are shared."""
        features, _, weights = self.whole_rows
        fitted = fitting.fitted(normalization, features, weights)
        other = dataclasses.replace(self, rows=self.whole_rows, normalization=fitted)
        processes.check_everywhere(other._check_rounding)
        shared = self.examples._replace(
            normalization=device_rows.place_normalization(fitted)
        )
        other.cached("examples", lambda: shared)
        return other

    def with_weights(self, weights: np.ndarray) -> "Problem":
        """The same rows with other weights; rows on the device are shared.

        The preconditioner stays that of the old weights, which affects speed alone.

        Args:
          weights: non-negative, shape ``(examples,)``.
        """
        rows = self.whole_rows._replace(example_weights=weights)
        other = dataclasses.replace(self, rows=rows)
        for key, cached in self._cache.items():
            _, x64, mesh = key
            if isinstance(cached, Examples) and mesh.empty:
                # In the dtype in which `device_rows.place` would put them there.
                with jax.enable_x64(x64):
                    placed = jnp.asarray(precision.as_views(weights))
                other._cache[key] = cached._replace(example_weights=placed)
        return other

    def cached(self, kind: Any, make: Callable[[], Any]) -> Any:
        """Returns the result of ``make``, cached by kind, precision and mesh."""
        x64 = jax.config.read("jax_enable_x64")
        key = (kind, x64, jax.sharding.get_abstract_mesh())
        if key not in self._cache:
            # Tracers of an enclosing compiled program must not be cached.
            fit_checks.check_concrete()
            self._cache[key] = make()
        return self._cache[key]

    @functools.cached_property
    def has_float64(self) -> bool:
        """True for rows or a normalisation of float64 that float32 does not hold."""
        rows = self.first_block
        if isinstance(self.rows, ArrayBlocks):
            # Sparse rows are in memory, and so are the weights.
            sparse = self.rows.features.data
            rows = Block(sparse, self.rows.targets, self.rows.example_weights)
        return rounding.needs_float64(*rows, *(self.normalization or ()))

    @functools.cached_property
    def is_spoiled_by_float32(self) -> bool:
        """True where rounding to float32 spoils rows in memory."""
        features, _, weights = self.whole_rows
        return rounding.is_spoiled_by_float32(
            features, self.normalization, example_weights=weights
        )

    def _examples(self) -> Examples:
        processes.check_everywhere(self._check_rounding)
        return device_rows.place(self.whole_rows, self.normalization)

    def _check_rounding(self) -> None:
        features, _, weights = self.whole_rows
        rounding.check_rounding(
            "features", features, self.normalization, example_weights=weights
        )
