"""What a run computes: the fields of config.json and of the command line."""

import dataclasses
import math

from experiments.common.losses import CERTIFIED
from jaxlin import check, data


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
      max_evaluations: of the fit, after which it is taken as it is.
      images: test images whose pixels and perturbations are shown, the first ones.
      shown_points: training images drawn as points in the plane.
      boxed_images: test images whose radii within the pixel range are computed, the
        first ones; None takes 1000, or all if there are fewer. Without bounds it is
        always all of them.
      sizes: points of each curve of accuracy.
    """

    dataset: str = "cifar10"
    loss: str = "softmax_cross_entropy"
    l2: float = 1e-2
    relative_gap: float = 1e-4
    max_evaluations: int = 600
    images: int = 5
    shown_points: int = 1000
    boxed_images: int | None = None
    sizes: int = 200


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


def checked(config: Config) -> Config:
    """Returns ``config``, if a run can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check.choice("loss", config.loss, tuple(CERTIFIED))
    check.number("l2", config.l2, above=0)
    check.number("relative_gap", config.relative_gap, above=0, below=1)
    check.integer("max_evaluations", config.max_evaluations, at_least=1)
    check.integer("images", config.images, at_least=1, at_most=10)
    check.integer("shown_points", config.shown_points, at_least=1)
    if config.boxed_images is not None:
        check.integer("boxed_images", config.boxed_images, at_least=1)
    check.integer("sizes", config.sizes, at_least=2)
    return config


def boxed_images(config: Config, dataset: data.Dataset) -> int:
    """How many radii within the pixel range are computed."""
    if config.boxed_images is not None:
        return config.boxed_images
    return min(_BOXED_IMAGES, len(dataset.test.labels))


def check_fits(config: Config, dataset: data.Dataset) -> None:
    """Checks, before anything is fitted, that the data are images and enough.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    shape = dataset.image_shape
    if shape is None or not (len(shape) == 2 or shape[2:] in ((1,), (3,))):
        raise ValueError(
            "dataset must hold images, grey or with three colours, got "
            f"{dataset.name} with rows of "
            + ("features" if shape is None else f"shape {shape}")
        )
    if math.prod(shape) < 2:
        raise ValueError(f"dataset must have two pixels at least, got {shape}")
    for name in ("images", "boxed_images"):
        value, most = getattr(config, name), len(dataset.test.labels)
        if value is not None and value > most:
            raise ValueError(
                f"{name} must be at most {most}, the test images of {dataset.name}, "
                f"got {value}"
            )
