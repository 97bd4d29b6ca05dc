"""Features of images, on which a linear class does better than on pixels.

What is learned of images is a tuple of arrays; `apply` turns one image into one vector,
on which everything of this library works unchanged.

  encodings      responses to filters, encoded and pooled
  spherical      k-means of directions
  patches        whitened patches as filters; k-means, no labels
  convolutional  a small convolutional network, without its head
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
