"""Settings of a run: the fields of config.json and of the command line."""

import dataclasses
import math
from typing import Annotated

from experiments.common import datasets
from experiments.common.config import Bounds, Count, Positive, Share
from experiments.common.losses import LossName
from jaxlin import data


@dataclasses.dataclass(frozen=True)
class Config:
    """One experiment.

    Attributes:
      dataset: cifar10, digits, an image set that tfds has prepared, or FILE.npz of
        images.
      loss: softmax_cross_entropy or another loss that can be certified.
      l2: strength of the penalty, bias included.
      relative_gap: what the fit is asked to prove of (objective - optimum) /
        objective.
      max_passes: of the fit, after which it is taken as it is.
      images: test images whose pixels and perturbations are shown, the first ones.
      shown_points: training images drawn as points in the plane.
      boxed_images: test images whose radii within the pixel range are computed, the
        first ones; None takes 1000, or all if there are fewer. Without bounds it is
        always all of them.
      sizes: points of each curve of accuracy.
    """

    dataset: str = "cifar10"
    loss: LossName = "softmax_cross_entropy"
    l2: Positive = 1e-2
    relative_gap: Share = 1e-4
    max_passes: Count = 600
    images: Annotated[int, Bounds(at_least=1, at_most=10)] = 5
    shown_points: Count = 1000
    boxed_images: Annotated[int | None, Bounds(at_least=1)] = None
    sizes: Annotated[int, Bounds(at_least=2)] = 200


# Unless the user says how many: enough for a median to two digits, in seconds.
_BOXED_IMAGES = 1000

SMOKE = Config(
    dataset="digits",
    relative_gap=1e-3,
    images=2,
    shown_points=100,
    boxed_images=100,
    sizes=20,
)


def boxed_images(config: Config, dataset: data.Dataset) -> int:
    """Number of test images whose radii within the pixel range are computed."""
    if config.boxed_images is not None:
        return config.boxed_images
    return min(_BOXED_IMAGES, len(dataset.test.labels))


def settle(config: Config, dataset: data.Dataset) -> Config:
    """Returns the config, if the data are images, and enough.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    datasets.check_images(dataset)
    shape = dataset.image_shape or ()
    if math.prod(shape) < 3:
        raise ValueError(f"dataset must have three pixels at least, got {shape}")
    for name in ("images", "boxed_images"):
        value, most = getattr(config, name), len(dataset.test.labels)
        if value is not None and value > most:
            raise ValueError(
                f"{name} must be at most {most}, the test images of {dataset.name}, "
                f"got {value}"
            )
    return config
