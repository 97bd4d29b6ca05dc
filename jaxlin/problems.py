"""Problem: examples that are checked once and know their classes.

Everything that fits takes a `Problem`, made of arrays, memory maps or blocks of rows:

  >>> import numpy as np
  >>> import jaxlin
  >>> rows = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
  >>> problem = jaxlin.problem(rows, np.where(rows[:, 0] > 0, "yes", "no"))
  >>> problem
  Problem(60 examples, 3 features, 2 classes)
  >>> problem.classes
  array(['no', 'yes'], dtype='<U3')

Under a mesh (`jaxlin.sharding`) the rows are spread over its devices. In several
processes each makes the problem of the rows that it has loaded and sees no others.
Rows that do not divide evenly are padded: some are there twice, the second time with
weight 0.
"""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from jaxlin import check, class_labels
from jaxlin.normalization import (
    Normalization,
    check_normalization,
    check_rounding,
    without_overflow,
)
from jaxlin.numerics import device_mesh, processes
from jaxlin.objective import row_blocks
from jaxlin.objective.row_blocks import Block
from jaxlin.solvers import certified, fit_loop, preconditioner, streaming
from jaxlin.solvers.interface import Examples
from jaxlin.typing import Array, Loss

# Fits a normalization to features and weights, such as `normalization.fit_standard`.
FitNormalization = Callable[..., Normalization]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Problem:
    """Checked examples, made by `problem`.

    Attributes:
      rows: features, codes of the labels (or distributions) and weights of all
        examples, on the host; blocks of them where they do not fit into memory.
      classes: labels in the order of the scores, shape ``(classes,)``.
      normalization: applied to each row, or None.
    """

    rows: Block | Iterable[Block]
    classes: np.ndarray
    normalization: Normalization | None
    # What has been put on the device or measured, by what it was made for.
    _made: dict[Any, Any] = dataclasses.field(default_factory=dict, init=False)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)

    @property
    def num_examples(self) -> int:
        """Number of examples, in several processes of this one."""
        return len(self._whole_rows().features)

    @property
    def num_features(self) -> int:
        """Number of features."""
        first: Any = next(iter(self.rows)) if self.is_blocked else self.rows
        return np.shape(first.features)[1]

    @property
    def rank(self) -> int:
        """1 for labels, 2 for distributions over the classes."""
        first: Any = next(iter(self.rows)) if self.is_blocked else self.rows
        return np.ndim(first.targets)

    @property
    def is_blocked(self) -> bool:
        """True for rows in blocks."""
        return not isinstance(self.rows, Block)

    def __repr__(self) -> str:
        size = "blocks of examples"
        if isinstance(self.rows, Block):
            num_rows, num_features = self.rows.features.shape
            size = f"{num_rows:,} examples, {num_features:,} features"
        normalized = ", normalized" if self.normalization is not None else ""
        return f"Problem({size}, {self.num_classes:,} classes{normalized})"

    @property
    def examples(self) -> Examples:
        """The examples on the device, for a solver of `jaxlin.solvers`."""
        return self._once("examples", self._examples)

    def prepared(
        self, *, loss: Loss | None = None, keep_float64: bool = False
    ) -> Examples:
        """The examples with the preconditioner that certified solvers need.

        Args:
          loss: the only one that will be fitted, for which a smaller rank may do; None
            prepares for all losses.
          keep_float64: whether float64 rows stay float64, whatever `jax.config` says.
        """
        rank = preconditioner.RANK if loss is None else preconditioner.rank_for(loss)
        if not (keep_float64 and self._has_float64):
            make = functools.partial(certified.prepare, self.examples, rank=rank)
            return self._once(("prepared", rank), make)
        with self.enable_float64_for(keep_float64):
            return self._once(
                ("prepared in float64", rank),
                lambda: certified.prepare(self._in_float64(), rank=rank),
            )

    def measured(
        self, *, loss: Loss, keep_float64: bool = False
    ) -> streaming.RowStatistics:
        """Norms, sample and preconditioner of rows that come in blocks, in one pass."""
        in_float64, rank = (
            keep_float64 and self._has_float64,
            preconditioner.rank_for(loss),
        )

        def make() -> streaming.RowStatistics:
            return streaming.measured(
                self.rows,
                num_classes=self.num_classes,
                normalization=self.normalization,
                rank=rank,
            )

        with self.enable_float64_for(keep_float64):
            return self._once(("measured", rank, in_float64), make)

    def enable_float64_for(self, keep: bool) -> contextlib.AbstractContextManager:
        """A context in which float64 rows, if there are any, keep their digits."""
        in_float64 = keep and self._has_float64
        return jax.enable_x64(True) if in_float64 else contextlib.nullcontext()

    def weight_sets(
        self,
        values: ArrayLike | None,
        *,
        num_sets: int | None = None,
        allow_one_class: bool = False,
        name: str = "weight_sets",
    ) -> Array | np.ndarray | None:
        """Checks sets of example weights and spreads them as the rows are.

        Args:
          values: shape ``(sets, examples)``, of the examples as they were given; None
            is one set of all ones.
          num_sets: how many there must be at least; None is any number.
          allow_one_class: whether a set may leave examples of one class alone.
          name: how an error message calls them.

        Returns:
          Shape ``(sets, rows on the device)``, float32; None for None.

        Raises:
          ValueError: that names the argument, the rule and the value.
        """
        check.concrete(name, values)
        if values is None:
            if (num_sets or 1) > 1:
                raise ValueError(
                    f"{name} must be given for models of {num_sets} of them, got None"
                )
            return None
        sets = np.asarray(values)
        checked = processes.check_everywhere(
            lambda: self._checked_sets(name, sets, num_sets)
        )
        processes.check_equal(**{name: len(sets)})
        self._check_classes_of_sets(name, checked, allow_one_class)
        if jax.sharding.get_abstract_mesh().empty:
            return checked
        wider = np.stack([processes.padded(one) for one in checked])
        return processes.place(wider, (None, device_mesh.ROWS))

    def with_normalization(self, normalization: Normalization | None) -> "Problem":
        """The same examples under another normalization; the rows are shared."""
        fitted = _normalization(normalization, *self._whole_rows()[::2])
        other = dataclasses.replace(self, normalization=fitted)
        if fitted is not None:
            processes.check_everywhere(other._check_rounding)
        shared = self.examples._replace(normalization=_placed_normalization(fitted))
        other._once("examples", lambda: shared)
        return other

    def _checked_sets(
        self, name: str, sets: np.ndarray, num_sets: int | None
    ) -> np.ndarray:
        shape, num_rows = sets.shape, self.num_examples
        if len(shape) != 2 or shape[0] < (num_sets or 1) or shape[1] != num_rows:
            # One set without an axis of sets is as long as many would be.
            wanted = num_sets if len(shape) == 2 and num_sets else "sets"
            raise ValueError(
                f"{name} must have shape ({wanted}, {num_rows}) for these models and "
                f"rows, got {shape}"
            )
        is_part = jax.process_count() > 1
        return np.stack(
            [
                check.example_weights(
                    f"{name}[{i}]", one, num_examples=num_rows, is_part=is_part
                )
                for i, one in enumerate(sets)
            ]
        ).astype(np.float32)

    def _check_classes_of_sets(
        self, name: str, sets: np.ndarray, allow_one_class: bool
    ) -> None:
        """Raises a ValueError, in all processes, for sets of no or of one class."""
        _, targets, weights = self._whole_rows()
        own = 1 if weights is None else weights
        largest = np.max(processes.gathered_float64(sets.max(axis=1)), axis=0)
        for i, one in enumerate(sets):
            if not largest[i] > 0:
                raise ValueError(
                    f"{name}[{i}] must have a positive sum over the examples of all "
                    "processes, got 0"
                )
            check.weight_size(f"{name}[{i}]", largest[i])
            if allow_one_class:
                continue
            present = check.present_classes(targets, example_weights=one * own)
            found = processes.total(np.isin(np.arange(self.num_classes), present))
            if np.count_nonzero(found) < 2:
                only = self.classes[found > 0]
                got = f"only class {only[0]!s}" if len(only) else "none"
                raise ValueError(
                    f"{name}[{i}] must leave examples of at least two classes, got "
                    f"{got}; a classifier has nothing to tell apart"
                )

    def _whole_rows(self) -> Block:
        if not isinstance(self.rows, Block):
            raise ValueError(
                "solvers and sweeps must have all examples on the device, got a "
                "problem of blocks; jaxlin.fit makes its passes block by block"
            )
        return self.rows

    def _once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Returns what ``make`` does, kept for the same mesh and digits."""
        digits = jax.config.read("jax_enable_x64")
        key = (key, digits, jax.sharding.get_abstract_mesh())
        if key not in self._made:
            # What a program that is compiled around this traces must not be kept.
            fit_loop.check_concrete()
            self._made[key] = make()
        return self._made[key]

    @property
    def _has_float64(self) -> bool:
        rows: Any = next(iter(self.rows)) if self.is_blocked else self.rows
        parts = [
            part for part in (*rows, *(self.normalization or ())) if part is not None
        ]
        return any(np.asarray(part).dtype == np.float64 for part in parts)

    def _examples(self) -> Examples:
        rows = self._whole_rows()
        if self.normalization is not None:
            processes.check_everywhere(self._check_rounding)
        return _placed(rows, self.normalization)

    def _in_float64(self) -> Examples:
        return _placed(self.rows, self.normalization)  # type: ignore[arg-type]

    def _check_rounding(self) -> None:
        features, _, weights = self._whole_rows()
        check_rounding(
            "features",
            features,
            self.normalization,  # type: ignore[arg-type]
            example_weights=weights,
        )


def problem(
    features: ArrayLike | Iterable[Block],
    labels: ArrayLike | None = None,
    *,
    weights: ArrayLike | None = None,
    normalization: Normalization | FitNormalization | None = None,
    classes: Any = None,
) -> Problem:
    """Checks examples, once, and encodes their labels.

    Args:
      features: raw rows, uint8 or floating, finite, shape ``(examples, features)``; or
        blocks of rows and labels (`jaxlin.objective.row_blocks`), without ``labels``.
      labels: integers, booleans, text or whole floats, shape ``(examples,)``; for
        `jaxlin.losses.cross_entropy` distributions ``(examples, classes)``. At least
        two classes with a positive weight.
      weights: shape ``(examples,)``, non-negative with a positive sum; None is all
        ones. A row of weight 0 counts for nothing, but must be finite.
      normalization: applied to each row; or a function such as
        `jaxlin.normalization.fit_standard` that fits one to these rows; or None.
        Features that are not normalized should be of size about 1.
      classes: all labels, in the order of the scores; None takes those that occur, in
        ascending order. In several processes it must be given.

    Raises:
      ValueError: that names the argument, the rule and the value.
    """
    for name, value in {"features": features, "labels": labels}.items():
        check.concrete(name, value)
    check.concrete("weights", weights)
    if labels is None:
        _refuse_with_blocks(features, weights)
        return _of_blocks(features, normalization, classes)  # type: ignore[arg-type]
    several = jax.process_count() > 1
    if several and classes is None:
        raise ValueError(
            "classes must be given in several processes, none of which sees all labels"
        )

    def checked() -> tuple[Block, np.ndarray, Normalization | None]:
        codes, known = _encoded(labels, classes)
        rows = check.examples(
            features,
            codes,
            weights,
            num_classes=max(2, len(known)),
            names=("features", "labels", "weights"),
            # Whatever is true of all rows need not be of those of one process.
            is_part=several,
        )
        fitted = _normalization(normalization, rows[0], rows[2])
        return Block(*rows), known, fitted

    rows, known, fitted = processes.check_everywhere(checked)
    _check_classes_of_all(rows, known)
    return Problem(rows, known, fitted)


def _encoded(labels: Any, classes: Any) -> tuple[Any, np.ndarray]:
    """Codes and classes; distributions as they are."""
    check.one_label_each("labels", labels)
    array = check.dense("labels", labels)
    if array.ndim != 2:
        return class_labels.encode("labels", labels, classes=classes)
    width = array.shape[1]
    known = np.arange(width) if classes is None else class_labels.as_classes(classes)
    if len(known) != width:
        raise ValueError(
            f"classes must be one a column of the labels, {width} of them, got "
            f"{len(known)}"
        )
    return array, known


def _normalization(
    given: Normalization | FitNormalization | None,
    rows: np.ndarray,
    weights: np.ndarray | None,
) -> Normalization | None:
    if given is None:
        return None
    if callable(given):
        given = given(rows, example_weights=weights)
    return check_normalization(given, num_features=rows.shape[1])


def _check_classes_of_all(rows: Block, classes: np.ndarray) -> None:
    """Raises a ValueError in all processes if their examples are of one class."""
    features, targets, weights = rows
    processes.check_rows_of_processes()
    processes.check_equal(
        width=features.shape[1], dtype=features.dtype.num, rank=targets.ndim
    )
    present = check.present_classes(targets, example_weights=weights)
    found = np.flatnonzero(
        processes.total(np.isin(np.arange(max(2, len(classes))), present))
    )
    if not found.size:
        raise ValueError("weights of all processes must have a positive sum, got 0")
    if len(found) < 2:
        weighted = "" if weights is None else " with positive weights"
        raise ValueError(
            f"labels must name at least two classes{weighted}, got only class "
            f"{classes[found[0]]!s}; a classifier has nothing to tell apart"
        )


def _placed(rows: Block, normalization: Normalization | None) -> Examples:
    """Arrays on the device, or on the current mesh."""
    features, targets, weights = rows
    features = without_overflow(features, weights, normalization)
    fitted = _placed_normalization(normalization)
    if jax.sharding.get_abstract_mesh().empty:
        return Examples(
            jnp.asarray(features),
            jnp.asarray(targets),
            None if weights is None else jnp.asarray(weights),
            fitted,
        )
    num_padded = processes.num_padded(len(features))
    if weights is None and processes.any_process(num_padded > len(features)):
        weights = np.ones(len(features), np.float32)
    if weights is not None:
        weights = np.pad(weights, (0, num_padded - len(features)))
    by_row = (device_mesh.ROWS,)
    return Examples(
        processes.place(processes.padded(features), by_row),
        processes.place(processes.padded(targets), by_row),
        None if weights is None else processes.place(weights, by_row),
        fitted,
    )


def _placed_normalization(normalization: Normalization | None) -> Normalization | None:
    if normalization is None:
        return None
    if jax.sharding.get_abstract_mesh().empty:
        return Normalization(*map(jnp.asarray, normalization))
    return Normalization(*(processes.place(part, ()) for part in normalization))


@dataclasses.dataclass(frozen=True)
class _EncodedBlocks:
    """Blocks whose labels are encoded as they are read."""

    blocks: Iterable[Block]
    classes: np.ndarray

    def __iter__(self) -> Iterator[Block]:
        for number, given in enumerate(self.blocks):
            block = row_blocks.as_arrays(given)
            if np.ndim(block.targets) == 1:
                codes, _ = class_labels.encode(
                    f"blocks[{number}].targets", block.targets, classes=self.classes
                )
                block = block._replace(targets=codes)
            yield block


def _of_blocks(
    blocks: Iterable[Block],
    normalization: Normalization | FitNormalization | None,
    classes: Any,
) -> Problem:
    first = row_blocks.first_of(blocks)
    if callable(normalization):
        raise ValueError(
            "normalization must be fitted already where rows come in blocks, got a "
            "function; fit_standard takes memory maps"
        )
    if classes is not None:
        known = class_labels.as_classes(classes)
    elif np.ndim(first.targets) == 2:
        known = np.arange(np.shape(first.targets)[1])
    else:
        found: set[Any] = set()
        for number, block in enumerate(blocks):
            name = f"blocks[{number}].targets"
            found.update(class_labels.as_labels(name, block[1]).tolist())
        known = class_labels.as_labels("targets", np.array(sorted(found)))
    if normalization is not None:
        normalization = check_normalization(
            normalization, num_features=np.shape(first.features)[1]
        )
    return Problem(_EncodedBlocks(blocks, known), known, normalization)


def _refuse_with_blocks(features: Any, weights: Any) -> None:
    """Raises a ValueError for arrays without labels."""
    if hasattr(features, "dtype") or hasattr(features, "columns"):
        raise ValueError(
            "labels must be given with features, got None; only blocks of rows "
            "(jaxlin.objective.row_blocks) bring their own"
        )
    if weights is not None:
        raise ValueError("weights must be in the blocks, got some beside them")


def given(
    features: Problem | ArrayLike | Iterable[Block],
    labels: ArrayLike | None = None,
    **how: Any,
) -> Problem:
    """The problem that a door was given, or one made of what it was given."""
    if not isinstance(features, Problem):
        return problem(features, labels, **how)
    for name, value in {"labels": labels, **how}.items():
        if value is not None:
            raise ValueError(
                f"{name} must be given to jaxlin.problem, got some beside a Problem"
            )
    return features
