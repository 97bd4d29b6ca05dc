"""Figures of linear classifiers: each function draws on an Axes and returns it.

The functions keep no state and open no window: `new_figure` creates a figure that is
not registered with pyplot and is freed like any other object. The colours are those of
Okabe and Ito, which readers with common colour vision deficiencies can distinguish;
`method_colors` assigns every method the same colour in all figures.

The modules:

  axes       new figures, colours, shape checks
  curves     learning curves, bars with intervals, reliability diagrams
  heat_maps  tables of numbers, confusion matrices
  images     grids of images, templates
  regions    decision regions, points and lines in the plane

  >>> figure, axes = new_figure(width=4, height=3)
  >>> ax = learning_curves(axes[0, 0], [0, 1], [[2.3, 1.9]], label="softmax")
  >>> ax is axes[0, 0]
  True
"""

from jaxlin import chapters
from jaxlin.plotting.axes import PALETTE, method_colors, new_figure
from jaxlin.plotting.curves import (
    bars_with_intervals,
    learning_curves,
    reliability_diagram,
)
from jaxlin.plotting.heat_maps import confusion_matrix, heat_map
from jaxlin.plotting.images import image_grid, signed_images, templates
from jaxlin.plotting.regions import decision_regions, label_map, labelled_points, line

__getattr__ = chapters.loader(__name__)
__all__ = [
    "PALETTE",
    "bars_with_intervals",
    "confusion_matrix",
    "decision_regions",
    "heat_map",
    "image_grid",
    "label_map",
    "labelled_points",
    "learning_curves",
    "line",
    "method_colors",
    "new_figure",
    "reliability_diagram",
    "signed_images",
    "templates",
]
