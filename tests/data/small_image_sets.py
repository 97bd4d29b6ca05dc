"""Small sets in the place of CIFAR-10 and MNIST."""

import hashlib

import image_copies
import numpy as np

from jaxlin import data
from jaxlin.data import official_sets

IMAGES = image_copies.small()
GRAY = image_copies.small((28, 28, 1))


def pairs(images):
    """SHA-256 of the sorted digests of each label and image, by a loop."""
    found = []
    for split in ("train", "test"):
        pixels, labels = images.split(split)
        digests = sorted(
            hashlib.sha256(bytes([label, *image.ravel()])).digest()
            for image, label in zip(pixels, labels, strict=True)
        )
        whole = hashlib.sha256()
        for digest in digests:
            whole.update(digest)
        found.append(whole.hexdigest())
    return tuple(found)


SMALL_CIFAR10 = official_sets.CIFAR10._replace(
    expected=pairs(IMAGES),
    batches=tuple(
        official_sets.idx_md5(labels) for _, labels in image_copies.batches(IMAGES)
    ),
)
SMALL_MNIST = official_sets.MNIST._replace(
    expected=tuple(
        official_sets.mnist_md5(
            data.Split(GRAY.split(split)[0].reshape(-1, 784), GRAY.split(split)[1])
        )
        for split in ("train", "test")
    ),
)


def assert_is(found, images):
    for name in ("train", "test"):
        split, (pixels, labels) = getattr(found, name), images.split(name)
        np.testing.assert_array_equal(
            split.features.reshape(pixels.shape), pixels, strict=True
        )
        np.testing.assert_array_equal(split.labels, labels.astype("i4"), strict=True)


def prepared(prepare_set, folder, name, images, *, with_ids):
    """Prepares a set with tensorflow-datasets under a name of its own."""
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=images.train.shape[1:]),
        "label": tfds.features.ClassLabel(names=list(image_copies.CIFAR10_NAMES)),
    }
    if with_ids:
        features["id"] = tfds.features.Text()
    png = image_copies.encoded
    splits = {
        split: image_copies.tfds_rows(
            images,
            split,
            with_ids=with_ids,
            png=lambda one: png(one[..., 0] if one.shape[-1] == 1 else one),
        )
        for split in ("train", "test")
    }
    made = prepare_set(folder / "made", features, splits)
    target = folder / name / "3.0.2"
    target.parent.mkdir()
    return made.rename(target)
