"""Contents of the pictures, read back from the artists that were drawn."""

import io
import statistics
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import Rectangle

from jaxlin import plotting

NAMES = ("cat", "dog", "frog")


@pytest.fixture
def ax():
    return plotting.new_figure()[1][0, 0]


def _draw(ax):
    """Lays the figure out; a warning (missing glyph, overflow) is an error."""
    ax.figure.savefig(io.BytesIO(), format="png")


def _texts(ax):
    return [text.get_text() for text in ax.texts]


def _legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def _contrast(first, second):
    """The contrast ratio of two colours (WCAG 2.1): 1 is none, 21 black on white."""
    brightness = []
    for color in (first, second):
        linear = [
            c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
            for c in to_rgb(color)
        ]
        brightness.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    low, high = sorted(brightness)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.full
def test_importing_the_pictures_imports_no_matplotlib():
    """By default this is asserted of all modules at once, in test_layers.py."""
    code = "import sys, jaxlin.plotting; sys.exit('matplotlib' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_figures_are_unknown_to_pyplot():
    plotting.new_figure(rows=2, columns=3)
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_new_figure_has_the_axes_and_size_asked_for():
    figure, axes = plotting.new_figure(rows=2, columns=3, width=6, height=4)
    assert axes.shape == (2, 3)
    assert tuple(figure.get_size_inches()) == (6, 4)


def test_methods_have_distinct_colours_that_stand_out_on_white():
    colors = plotting.method_colors(["svm", "softmax"])
    assert colors == {"svm": plotting.PALETTE[0], "softmax": plotting.PALETTE[1]}
    assert len(set(plotting.PALETTE)) == len(plotting.PALETTE)
    # Lines and large shapes want a contrast of 3.
    assert all(_contrast(color, "white") > 3 for color in plotting.PALETTE[:4])


def test_too_many_methods_are_refused():
    with pytest.raises(ValueError, match=r"names must be at most 7, got 8"):
        plotting.method_colors("abcdefgh")


@pytest.mark.parametrize("band", ["range", "standard_error"])
def test_learning_curve_is_the_mean_in_its_band(ax, band):
    values = [[3.0, 1.0], [5.0, 2.0], [10.0, 6.0]]
    returned = plotting.learning_curves(ax, [0, 7], values, label="softmax", band=band)
    assert returned is ax
    assert ax.lines[0].get_xydata().tolist() == [[0, 6], [7, 3]]
    assert _legend(ax) == ["softmax"]
    outline = ax.collections[0].get_paths()[0].vertices
    for step, column in zip((0, 7), zip(*values, strict=True), strict=True):
        heights = outline[outline[:, 0] == step, 1]
        if band == "range":
            low, high = min(column), max(column)
        else:
            error = statistics.stdev(column) / 3**0.5
            mean = statistics.mean(column)
            low, high = mean - error, mean + error
        np.testing.assert_allclose([heights.min(), heights.max()], [low, high])


def test_one_seed_has_no_band(ax):
    plotting.learning_curves(ax, [0, 1], [[2.0, 1.0]], label="softmax")
    assert not ax.collections


def test_heat_map_writes_every_number_and_says_diverged(ax):
    values = [[0.1, 0.25], [np.nan, np.inf], [0.3, 0.2]]
    returned = plotting.heat_map(
        ax,
        values,
        row_labels=["a", "b", "c"],
        column_labels=["x", "y"],
        row_name="l2",
        column_name="learning rate",
        chosen=(2, 0),
        number_format="{:.2f}",
    )
    assert returned is ax
    assert _texts(ax) == ["0.10", "0.25", "diverged", "diverged", "0.30", "0.20"]
    assert ax.images[0].get_clim() == (0.1, 0.3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "l2")
    frame = next(patch for patch in ax.patches if isinstance(patch, Rectangle))
    # Row 2, column 0: the cell whose centre is at x = 0, y = 2.
    assert frame.get_bbox().bounds == (-0.5, 1.5, 1, 1)
    _draw(ax)


def test_numbers_are_legible_on_every_shade(ax):
    values = np.linspace(0, 1, 60).reshape(6, 10)
    plotting.heat_map(
        ax, values, row_labels=["r"] * 6, column_labels=["c"] * 10, limits=(0, 1)
    )
    image = ax.images[0]
    shades = image.to_rgba(values).reshape(60, 4)
    for text, shade in zip(ax.texts, shades, strict=True):
        assert _contrast(text.get_color(), to_hex(shade)) > 4.0


def test_a_grid_that_diverged_everywhere_can_be_drawn(ax):
    plotting.heat_map(ax, [[np.nan]], row_labels=["a"], column_labels=["x"])
    _draw(ax)
    assert _texts(ax) == ["diverged"]


def test_templates_are_scaled_about_mid_grey():
    axes = plotting.new_figure(rows=1, columns=4)[1]
    weights = [[-2.0, 0.0, 1.0, 2.0], [0.5, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]
    returned = plotting.templates(
        axes, weights, image_shape=(2, 2), class_names=NAMES, scale="per_class"
    )
    assert returned is axes
    shown = [ax.images[0].get_array().tolist() for ax in axes[0, :3]]
    assert shown[0] == [[0.0, 0.5], [0.75, 1.0]]
    assert shown[1] == [[0.75, 0.0], [0.5, 0.5]]
    assert shown[2] == [[0.5, 0.5], [0.5, 0.5]]
    assert [ax.get_title() for ax in axes[0]] == [*NAMES, ""]
    assert not axes[0, 3].axison
    # Black and white are fixed, or matplotlib would stretch each picture by itself.
    assert axes[0, 2].images[0].get_clim() == (0, 1)


def test_templates_on_a_shared_scale_can_be_compared():
    axes = plotting.new_figure(rows=1, columns=2)[1]
    weights = np.zeros((2, 12))
    weights[0, 0], weights[1, 0], weights[1, 5] = 4.0, 1.0, -2.0
    plotting.templates(
        axes,
        weights,
        image_shape=(2, 2, 3),
        class_names=NAMES[:2],
        scale="shared",
    )
    first, second = (ax.images[0].get_array() for ax in axes[0])
    assert first.shape == (2, 2, 3)
    assert (first[0, 0, 0], second[0, 0, 0]) == (1.0, 0.625)
    # Feature 5 is the third colour of the second pixel.
    assert second[0, 1, 2] == 0.25


def test_confusion_matrix_shows_percentages_of_each_row(ax):
    counts = [[6, 2, 0], [0, 0, 0], [1, 0, 1]]
    assert plotting.confusion_matrix(ax, counts, class_names=NAMES) is ax
    assert _texts(ax) == ["75", "25", "", "", "", "", "50", "", "50"]
    assert ax.images[0].get_array().mask.tolist() == [
        [False] * 3,
        [True] * 3,
        [False] * 3,
    ]
    assert ax.images[0].get_clim() == (0, 100)
    _draw(ax)


def test_confusion_matrix_shows_counts(ax):
    counts = [[6, 2, 0], [0, 0, 0], [1, 0, 1]]
    plotting.confusion_matrix(ax, counts, class_names=NAMES, normalize=False)
    assert _texts(ax) == ["6", "2", "", "", "", "", "1", "", "1"]


def test_a_large_confusion_matrix_has_no_numbers(ax):
    plotting.confusion_matrix(ax, np.eye(21), class_names=["c"] * 21)
    assert set(_texts(ax)) == {""}


def test_bars_stand_side_by_side_with_their_intervals(ax):
    values = [[0.5, 0.4, 0.0], [0.6, 0.3, 1.0]]
    intervals = [
        [[0.4, 0.7], [0.35, 0.45], [0.0, 0.1]],
        [[0.5, 0.65], [0.2, 0.5], [0.9, 1.0]],
    ]
    returned = plotting.bars_with_intervals(
        ax, values, intervals, group_names=NAMES, method_names=["svm", "softmax"]
    )
    assert returned is ax
    assert _legend(ax) == ["svm", "softmax"]
    bars = [c for c in ax.containers if len(c) and isinstance(c[0], Rectangle)]
    for container, heights, ends in zip(bars, values, intervals, strict=True):
        assert [bar.get_height() for bar in container] == heights
        _, _, (lines,) = container.errorbar
        drawn = [segment[:, 1] for segment in lines.get_segments()]
        np.testing.assert_allclose(drawn, ends)
    spans = sorted(bar.get_bbox().intervalx.tolist() for c in bars for bar in c)
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))
    assert ax.get_ylim()[0] == 0
    _draw(ax)


def test_reliability_leaves_out_empty_bins_and_draws_the_diagonal_once(ax):
    for label in ("svm", "softmax"):
        returned = plotting.reliability_diagram(
            ax, [0.2, np.nan, 0.8], [0.1, np.nan, 0.9], [10, 0, 40], label=label
        )
        assert returned is ax
    diagonal, line, other = ax.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert line.get_xydata().tolist() == [[0.2, 0.1], [0.8, 0.9]]
    areas = ax.collections[0].get_sizes()
    assert areas[1] == 4 * areas[0]
    assert _legend(ax) == ["calibrated", "svm", "softmax"]
    assert (ax.get_xlim(), ax.get_ylim()) == ((0, 1), (0, 1))
    _draw(ax)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_eight_bit_images_keep_black_and_white(channels):
    axes = plotting.new_figure(rows=1, columns=3)[1]
    images = np.zeros((2, 4, 5, *channels), np.uint8)
    images[0, 0, 0] = 51
    assert plotting.image_grid(axes, images, titles=["a", "b"]) is axes
    shown = axes[0, 0].images[0].get_array()
    assert shown.shape == ((4, 5, 3) if channels == (3,) else (4, 5))
    np.testing.assert_allclose(shown[0, 0], 0.2)
    assert shown[1, 1].max() == 0
    assert [ax.axison for ax in axes[0]] == [False] * 3


def test_float_images_share_one_range():
    axes = plotting.new_figure(rows=1, columns=2)[1]
    images = np.zeros((2, 2, 2))
    images[0, 0, 0], images[1, 0, 0] = 16.0, 4.0
    plotting.image_grid(axes, images, titles=["a", "b"])
    assert [ax.images[0].get_array()[0, 0] for ax in axes[0]] == [1.0, 0.25]


def test_values_beyond_the_limits_are_clipped():
    axes = plotting.new_figure()[1]
    plotting.image_grid(axes, [[[-1.0, 0.5, 7.0]]], titles=["a"], limits=(0, 1))
    assert axes[0, 0].images[0].get_array().tolist() == [[0.0, 0.5, 1.0]]


def _bars(ax, values, intervals):
    plotting.bars_with_intervals(
        ax, values, intervals, group_names=["g"], method_names=["m"]
    )


BAD = [
    (
        lambda ax: plotting.learning_curves(ax, [0, 1], [[1.0]], label=""),
        r"values.shape\[1\] must be the number of steps, 2, got 1",
    ),
    (
        lambda ax: plotting.learning_curves(ax, [0], [1.0], label=""),
        r"values must have rank 2, got shape \(1,\)",
    ),
    (
        lambda ax: plotting.heat_map(ax, [[1.0]], row_labels=[], column_labels=["x"]),
        r"row_labels must be the number of rows, 1, got 0",
    ),
    (
        lambda ax: plotting.heat_map(
            ax, [[1.0]], row_labels=["a"], column_labels=["x"], chosen=(0, 1)
        ),
        r"chosen must lie in a grid of 1 x 1 cells, got \(0, 1\)",
    ),
    (
        lambda ax: plotting.templates(
            [ax], np.ones((1, 5)), image_shape=(2, 2), class_names=["a"]
        ),
        r"weights.shape\[1\] must be pixels, 4, got 5",
    ),
    (
        lambda ax: plotting.confusion_matrix(ax, np.ones((2, 3)), class_names=NAMES),
        r"counts.shape\[0\] must be the number of classes, 3, got 2",
    ),
    (
        lambda ax: _bars(ax, [[0.5]], [[[0.6, 0.7]]]),
        r"values must lie in their intervals",
    ),
    (
        lambda ax: plotting.reliability_diagram(ax, [0.5], [0.5], [1, 2], label=""),
        r"confidence must be the number of bins, 2, got 1",
    ),
    (
        lambda ax: plotting.image_grid([ax], np.ones((1, 2, 2, 2)), titles=["a"]),
        r"images must have shape .*, got shape \(1, 2, 2, 2\)",
    ),
    (
        lambda ax: plotting.image_grid([ax], np.ones((2, 2, 2)), titles=["a", "b"]),
        r"axes must be at least as many as images, got 1 for 2",
    ),
]


@pytest.mark.parametrize(("draw", "message"), BAD)
def test_shapes_that_do_not_fit_are_named(ax, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(ax)
