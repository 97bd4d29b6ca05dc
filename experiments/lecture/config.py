"""Settings of a page: the fields of config.json and of the command line."""

import dataclasses
from typing import Literal, get_args

from experiments.common.config import check

Chapter = Literal[
    "nearest_neighbor",
    "cross_validation",
    "viewpoints",
    "hard_cases",
    "error_decomposition",
    "loss_questions",
    "svm_vs_softmax",
]
# In the order of the lecture.
CHAPTERS: tuple[Chapter, ...] = get_args(Chapter)


@dataclasses.dataclass(frozen=True)
class Config:
    """One page.

    Attributes:
      dataset: cifar10 or digits.
      chapters: what to show; they appear in the order of the lecture.
      size: page (each chapter minutes at most, on two cores) or smoke (tiny: only the
        form counts).
    """

    dataset: Literal["cifar10", "digits"] = "cifar10"
    chapters: tuple[Chapter, ...] = CHAPTERS
    size: Literal["page", "smoke"] = "page"


SMOKE = Config(dataset="digits", size="smoke")


def checked(config: Config) -> Config:
    """Returns ``config``, if a page can be made of it.

    Raises:
      ValueError: that names the field, the rule and the value.
    """
    check(config)
    if config.size == "smoke" and config.dataset != SMOKE.dataset:
        raise ValueError(
            f"dataset must be {SMOKE.dataset} at size smoke, got {config.dataset}; "
            "leave --smoke out for a page"
        )
    return config
