"""Sums, products, devices and processes: what the mathematics runs on.

compensated  sums that keep what rounding loses
precision    products at full precision
device_mesh  the current backend and mesh: where arrays lie, how much memory there is
processes    arrays whose rows are spread over several processes
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
