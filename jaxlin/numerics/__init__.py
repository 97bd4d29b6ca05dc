"""Compensated sums, full-precision products, devices and processes.

compensated  sums with compensated rounding errors
precision    float64 where the input has it, products at full precision
device_mesh  the current backend, its memory, and the mesh
compilation  programs of small problems, compiled with few optimisations
processes    arrays whose rows are spread over several processes
row_arrays   rows where they are given: on the host, on the device, or sparse
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
