"""Published protocols of linear probes, as data.

All of them fit scikit-learn's logistic regression: softmax cross-entropy, an intercept
without penalty, features as they are. C is chosen on validation examples, and the final
model has the same C on training and validation examples together. As C multiplies the
sum of losses, l2 of a mean loss is smaller there. Validation examples of the file
(``x_val``, ``y_val``) take the place of drawn ones, as in the publications.

What no run can reproduce is said in ``differences``. One is common to all: models are
the optimum, up to a proven gap, where the scripts take the last of at most 1,000
iterations of L-BFGS.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from experiments.probe import splits
from jaxlin.selection import rules
from jaxlin.selection.rules import Choose

# Values of C per decade in CLIP's search, at its end and at its start.
_PER_DECADE, _FIRST_STEP = 8, 16


class Protocol(NamedTuple):
    """A published evaluation.

    Attributes:
      cs: values of scikit-learn's C.
      hold_out: function of the labels of the training examples to the mask of the
        validation examples, used if none are given; None where the split is not
        published, and ``--validation-fraction`` draws one.
      choose: selection rule over the values of C.
      source: where the protocol is published, with the commit that was read.
      citation: entry of the publication in BibTeX.
      differences: what is not reproduced to the letter, one sentence each.
    """

    cs: tuple[float, ...]
    hold_out: Callable[[np.ndarray], np.ndarray] | None
    choose: Choose
    source: str
    citation: str
    differences: tuple[str, ...]


def bisection(scores: Any, *, strength: Any, num_repeats: int = 1) -> int:
    """Index of the setting that CLIP's search over C finds.

    The search looks at every sixteenth setting in the order of their strength, then at
    both neighbours of the best at half the distance, and so on down to adjacent ones.
    Ties go to the most penalised. Arguments and errors are those of
    `jaxlin.selection.rules.best`.
    """
    order = np.argsort(strength)
    scores, strength = np.asarray(scores)[order], np.asarray(strength)[order]
    step, looked = _FIRST_STEP, set(range(0, len(order), _FIRST_STEP))
    while True:
        seen = sorted(looked)
        best = seen[
            rules.best(scores[seen], strength=strength[seen], num_repeats=num_repeats)
        ]
        if step == 1:
            return int(order[best])
        step //= 2
        looked |= {best - step, best + step} & set(range(len(order)))


_OPTIMUM = (
    "models are the optimum up to a proven gap, not the last of at most 1,000 "
    "iterations of L-BFGS"
)
_ROUNDING = "values of C are not rounded to float32 (by less than 1e-6 of each)"
_PER_CLASS = (
    "means over classes leave out those without examples to test on; the script counts "
    "such a class as 0 where it is predicted"
)
_DINO_CS = tuple(float(c) for c in 10 ** np.linspace(-6, 5, 45))

PROTOCOLS: Mapping[str, Protocol] = {
    "dinov2": Protocol(
        cs=_DINO_CS,
        hold_out=splits.first_tenth,
        choose=rules.best,
        source=(
            "github.com/facebookresearch/dinov2, dinov2/eval/log_regression.py at "
            "b8931f7bf91576930313be2c6d6af376033b35f0"
        ),
        citation=(
            "@misc{oquab2023dinov2, title={DINOv2: Learning Robust Visual Features "
            "without Supervision}, author={Oquab, Maxime and others}, year={2023}, "
            "eprint={2304.07193}, archivePrefix={arXiv}}"
        ),
        differences=(
            _OPTIMUM,
            _ROUNDING,
            _PER_CLASS,
            "the split is that of features gathered on the CPU, the script's default; "
            "on a GPU PyTorch draws another",
        ),
    ),
    "dinov3": Protocol(
        cs=_DINO_CS,
        hold_out=splits.tenth_of_each_class,
        choose=rules.best,
        source=(
            "github.com/facebookresearch/dinov3, dinov3/eval/log_regression.py and "
            "dinov3/eval/data.py at 6876159a11b4df116f30f667f8c9888617df0751"
        ),
        citation=(
            "@misc{simeoni2025dinov3, title={DINOv3}, author={Sim{\\'e}oni, Oriane and "
            "others}, year={2025}, eprint={2508.10104}, archivePrefix={arXiv}}"
        ),
        differences=(
            _OPTIMUM,
            _ROUNDING,
            _PER_CLASS,
            "its few-shot protocol is not reproduced: PyTorch draws k examples per "
            "class, or all of a class that has fewer; C is chosen on a hundredth of "
            "each class, at least one example, and the final fit leaves these out; "
            "--num-shots without --protocol draws as many by its own seed, with one C "
            "or x_val",
            "several labels per image, and metrics other than accuracies, are not part "
            "of this command",
        ),
    ),
    "clip": Protocol(
        cs=tuple(float(c) for c in 10 ** np.linspace(-6, 6, 12 * _PER_DECADE + 1)),
        hold_out=None,
        choose=bisection,
        source=(
            "arXiv 2103.00020, appendix A.3, and github.com/openai/CLIP, issue 39 and "
            "README.md at d05afc436d78f1c48dc0dbf8e5980a9d471f35f6"
        ),
        citation=(
            "@inproceedings{radford2021clip, title={Learning Transferable Visual "
            "Models From Natural Language Supervision}, author={Radford, Alec and "
            "others}, booktitle={ICML}, year={2021}, eprint={2103.00020}}"
        ),
        differences=(
            _OPTIMUM,
            "the script of the paper is not published; its 96 steps are taken as 97 "
            "values, 8 per decade, so that its first values 1e-6, 1e-4, ..., 1e6 are "
            "among them, and of equal accuracies the smallest C counts",
            "splits of data sets without validation examples are not published: "
            "--validation-fraction draws one, stratified",
            "11-point mAP (VOC 2007) and the area under the ROC curve (Hateful Memes) "
            "are not part of this command",
        ),
    ),
}
