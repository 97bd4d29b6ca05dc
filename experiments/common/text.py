"""Numbers and names as a page shows them."""

import math
import numbers
import re
from collections.abc import Iterable, Mapping
from typing import Any

_SPACE = "\N{NO-BREAK SPACE}"

# A column whose texts all look like this is set flush right: a number, perhaps with a
# spread, an interval or a unit, as in "41.3 %", "0.41 ± 0.01" or "[0.40, 0.42]".
_NUMERIC = re.compile(
    r"[\s\d.,;:±+\-−–/×%\[\]()e>≥]*(?:to|n/a|never|(?:m|µ)?s)?[\s\d.,e\-+%]*"
)


def percent(share: float, digits: int = 1) -> str:
    r"""A share in percent; 100 % only if it is all.

    >>> percent(0.4137), percent(0.99999), percent(1.0)
    ('41.4\xa0%', '99.9+\xa0%', '100.0\xa0%')
    """
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) == 100:
        text = f"{100 - 10.0**-digits:.{digits}f}+"
    return f"{text}{_SPACE}%"


def cell(value: Any) -> str:
    """A value in a table: floats to four significant digits, None and NaN as a dash.

    >>> cell(0.123456), cell(None), cell(50000), cell(True)
    ('0.1235', '–', '50000', 'yes')
    """
    if value is None or (isinstance(value, numbers.Real) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.4g}"
    return str(value)


def is_numeric(text: str) -> bool:
    """Returns whether a cell holds a number, an interval, a bound, "never" or a dash.

    >>> [is_numeric(text) for text in ("≥ 3.1 [2.9, 3.4]", "> 20", "never", "lbfgs")]
    [True, True, True, False]
    """
    return _NUMERIC.fullmatch(text) is not None


def short(value: Any, digits: int = 4) -> str:
    """A number, or several with commas, to so many decimals without trailing zeros.

    >>> short([2.9, 0.0, 12.9])
    '2.9, 0, 12.9'

    Those of which fewer than two digits would be left are in scientific notation:

    >>> short([9.18e-4, 0.5514, 3.4e-48])
    '9.2e-04, 0.5514, 3.4e-48'
    """
    if isinstance(value, Iterable):
        return ", ".join(short(one, digits) for one in value)
    if 0 < abs(value) < 10.0 ** (1 - digits):
        return f"{value:.1e}"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested names joined by dots.

    >>> flat({"a": 1, "b": {"c": 2}})
    {'a': 1, 'b.c': 2}
    """
    found: dict[str, Any] = {}
    for name, entry in values.items():
        if isinstance(entry, Mapping):
            found.update(flat(entry, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = entry
    return found
