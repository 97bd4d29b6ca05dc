"""The picture of the README: templates of an SVM on CIFAR-10.

Command. ``python docs/templates.py`` (needs CIFAR-10, as `jaxlin.data.load` finds it).
"""

from pathlib import Path

import jaxlin
from jaxlin import data, losses, normalization, plotting

PICTURE = Path(__file__).parent / "_static" / "templates.png"


def main() -> None:
    """Fits the SVM to a proven gap and draws its ten templates."""
    cifar10 = data.load("cifar10")
    centered = normalization.fit_centered(
        cifar10.train.features, scale=cifar10.max_value
    )
    fit = jaxlin.fit(
        *cifar10.train,
        loss=losses.weston_watkins_hinge,
        l2=1e-1,
        normalization=centered,
    )
    figure, axes = plotting.new_figure(columns=10, width=12, height=1.5)
    plotting.templates(
        axes,
        fit.params.weights,
        image_shape=cifar10.image_shape,
        class_names=cifar10.class_names,
    )
    figure.savefig(PICTURE, dpi=100)


if __name__ == "__main__":
    main()
