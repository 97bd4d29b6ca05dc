"""Grids of images: examples, templates and signed values."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from jaxlin.geometry import hyperplanes
from jaxlin.plotting.axes import array_of_rank, require_same


def templates(
    axes: Any,
    weights: ArrayLike,
    *,
    image_shape: tuple[int, ...],
    class_names: Sequence[str],
    scale: Literal["per_class", "shared"] = "per_class",
) -> Any:
    """Draws each row of W as an image, by `jaxlin.geometry.hyperplanes.templates`.

    Zero is mid-grey; black and white are the largest weight of the class ("per_class":
    each template uses the whole range) or of all classes ("shared": templates can be
    compared).

    Args:
      axes: array of at least as many Axes as classes; the remaining ones are hidden.
      weights: W, shape ``(classes, features)``.
      image_shape: ``(height, width)``, ``(height, width, 1)`` or ``(height, width, 3)``
        with ``features`` entries in total.
      class_names: one name per class, used as titles.
      scale: "per_class" or "shared", the range of black and white.

    Returns:
      ``axes``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    rows = array_of_rank("weights", weights, rank=2)
    require_same("class_names", len(class_names), "the number of classes", len(rows))
    require_same("weights.shape[1]", rows.shape[1], "pixels", int(np.prod(image_shape)))
    pictures = hyperplanes.templates(rows, image_shape=image_shape, scale=scale)
    return image_grid(axes, np.asarray(pictures), titles=class_names, limits=(0.0, 1.0))


def image_grid(
    axes: Any,
    images: ArrayLike,
    *,
    titles: Sequence[str],
    limits: tuple[float, float] | None = None,
) -> Any:
    """Draws images, one per Axes, with titles.

    Args:
      axes: array of at least as many Axes as images; the remaining ones are hidden.
      images: shape ``(images, height, width)``, optionally with a last axis of one
        channel, or of three for red, green and blue.
      titles: one title per image.
      limits: values of black and white, or of no and full colour; by default 0 and 255
        for uint8, and for floats the smallest and the largest value of all images.

    Returns:
      ``axes``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    pictures = np.asarray(images)
    if pictures.ndim == 4 and pictures.shape[-1] == 1:
        pictures = pictures[..., 0]
    if pictures.ndim != 3 and (pictures.ndim != 4 or pictures.shape[-1] != 3):
        raise ValueError(
            "images must have shape (images, height, width), with 1 or 3 channels "
            f"after it or none, got shape {pictures.shape}"
        )
    require_same("titles", len(titles), "the number of images", len(pictures))
    places = np.asarray(axes).ravel()
    if len(places) < len(pictures):
        raise ValueError(
            f"axes must be at least as many as images, got {len(places)} for "
            f"{len(pictures)}"
        )
    if limits is None and pictures.dtype == np.uint8:
        limits = (0, 255)
    elif limits is None:
        limits = (pictures.min(), pictures.max()) if pictures.size else (0, 1)
    low, high = limits
    span = (high - low) or 1.0
    scaled = np.clip((pictures.astype(np.float64) - low) / span, 0.0, 1.0)
    for ax, picture, title in zip(places, scaled, titles, strict=False):
        ax.imshow(picture, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title, fontsize=10)
    for ax in places:
        ax.set_axis_off()
    return axes


def signed_images(
    axes: Any,
    values: ArrayLike,
    *,
    titles: Sequence[str],
    largest: float | None = None,
) -> Any:
    """Draws images of signed values: red where positive, blue where negative.

    Args:
      axes: array of at least as many Axes as images; the remaining ones are hidden.
      values: signed values, shape ``(images, height, width)``.
      titles: one title per image.
      largest: absolute value of the full colours; by default the largest absolute value
        of all images, so that they can be compared.

    Returns:
      ``axes``.

    Raises:
      ValueError: if the shapes do not fit.
    """
    pictures = array_of_rank("values", values, rank=3)
    require_same("titles", len(titles), "the number of images", len(pictures))
    places = np.asarray(axes).ravel()
    if len(places) < len(pictures):
        raise ValueError(
            f"axes must be at least as many as images, got {len(places)} for "
            f"{len(pictures)}"
        )
    end = largest or float(np.abs(pictures).max(initial=0.0)) or 1.0
    for ax, picture, title in zip(places, pictures, titles, strict=False):
        ax.imshow(picture, cmap="RdBu_r", vmin=-end, vmax=end, interpolation="nearest")
        ax.set_title(title, fontsize=10)
    for ax in places:
        ax.set_axis_off()
    return axes
