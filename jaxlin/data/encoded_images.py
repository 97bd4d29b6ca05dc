"""Images of one shape, decoded from PNG or JPEG by Pillow."""

import io
from collections.abc import Sequence

import numpy as np

from jaxlin.data import progress as progress_bars
from jaxlin.data.dataset import DataUnavailableError

#: Pillow's mode of 8-bit pixels by number of channels.
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def require_pillow() -> None:
    """Raises a DataUnavailableError if Pillow is not installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DataUnavailableError(
            f'encoded images need pillow ({error}): pip install "jaxlin[data]"'
        ) from error


def decode(
    encoded: Sequence[bytes],
    *,
    name: str,
    channels: int | None = None,
    progress: bool = True,
) -> np.ndarray:
    """Decodes images of one shape.

    Args:
      encoded: the files, at least one.
      name: name of the data set in messages.
      channels: number of channels to convert to: 1, 3 or 4; None, the default, keeps
        the number of the images, which must be the same for all.
      progress: whether to draw a progress bar on a terminal.

    Returns:
      Pixels, uint8, shape ``(examples, height, width, channels)``.

    Raises:
      ValueError: if the images are not 8-bit or not of one shape.
      OSError: if a file is damaged.
    """
    first = _pixels(encoded[0], channels, name)
    images = np.empty((len(encoded), *first.shape), np.uint8)
    bar = progress_bars.bar(
        len(encoded), f"decoding {name}", "images", progress=progress
    )
    with bar:
        for image, content in zip(images, encoded, strict=True):
            pixels = _pixels(content, channels, name)
            check_same_shape(name, first, pixels)
            image[:] = pixels
            bar.update()
    return images


def check_same_shape(name: str, first: np.ndarray, other: np.ndarray) -> None:
    """Raises a ValueError unless two images have the same shape."""
    if first.shape != other.shape:
        raise ValueError(
            f"images of {name} must share one shape, got {first.shape} and "
            f"{other.shape}; resize them first and save them as .npz"
        )


def _pixels(content: bytes, channels: int | None, name: str) -> np.ndarray:
    """Returns the pixels of one image, shape ``(height, width, channels)``, uint8."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        if channels is None and image.mode not in MODES.values():
            raise ValueError(
                f"images of {name} must be 8-bit with 1, 3 or 4 channels, got mode "
                f"{image.mode}; convert them first"
            )
        pixels = np.asarray(image.convert(MODES[channels] if channels else image.mode))
    return pixels.reshape(*pixels.shape[:2], -1)
