"""Validation examples as published scripts draw them, without PyTorch.

DINOv2 and DINOv3 permute the training examples by ``torch.randperm`` with the seed 0 on
the CPU: a Fisher-Yates shuffle over 32-bit draws of the Mersenne twister, which NumPy
has too. DINOv2 validates on the first tenth of the permutation, whatever the labels;
DINOv3 on the first tenth of each class in that order, rounded down but at least one
example, except for a class with a single example.

  >>> torch_permutation(10, seed=0)
  array([4, 1, 7, 5, 3, 9, 0, 8, 6, 2])
  >>> np.flatnonzero(first_tenth(np.zeros(20, int)))
  array([4, 5])
  >>> tenth_of_each_class(np.array([0, 0, 0, 1])).sum()
  np.int64(1)
"""

import numpy as np

# Above it PyTorch draws 64 bits at a time.
_MAX_EXAMPLES = (2**32 - 1) // 20 - 1


def torch_permutation(num_examples: int, *, seed: int) -> np.ndarray:
    """Permutation of ``torch.randperm`` after ``torch.manual_seed`` on the CPU.

    Args:
      num_examples: length of the permutation, at least 1.
      seed: seed of 32 bits.

    Raises:
      ValueError: for lengths at which PyTorch draws in another way.
    """
    if num_examples > _MAX_EXAMPLES:
        raise ValueError(
            f"training examples must be at most {_MAX_EXAMPLES:,} for a published "
            f"split, got {num_examples:,}; give x_val and y_val"
        )
    draws = np.random.MT19937()
    # As PyTorch seeds the twister; `MT19937(seed)` hashes the seed first.
    draws._legacy_seeding(seed)
    bits = draws.random_raw(num_examples - 1)
    order = list(range(num_examples))
    left = num_examples - np.arange(num_examples - 1)
    for i, jump in enumerate((bits % left.astype(np.uint64)).tolist()):
        order[i], order[i + jump] = order[i + jump], order[i]
    return np.array(order)


def first_tenth(labels: np.ndarray) -> np.ndarray:
    """Mask of DINOv2's validation examples, shape ``(examples,)``."""
    is_held_out = np.zeros(len(labels), bool)
    order = torch_permutation(len(labels), seed=0)
    is_held_out[order[: len(labels) // 10]] = True
    return is_held_out


def tenth_of_each_class(labels: np.ndarray) -> np.ndarray:
    """Mask of DINOv3's validation examples, shape ``(examples,)``."""
    is_held_out = np.zeros(len(labels), bool)
    order = torch_permutation(len(labels), seed=0)
    for label in np.unique(labels):
        own = order[labels[order] == label]
        if len(own) > 1:
            is_held_out[own[: max(1, int(0.1 * len(own)))]] = True
    return is_held_out
