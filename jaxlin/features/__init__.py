"""Features of images for linear classifiers.

Learned parameters are a tuple of arrays; `apply` maps one image to one feature vector,
which the rest of the library takes like any other example.

  encodings      nonlinear encodings of the responses of a patch to filters
  spherical      spherical k-means
  image_patches  patches of images, random or all
  patches        filters learned by k-means of whitened patches, without labels
  convolutional  a small convolutional network without its head
"""

from jaxlin import chapters

__getattr__ = chapters.loader(__name__)
__all__ = chapters.modules(__name__)
