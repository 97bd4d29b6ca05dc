"""Checks of data and settings, made once, where they enter.

Inside a compiled program an out-of-range label or a NaN raises no error. Arrays are
therefore checked on the host, before anything is compiled. Each function returns the
checked value or raises a `ValueError` with the name, the rule, the value found and,
where there is one, the remedy. The checks use NumPy alone and compile nothing.

  >>> from jaxlin import check
  >>> check.labels("labels", [0, 2, 1], num_classes=3)
  array([0, 2, 1], dtype=int32)
  >>> check.labels("labels", [0, 3], num_classes=3)  # doctest: +ELLIPSIS
  Traceback (most recent call last):
  ...
  ValueError: labels must lie in [0, 2], got 3 at position 1; ...

  diagnosis  descriptions of invalid arrays, for error messages
  arguments  numbers, options, keys, the shape of one example, arguments of a loss
  foreign    arrays and tables of other libraries
  arrays     features and weights
  sparse     rows of scipy.sparse
  targets    labels, indicators and distributions; examples as a whole
"""

from jaxlin import chapters
from jaxlin.check.arguments import (
    argument_names,
    choice,
    concrete,
    integer,
    is_traced,
    key,
    loss_arguments,
    number,
    numbers_list,
    one_example,
)
from jaxlin.check.arrays import (
    as_numbers,
    check_finite,
    check_layout,
    dense,
    example_weights,
    features,
    one_per_example,
    weight_size,
)
from jaxlin.check.foreign import (
    check_column_names,
    column_names,
    is_array,
    is_sparse,
    is_table,
)
from jaxlin.check.sparse import as_csr, sparse_features
from jaxlin.check.targets import (
    distributions,
    examples,
    indicators,
    labels,
    one_axis,
    one_label_each,
    present_classes,
    several_classes,
)

__getattr__ = chapters.loader(__name__)
__all__ = [
    "argument_names",
    "as_csr",
    "as_numbers",
    "check_column_names",
    "check_finite",
    "check_layout",
    "choice",
    "column_names",
    "concrete",
    "dense",
    "distributions",
    "example_weights",
    "examples",
    "features",
    "indicators",
    "integer",
    "is_array",
    "is_sparse",
    "is_table",
    "is_traced",
    "key",
    "labels",
    "loss_arguments",
    "number",
    "numbers_list",
    "one_axis",
    "one_example",
    "one_label_each",
    "one_per_example",
    "present_classes",
    "several_classes",
    "sparse_features",
    "weight_size",
]
