"""Atomic files and checkpoints.

files       atomic replacement of one file
checkpoint  one file for a tree of arrays, with checksums
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
