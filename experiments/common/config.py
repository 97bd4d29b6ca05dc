"""A frozen dataclass to JSON and back, exactly, and a check of its annotated bounds.

`from_dict` knows the types that a command line can give: numbers, strings, booleans,
paths, tuples, `Literal`, ``X | None`` and nested dataclasses. `check` enforces the
types and the `Bounds` of the annotations.

  >>> @dataclasses.dataclass(frozen=True)
  ... class Config:
  ...     l2: Annotated[tuple[float, ...], Bounds(above=0)] = (1e-4, 1e-3)
  >>> to_dict(Config())
  {'l2': [0.0001, 0.001]}
  >>> from_dict(Config, {"l2": [1]})
  Config(l2=(1.0,))
  >>> check(Config(l2=(-1.0,)))
  Traceback (most recent call last):
  ValueError: l2[0] must be above 0, got -1.0
"""

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

from experiments.common import files
from jaxlin import check as checks

ConfigT = TypeVar("ConfigT")


class Bounds(NamedTuple):
    """Bounds of a number, or of every number of a tuple, as an annotation.

    Attributes:
      at_least: smallest value, itself allowed.
      above: lower bound, itself not allowed.
      at_most: largest value, itself allowed.
      below: upper bound, itself not allowed.
    """

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None


# An annotation of a tuple that may hold nothing.
MAY_BE_EMPTY = "may be empty"
# Seeds that NumPy and JAX both take.
Seed = Annotated[int, Bounds(at_least=0, at_most=2**32 - 1)]
Count = Annotated[int, Bounds(at_least=1)]
Counts = Annotated[tuple[int, ...], Bounds(at_least=1)]
Positive = Annotated[float, Bounds(above=0)]
Positives = Annotated[tuple[float, ...], Bounds(above=0)]
# An open interval from 0 to 1: a share, or a relative gap.
Share = Annotated[float, Bounds(above=0, below=1)]


def check(config: ConfigT) -> ConfigT:
    """Returns a config whose fields have their types and lie within their bounds.

    Tuples of any length must hold distinct values, at least one unless `MAY_BE_EMPTY`.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    from_dict(type(config), to_dict(config))
    hints = typing.get_type_hints(type(config), include_extras=True)
    for name, hint in hints.items():
        value = getattr(config, name)
        annotations = getattr(hint, "__metadata__", ())
        for bounds in annotations:
            if value is not None and isinstance(bounds, Bounds):
                _check_bounds(name, value, bounds)
        if Ellipsis in typing.get_args(_bare(hint)):
            _check_several(name, value, may_be_empty=MAY_BE_EMPTY in annotations)
    return config


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass as JSON types.

    Raises:
      ValueError: if a number is not finite, which JSON cannot hold.
    """
    _refuse_non_finite(dataclasses.asdict(config), "")
    return files.json_ready(config)


def from_dict(config_type: type[ConfigT], values: Mapping[str, Any]) -> ConfigT:
    """Returns the dataclass with the given fields; absent ones keep their default.

    Args:
      config_type: a dataclass type.
      values: fields by name, as `to_dict` gives them.

    Raises:
      ValueError: if a field is unknown, of the wrong type or missing without default;
        the message names it.
    """
    return _dataclass("", config_type, values)


def _bare(hint: Any) -> Any:
    """Returns a type hint without its annotations."""
    return getattr(hint, "__origin__", hint) if hasattr(hint, "__metadata__") else hint


def _check_bounds(name: str, value: Any, bounds: Bounds) -> None:
    given = {key: end for key, end in bounds._asdict().items() if end is not None}
    if value == ():
        return
    if isinstance(value, tuple):
        checks.numbers_list(name, value, **given)
    else:
        checks.number(name, value, **given)


def _check_several(name: str, values: tuple[Any, ...], *, may_be_empty: bool) -> None:
    if not values and not may_be_empty:
        raise ValueError(f"{name} must not be empty, got ()")
    if len(set(values)) < len(values):
        shown = " ".join(map(str, values))
        raise ValueError(f"{name} must be distinct, got {shown}")


def _dataclass(name: str, kind: Any, values: Any) -> Any:
    """Returns a dataclass whose fields are decoded from a mapping."""
    if not isinstance(values, Mapping):
        raise _wrong(name or "config", "an object with named fields", values)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    prefix = f"{name}." if name else ""
    for field in values:
        if field not in fields:
            raise ValueError(
                f"config has no field {prefix + field!r}; "
                f"it must be one of {', '.join(fields)}"
            )
    for field, definition in fields.items():
        required = (
            definition.default is dataclasses.MISSING
            and definition.default_factory is dataclasses.MISSING
        )
        if required and field not in values:
            raise ValueError(f"config must have the field {prefix + field!r}, got none")
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            field: _decode(prefix + field, hints[field], value)
            for field, value in values.items()
        }
    )


def _decode(name: str, hint: Any, value: Any) -> Any:
    """Returns a JSON value in the type that ``hint`` asks for."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _union(name, arguments, value)
    if origin is typing.Literal:
        if value in arguments:
            return value
        raise _wrong(name, "one of " + ", ".join(map(str, arguments)), value)
    if origin is tuple:
        return _tuple(name, arguments, value)
    if dataclasses.is_dataclass(hint):
        return _dataclass(name, hint, value)
    # In JSON 1 and 1.0 are both numbers; True is none.
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if type(value) is hint or (value is None and hint is types.NoneType):
        return value
    raise _wrong(name, f"of type {getattr(hint, '__name__', hint)}", value)


def _union(name: str, hints: tuple[Any, ...], value: Any) -> Any:
    """Returns ``value`` in the first of several types that fits."""
    for hint in hints:
        try:
            return _decode(name, hint, value)
        except ValueError:
            continue
    kinds = " or ".join(getattr(hint, "__name__", str(hint)) for hint in hints)
    raise _wrong(name, f"of type {kinds}", value)


def _tuple(name: str, hints: tuple[Any, ...], values: Any) -> tuple[Any, ...]:
    """Returns a list as a tuple of decoded entries."""
    if not isinstance(values, list | tuple):
        raise _wrong(name, "a list", values)
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(values)
    if len(hints) != len(values):
        raise _wrong(name, f"a list of {len(hints)} entries", values)
    return tuple(
        _decode(f"{name}[{i}]", hint, value)
        for i, (hint, value) in enumerate(zip(hints, values, strict=True))
    )


def _refuse_non_finite(value: Any, name: str) -> None:
    """Raises if a number anywhere in ``value`` is NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name} must be finite, got {value}")
    if isinstance(value, Mapping):
        for key, entry in value.items():
            _refuse_non_finite(entry, f"{name}.{key}" if name else key)
    if isinstance(value, list | tuple):
        for i, entry in enumerate(value):
            _refuse_non_finite(entry, f"{name}[{i}]")


def _wrong(name: str, rule: str, value: Any) -> ValueError:
    return ValueError(f"{name} must be {rule}, got {value!r}")
