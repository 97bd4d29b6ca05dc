"""Scikit-learn's handwritten digits, which need no download."""

import numpy as np

from jaxlin.data import dataset

_TEST_PER_CLASS = 50


def load() -> dataset.Dataset:
    """Returns 1,797 images of 8 x 8 pixels, 1,297 for training and 500 for testing.

    Pixels are integers from 0 to 16, kept as uint8 (``max_value`` is 16). The test
    split consists of 50 images per class, evenly spaced over the images of that class
    in the order of scikit-learn; the others are the training split, in the same order.
    No random numbers are drawn, so that the split is the same everywhere. The order
    follows the writers, so that both splits have images of every writer.

    Raises:
      DataUnavailableError: if scikit-learn is not installed.

    Example:
      >>> digits = load()
      >>> digits.train.features.shape, digits.test.features.shape
      ((1297, 64), (500, 64))

    Reference:
      E. Alpaydin and C. Kaynak. Optical Recognition of Handwritten Digits. UCI Machine
      Learning Repository, 1998 (its test part).
    """
    try:
        import sklearn
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise dataset.DataUnavailableError(
            'digits needs scikit-learn: pip install "jaxlin[sklearn]"'
        ) from error
    rows, labels = load_digits(return_X_y=True)
    in_test = _evenly_spaced(labels)
    return dataset.check_dataset(
        dataset.Dataset(
            name="digits",
            train=dataset.Split(rows[~in_test].astype(np.uint8), labels[~in_test]),
            test=dataset.Split(rows[in_test].astype(np.uint8), labels[in_test]),
            class_names=tuple(str(digit) for digit in range(10)),
            image_shape=(8, 8),
            max_value=16.0,
            source=f"sklearn.datasets.load_digits, scikit-learn {sklearn.__version__}",
        )
    )


def _evenly_spaced(labels: np.ndarray) -> np.ndarray:
    """Returns a mask of `_TEST_PER_CLASS` examples of each class."""
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        picks = np.linspace(0, len(members) - 1, _TEST_PER_CLASS).round().astype(int)
        mask[members[picks]] = True
    return mask
