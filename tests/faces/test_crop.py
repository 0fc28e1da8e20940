"""Crops: squares within the frame, exact maps, pixels that survive the round trip."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from svfr.errors import ItemError
from svfr.faces.crop import crop_side, crop_to_frame, extract, frame_to_crop, smooth_crops, square_crop, transform

_coordinate = st.floats(0, 1)


@settings(max_examples=60, deadline=None)
@given(st.integers(16, 2000), st.integers(16, 2000), st.lists(st.tuples(*[_coordinate] * 4), min_size=1, max_size=5))
def test_the_crop_is_a_square_within_the_frame(
    width: int, height: int, corners: list[tuple[float, float, float, float]]
) -> None:
    boxes = []
    for a, b, c, d in corners:
        assume(abs(a - c) > 0.01 and abs(b - d) > 0.01)
        boxes.append((min(a, c) * width, min(b, d) * height, max(a, c) * width, max(b, d) * height))
    x1, y1, x2, y2 = square_crop(boxes, width, height)
    assert -1e-9 <= x1 < x2 <= 1 + 1e-9
    assert -1e-9 <= y1 < y2 <= 1 + 1e-9
    assert (x2 - x1) * width == pytest.approx((y2 - y1) * height)
    union = np.array(boxes)
    longest = max(union[:, 2].max() - union[:, 0].min(), union[:, 3].max() - union[:, 1].min())
    assert crop_side((x1, y1, x2, y2), width, height) == pytest.approx(min(1.2 * longest, width, height))
    if longest <= min(width, height):  # then the whole face is inside
        assert x1 * width <= union[:, 0].min() + 1e-6
        assert x2 * width >= union[:, 2].max() - 1e-6


def test_the_papers_enlargement() -> None:
    assert square_crop([(100, 100, 200, 150)], 400, 400) == pytest.approx((90 / 400, 65 / 400, 210 / 400, 185 / 400))
    assert square_crop([(0, 0, 100, 100)], 400, 200) == pytest.approx((0, 0, 120 / 400, 120 / 200))
    with pytest.raises(ItemError):
        square_crop([], 10, 10)


def test_smoothed_crops_glide_and_keep_their_size() -> None:
    rng = np.random.default_rng(0)
    x = np.linspace(200, 600, 60) + rng.normal(0, 6, 60)
    boxes = np.stack([x, np.full(60, 200), x + 100, np.full(60, 300)], axis=1)
    crops = smooth_crops(boxes, 1000, 600) * [1000, 600, 1000, 600]
    assert np.allclose(crops[:, 2] - crops[:, 0], 120)
    assert np.allclose(crops[:, 3] - crops[:, 1], 120)
    shake = np.abs(np.diff(crops[:, 0], n=2)).max()
    assert shake < 0.1 * np.abs(np.diff(boxes[:, 0], n=2)).max()
    assert np.abs((crops[:, 0] + 60) - (x + 50))[10:-10].max() < 25


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 0.6), st.floats(0, 0.6), st.floats(0.05, 0.4), st.integers(16, 512))
def test_the_maps_are_inverse(x: float, y: float, side: float, size: int) -> None:
    box = (x, y, x + side, y + side)
    there, back = frame_to_crop(box, 640, 640, size), crop_to_frame(box, 640, 640, size)
    points = np.random.default_rng(0).uniform(0, 640, (68, 2))
    assert np.allclose(transform(transform(points, there), back), points)
    corners = np.array([[x, y], [x + side, y + side]]) * 640 - 0.5  # edges of pixels, not centres
    assert np.allclose(transform(corners, there), [[-0.5, -0.5], [size - 0.5, size - 0.5]], atol=1e-6)


def test_extract_agrees_with_the_map() -> None:
    """A dot in the frame appears in the crop where `frame_to_crop` says, at a box that falls between pixels."""
    frame = np.zeros((200, 300, 3), np.uint8)
    frame[80, 120] = 255
    frame = cv2.GaussianBlur(frame, (0, 0), 3) * 10
    box = (60.3 / 300, 40.7 / 200, 160.3 / 300, 140.7 / 200)
    crop = extract(frame, box, 256)[..., 0].astype(float)
    rows, columns = np.mgrid[:256, :256]
    centre = (crop * columns).sum() / crop.sum(), (crop * rows).sum() / crop.sum()
    assert transform([120, 80], frame_to_crop(box, 300, 200, 256)) == pytest.approx(centre, abs=0.1)


def test_a_whole_pixel_box_at_its_own_size_is_the_slice() -> None:
    photo = skimage.data.astronaut()
    crop = extract(photo, (100 / 512, 50 / 512, 228 / 512, 178 / 512), 128)
    assert np.array_equal(crop, photo[50:178, 100:228])


def test_shrinking_does_not_alias() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    assert np.abs(extract(stripes, (0, 0, 1, 1), 100).astype(int)[:, 3:-3] - 127).max() < 12
