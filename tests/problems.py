"""The shared tables that contract tests run over."""

from typing import Any, NamedTuple

import references

from jaxlin import losses


class LabelLoss(NamedTuple):
    """A loss of (scores, label), its plain reference and what is known of it."""

    loss: Any
    reference: Any
    has_margin: bool
    # Adding a constant to all scores changes nothing (all but one-vs-rest).
    shift_invariant: bool


def _squared(scores, label, margin=1.0):
    return references.weston_watkins(scores, label, margin, power=2)


LABEL_LOSSES = {
    entry.loss.__name__: entry
    for entry in (
        LabelLoss(losses.weston_watkins_hinge, references.weston_watkins, True, True),
        LabelLoss(losses.weston_watkins_squared_hinge, _squared, True, True),
        LabelLoss(losses.crammer_singer_hinge, references.crammer_singer, True, True),
        LabelLoss(losses.one_vs_rest_hinge, references.one_vs_rest, True, False),
        LabelLoss(
            losses.softmax_cross_entropy,
            references.softmax_cross_entropy,
            False,
            True,
        ),
    )
}
