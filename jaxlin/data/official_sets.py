"""Published image sets: their places, their downloads and checksums of their content.

Sizes and SHA-256 checksums of downloads are those of tensorflow-datasets.
"""

import hashlib
import math
import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxlin.data.dataset import Split
from jaxlin.data.downloads import RemoteFile


class ImageSet(NamedTuple):
    """A published image-classification set.

    Attributes:
      name: name in tensorflow-datasets and in `jaxlin.data.load`.
      image_shape: shape of an image.
      num_images: number of training and test images together.
      places: files and folders of official files, below a folder of data sets.
      hub: name on the Hugging Face hub, folder of its parquet files, and their column
        of labels; None if the hub has no official copy.
      remote: official files, downloaded if there is no copy.
      identity: function of a split that identifies its content.
      expected: its values for the training and the test split.
      checksums: algorithm and published checksum of official files, by name, where
        ``identity`` is of a part of the content.
      batches: MD5 of the labels of each official batch of training images, as IDX
        files; () if no form has the batches in another order.
      class_names: names of the classes where some form has none; None if all have them.
      is_numbered: whether tensorflow-datasets prepares it with the keys 0, 1, 2, ...
    """

    name: str
    image_shape: tuple[int, ...]
    num_images: int
    places: tuple[str, ...]
    hub: tuple[str, str, str] | None
    remote: tuple[RemoteFile, ...]
    identity: Callable[[Split], Any]
    expected: tuple[Any, Any]
    checksums: Mapping[str, tuple[str, str]] = types.MappingProxyType({})
    batches: tuple[str, ...] = ()
    class_names: tuple[str, ...] | None = None
    is_numbered: bool = False

    @property
    def max_bytes(self) -> int:
        """Number of bytes that official files hold at most, unpacked.

        It is twice that of the pixels: pickles have names of files, too.
        """
        return 2 * self.num_images * math.prod(self.image_shape)


def pairs_sha256(split: Split) -> str:
    """SHA-256 of images with their labels, equal for every order of them."""
    labels = split.labels.astype(np.uint8)
    pairs = (
        hashlib.sha256(label.tobytes() + row.tobytes()).digest()
        for row, label in zip(split.features, labels, strict=True)
    )
    return hashlib.sha256(b"".join(sorted(pairs))).hexdigest()


def mnist_md5(split: Split) -> tuple[str, str]:
    """MD5 of the IDX files of images of 28 x 28 pixels and of their labels."""
    return idx_md5(split.features.reshape(-1, 28, 28)), idx_md5(split.labels)


def labels_and_sums(split: Split) -> tuple[str, tuple[int, ...]]:
    """MD5 of the labels in their order, as an IDX file; sums of the color channels."""
    pixels = split.features.reshape(-1, 3)
    return idx_md5(split.labels), tuple(pixels.sum(axis=0, dtype=np.int64).tolist())


def images_per_class(split: Split) -> tuple[int, ...]:
    """Distinct numbers of images that classes have, ascending."""
    return tuple(np.unique(np.bincount(split.labels)).tolist())


def idx_md5(array: np.ndarray) -> str:
    """MD5 of the IDX file of an array of integers below 256."""
    header = bytes([0, 0, 0x08, array.ndim]) + np.array(array.shape, ">u4").tobytes()
    return hashlib.md5(header + array.astype(np.uint8).tobytes()).hexdigest()


# The digests of the images are those of a copy whose means and standard deviations of
# the channels equal the published ones in all 15 digits; those of the labels are of the
# official order, as CIFAR-10N publishes it.
CIFAR10 = ImageSet(
    name="cifar10",
    image_shape=(32, 32, 3),
    num_images=60_000,
    places=(
        "cifar-10-batches-bin",
        "cifar-10-batches-py",
        "cifar-10-binary.tar.gz",
        "cifar-10-python.tar.gz",
    ),
    hub=("uoft-cs/cifar10", "plain_text", "label"),
    remote=(
        RemoteFile(
            "cifar-10-binary.tar.gz",
            (
                "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
                "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/"
                "cifar-10-binary.tar.gz",
            ),
            170_052_171,
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        ),
    ),
    identity=pairs_sha256,
    expected=(
        "d59acf989e068e709ce686cda292672c7b212c08d29d3d3e6d8c3aa99eba6a85",
        "899683d46c3a8c66fd56e1af12202e69fe5a4517be10b0f68e04c78fe585c57c",
    ),
    batches=(
        "e126a5fb070fbf13ad15a1f00b6a2b9f",
        "97f9426206f6b4bc82f2236919e8488c",
        "2b9adc5b8a180830cd8326d04943e71e",
        "6f444729f7bf8fb4a5001e876fb10e9f",
        "7c87cb934568e4978d2b10a4bb9c614b",
    ),
)

# Labels in the official order, as CIFAR-100N and cleanlab publish them. Sums of the
# channels from the means that github.com/weiaicunzai/pytorch-cifar100 publishes
# (conf/global_settings.py): times 255 and the number of pixels, each of the six is
# within 7e-7 of an integer. Checksums of torchvision (datasets/cifar.py), and of
# tensorflow-datasets for the binary archive.
CIFAR100 = ImageSet(
    name="cifar100",
    image_shape=(32, 32, 3),
    num_images=60_000,
    places=(
        "cifar-100-binary",
        "cifar-100-python",
        "cifar-100-binary.tar.gz",
        "cifar-100-python.tar.gz",
    ),
    hub=("uoft-cs/cifar100", "cifar100", "fine_label"),
    remote=(
        RemoteFile(
            "cifar-100-binary.tar.gz",
            (
                "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
                "http://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
            ),
            168_513_733,
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
    ),
    identity=labels_and_sums,
    expected=(
        (
            "61c1e31d527cf04dd5270ef94667d048",
            (6_620_373_279, 6_352_382_090, 5_756_623_363),
        ),
        (
            "42fc836fbfaf9a4f297f256201a894cf",
            (1_328_830_313, 1_272_680_636, 1_153_999_502),
        ),
    ),
    checksums={
        "cifar-100-binary.tar.gz": (
            "sha256",
            "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        ),
        "cifar-100-python.tar.gz": ("md5", "eb9058c3a382ffc7106e4002c42a8d85"),
        "train": ("md5", "16019d7e3df5f24257cddd939b257f8d"),
        "test": ("md5", "f0ef6b0ae62326f3e7ffdfab6717acfc"),
        "meta": ("md5", "7973b15100ade9c7d40fb424638fde48"),
    },
)


def _mnist_files(
    urls: tuple[str, ...], sizes: tuple[int, ...], checksums: tuple[str, ...]
) -> tuple[RemoteFile, ...]:
    """Four files of MNIST or a relative, with their sizes and SHA-256 checksums."""
    names = (
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    )
    return tuple(
        RemoteFile(name, tuple(url + name for url in urls), num_bytes, sha256)
        for name, num_bytes, sha256 in zip(names, sizes, checksums, strict=True)
    )


# MD5 of the unpacked files, as published in several places.
MNIST = ImageSet(
    name="mnist",
    image_shape=(28, 28, 1),
    num_images=70_000,
    places=("MNIST/raw", "mnist"),
    hub=("ylecun/mnist", "mnist", "label"),
    remote=_mnist_files(
        (
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
        ),
        (9_912_422, 28_881, 1_648_877, 4_542),
        (
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
    ),
    identity=mnist_md5,
    expected=(
        ("6bbc9ace898e44ae57da46a324031adb", "a25bea736e30d166cdddb491f175f624"),
        ("2646ac647ad5339dbf082846283269ea", "27ae3e4e09519cfbb04c329615203637"),
    ),
    class_names=tuple("0123456789"),
    is_numbered=True,
)

FASHION_MNIST = ImageSet(
    name="fashion_mnist",
    image_shape=(28, 28, 1),
    num_images=70_000,
    places=("FashionMNIST/raw", "fashion_mnist"),
    hub=("zalando-datasets/fashion_mnist", "fashion_mnist", "label"),
    remote=_mnist_files(
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
        (26_421_880, 29_515, 4_422_102, 5_148),
        (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
    ),
    identity=mnist_md5,
    expected=(
        ("f4a8712d7a061bf5bd6d2ca38dc4d50a", "9018921c3c673c538a1fc5bad174d6f9"),
        ("8181f5470baa50b63fa0f6fddb340f0a", "15d484375f8d13e6eb1aabb0c3f46965"),
    ),
    class_names=(
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
        *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    is_numbered=True,
)

_KMNIST_FILES = _mnist_files(
    ("http://codh.rois.ac.jp/kmnist/dataset/kmnist/",),
    (18_165_135, 29_497, 3_041_136, 5_120),
    (
        "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
        "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
        "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
        "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    ),
)

KMNIST = ImageSet(
    name="kmnist",
    image_shape=(28, 28, 1),
    num_images=70_000,
    places=("KMNIST/raw", "kmnist"),
    hub=None,
    remote=_KMNIST_FILES,
    identity=images_per_class,
    expected=((6000,), (1000,)),
    checksums={file.name: ("sha256", file.sha256) for file in _KMNIST_FILES},
    class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    is_numbered=True,
)

#: Published sets by name.
SETS: Mapping[str, ImageSet] = {
    one.name: one for one in (CIFAR10, CIFAR100, MNIST, FASHION_MNIST, KMNIST)
}
