"""Features of images, on which a linear class does better than on pixels.

What is learned of images is a tuple of arrays; `apply` turns one image into one vector,
on which everything of this library works unchanged.

  patches         whitened patches as filters, encoded and pooled; k-means, no labels
  spherical       k-means of directions
  convolutional   a small convolutional network, without its head
"""
