"""Commands of each chapter, and their sizes."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import experiments.cross_validation.__main__ as cross_validation
import experiments.cross_validation.config as cross_validation_config
import experiments.error_decomposition.__main__ as error_decomposition
import experiments.error_decomposition.config as error_decomposition_config
import experiments.hard_cases.__main__ as hard_cases
import experiments.hard_cases.config as hard_cases_config
import experiments.loss_questions.__main__ as loss_questions
import experiments.loss_questions.config as loss_questions_config
import experiments.nearest_neighbor.__main__ as nearest_neighbor
import experiments.nearest_neighbor.config as nearest_neighbor_config
import experiments.svm_vs_softmax.__main__ as svm_vs_softmax
import experiments.svm_vs_softmax.config as svm_vs_softmax_config
import experiments.viewpoints.__main__ as viewpoints
import experiments.viewpoints.config as viewpoints_config
from experiments.common import study
from experiments.common.cli import RunOptions
from experiments.common.pages import Page
from experiments.common.study import Study
from experiments.lecture.config import Config


class Chapter(NamedTuple):
    """An experiment as a part of the page.

    Attributes:
      study: the experiment; its name is that of the run folder.
      question: that it answers.
      configs: of a page, by data set, and ``smoke``.
    """

    study: Study
    question: str
    configs: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Name of the package and of the run folder."""
        return self.study.name


class Made(NamedTuple):
    """A chapter's page, and the seconds that it took in this start."""

    chapter: Chapter
    page: Page
    seconds: float


def make(chapter: Chapter, config: Config, folder: Path, data_dir: Path | None) -> Made:
    """Runs a chapter, or the rest of it, in a folder of its own."""
    begun = (folder / "config.json").exists()
    options = RunOptions(
        data_dir=data_dir,
        out=None if begun else folder,
        resume=folder if begun else None,
    )
    size = "smoke" if config.size == "smoke" else config.dataset
    start = time.perf_counter()
    run = study.run(chapter.study, chapter.configs[size], options)
    page = study.page(chapter.study, run)
    return Made(chapter, page, time.perf_counter() - start)


def _everywhere(smoke: Any, config: Any) -> dict[str, Any]:
    """Configs of a chapter that looks at no data set."""
    return {"smoke": smoke, "cifar10": config, "digits": config}


# In the order of the lecture; on CIFAR-10 a page is to take a quarter of an hour.
CHAPTERS = (
    Chapter(
        nearest_neighbor.STUDY,
        "How far does memory get, and what is wrong with it?",
        {
            "smoke": nearest_neighbor_config.SMOKE,
            "digits": nearest_neighbor_config.DIGITS,
            "cifar10": dataclasses.replace(
                nearest_neighbor_config.Config(),
                train_examples=10_000,
                test_examples=1000,
                subsample=2000,
                local_queries=100,
                time_sizes=(1000, 2000, 5000, 10_000),
                noise_features=(0, 768, 3072),
                noise_repeats=3,
            ),
        },
    ),
    Chapter(
        cross_validation.STUDY,
        "Which estimate of accuracy can be believed?",
        {
            "smoke": cross_validation_config.SMOKE,
            "digits": dataclasses.replace(cross_validation_config.DIGITS, samples=30),
            "cifar10": dataclasses.replace(
                cross_validation_config.Config(), samples=15
            ),
        },
    ),
    Chapter(
        viewpoints.STUDY,
        "What does one W look like as algebra, pictures and hyperplanes?",
        {
            "smoke": viewpoints_config.SMOKE,
            "digits": dataclasses.replace(viewpoints_config.Config(), dataset="digits"),
            "cifar10": viewpoints_config.Config(),
        },
    ),
    Chapter(
        hard_cases.STUDY,
        "What can no line do, and which feature mends it?",
        _everywhere(hard_cases_config.SMOKE, hard_cases_config.Config()),
    ),
    Chapter(
        error_decomposition.STUDY,
        "Whose error is it: the model's, the sample's, the optimiser's?",
        {
            "smoke": error_decomposition_config.SMOKE,
            "digits": dataclasses.replace(
                error_decomposition_config.DIGITS, splits=8, resamples=8, seeds=2
            ),
            "cifar10": error_decomposition_config.LECTURE,
        },
    ),
    Chapter(
        loss_questions.STUDY,
        "What do the two losses say to the lecture's questions?",
        _everywhere(loss_questions_config.SMOKE, loss_questions_config.Config()),
    ),
    Chapter(
        svm_vs_softmax.STUDY,
        "Which of the two is the better classifier?",
        {
            "smoke": svm_vs_softmax_config.SMOKE,
            "digits": svm_vs_softmax_config.DIGITS,
            "cifar10": dataclasses.replace(
                svm_vs_softmax_config.Config(),
                path_l2=(1e-1, 3e-2, 1e-2, 3e-3, 1e-3),
                epochs=20,
            ),
        },
    ),
)
