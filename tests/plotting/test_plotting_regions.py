"""Regions, points, lines and signed pictures, read back from what was drawn."""

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from jaxlin import plotting


@pytest.fixture
def ax():
    return plotting.new_figure()[1][0, 0]


def test_a_region_is_its_polygon_in_a_tint_of_its_class(ax):
    square, nothing = [[0, 0], [2, 0], [2, 1], [0, 1]], np.zeros((0, 2))
    assert plotting.decision_regions(ax, [nothing, square]) is ax
    (patch,) = ax.patches
    np.testing.assert_array_equal(patch.get_xy()[:4], square)
    assert patch.get_facecolor()[:3] == to_rgb(plotting.PALETTE[1])
    # Points drawn before or after lie above it.
    assert patch.get_zorder() < 1


def test_a_label_map_has_its_first_row_below(ax):
    assert plotting.label_map(ax, [[0, 1], [1, 1]], limits=(-1, 1, -2, 2)) is ax
    (image,) = ax.images
    assert image.origin == "lower"
    assert tuple(image.get_extent()) == (-1, 1, -2, 2)
    pixels = np.asarray(image.get_array())
    np.testing.assert_array_equal(pixels[0, 1], pixels[1, 0])
    assert (pixels[0, 0] != pixels[0, 1]).any()
    # A tint: lighter than the colour itself.
    assert (pixels[0, 0] >= to_rgb(plotting.PALETTE[0])).all()


def test_points_have_the_colour_and_shape_of_their_class(ax):
    points = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    names = ("first", "second")
    plotting.labelled_points(ax, points, [1, 0, 1], class_names=names)
    first, second = ax.collections
    assert first.get_offsets().tolist() == [[2, 3]]
    assert second.get_offsets().tolist() == [[0, 1], [4, 5]]
    assert tuple(second.get_facecolor()[0][:3]) == to_rgb(plotting.PALETTE[1])
    shapes = [one.get_paths()[0].vertices for one in (first, second)]
    assert shapes[0].shape != shapes[1].shape
    assert ax.get_legend_handles_labels()[1] == list(names)


@pytest.mark.parametrize(
    ("normal", "offset"), [((2.0, 1.0), -3.0), ((0.0, 4.0), 1.0), ((-1.0, 0.0), 0.5)]
)
def test_a_line_is_where_its_equation_is_zero(ax, normal, offset):
    ax.set(xlim=(-2, 2), ylim=(-3, 3))
    assert plotting.line(ax, normal, offset) is ax
    drawn = ax.lines[0]
    for point in (drawn.get_xy1(), drawn.get_xy2()):
        assert np.dot(normal, point) + offset == pytest.approx(0, abs=1e-12)
    assert (ax.get_xlim(), ax.get_ylim()) == ((-2, 2), (-3, 3))


def test_signed_images_share_one_scale_about_zero():
    axes = plotting.new_figure(columns=3)[1]
    values = np.array([[[1.0, -4.0]], [[2.0, 0.0]]])
    assert plotting.signed_images(axes, values, titles=["a", "b"]) is axes
    for ax, value in zip(axes[0], values, strict=False):
        np.testing.assert_array_equal(ax.images[0].get_array(), value)
        assert ax.images[0].get_clim() == (-4, 4)
    assert not axes[0, 2].axison
    plotting.signed_images(axes, 0 * values, titles=["a", "b"])
    plotting.signed_images(axes, values, titles=["a", "b"], largest=10)
    assert axes[0, 0].images[-1].get_clim() == (-10, 10)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (
            lambda ax: plotting.decision_regions(ax, [np.zeros((3, 3))]),
            r"polygons.shape\[1\] must be two coordinates, 2, got 3",
        ),
        (
            lambda ax: plotting.decision_regions(ax, [[[0, 0]]] * 2, colors=["red"]),
            "colors must be at least as many as classes, got 1 for 2",
        ),
        (
            lambda ax: plotting.label_map(ax, [0, 1], limits=(0, 1, 0, 1)),
            r"labels must have rank 2, got shape \(2,\)",
        ),
        (
            lambda ax: plotting.labelled_points(
                ax, np.zeros((2, 2)), [0], class_names=["a"]
            ),
            "labels must be the number of points, 2, got 1",
        ),
        (
            lambda ax: plotting.labelled_points(
                ax, np.zeros((2, 3)), [0, 0], class_names=["a"]
            ),
            r"features.shape\[1\] must be two coordinates, 2, got 3",
        ),
        (
            lambda ax: plotting.line(ax, [0.0, 0.0], 1.0),
            "normal must not be zero",
        ),
        (
            lambda ax: plotting.line(ax, [1.0, 0.0, 0.0], 1.0),
            "normal must be of two coordinates, 2, got 3",
        ),
        (
            lambda ax: plotting.signed_images([ax], np.zeros((2, 1, 1)), titles="ab"),
            "axes must be at least as many as images, got 1 for 2",
        ),
        (
            lambda ax: plotting.signed_images([ax], np.zeros((1, 1, 1)), titles="ab"),
            "titles must be the number of images, 1, got 2",
        ),
    ],
)
def test_what_does_not_fit_is_named(ax, draw, message):
    with pytest.raises(ValueError, match=message):
        draw(ax)
