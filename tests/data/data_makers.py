"""Data and helpers of the tests of this folder."""

import io
import re

from PIL import Image


def encoded(pixels, kind="PNG"):
    """Returns an image file as bytes."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, kind)
    return out.getvalue()


def in_order(*words):
    """Returns a pattern of words that must come in this order, whatever is between."""
    return "(?s)" + ".*".join(re.escape(word) for word in words)
