"""Files that are complete or absent.

files       atomic replacement of one file
checkpoint  one file for a tree of arrays, verified when it is read
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
