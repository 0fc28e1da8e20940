"""Pasting a crop back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.faces.crop import extract
from svfr.restore.paste import PasteStyle, feather_mask, match_colour, paste
from svfr.restore.preserve import luma

BFR = PasteStyle(("bfr",), 0.1, match_colour=False)


def gradient(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    smooth = [128 + 100 * np.sin(x / 17), 128 + 100 * np.cos(y / 23), 40 + 150 * x / width]
    return np.stack(smooth, axis=2).astype(np.uint8)


@settings(max_examples=30, deadline=None)
@given(x=st.floats(0, 0.6), y=st.floats(0, 0.6), side=st.floats(0.1, 0.4), size=st.sampled_from([16, 48, 200]))
def test_pixels_outside_the_box_are_untouched(x: float, y: float, side: float, size: int) -> None:
    frame = gradient(90, 90)
    crop = np.full((size, size, 3), 255, np.uint8)
    out = paste(frame, crop, (x, y, x + side, y + side), BFR)
    x1, y1 = int(np.floor(x * 90 + 1e-6)), int(np.floor(y * 90 + 1e-6))
    x2, y2 = int(np.ceil((x + side) * 90 - 1e-6)), int(np.ceil((y + side) * 90 - 1e-6))
    outside = np.ones((90, 90), bool)
    outside[y1:y2, x1:x2] = False
    assert (out[outside] == frame[outside]).all()
    middle = (y1 + y2) // 2, (x1 + x2) // 2
    assert (out[middle] > 250).all()


@pytest.mark.parametrize("size", [24, 60, 240])
def test_a_crop_that_was_not_changed_returns_to_its_place(size: int) -> None:
    frame = gradient(120, 160)
    box = (0.213, 0.17, 0.213 + 61.3 / 160, 0.17 + 61.3 / 120)
    out = paste(frame, extract(frame, box, size), box, BFR)
    error = np.abs(out.astype(int) - frame)
    assert error.mean() < 0.5
    assert error.max() <= (12 if size == 24 else 4)


def test_no_fade_where_the_crop_ends_with_the_frame() -> None:
    whole = feather_mask((0, 0, 40, 30), (40, 30), 0.2)
    assert (whole == 1).all()
    inner = feather_mask((5, 5, 35, 25), (40, 30), 0.2)
    assert inner[0].max() == inner[:, 0].max() == inner[-1].max() == 0
    assert inner[10, 15] == 1
    assert (np.diff(inner[10, :8]) >= 0).all()


def test_sixteen_bits_stay_sixteen_bits() -> None:
    frame = gradient(40, 40).astype(np.uint16) * 257
    out = paste(frame, np.full((16, 16, 3), 65535, np.uint16), (0.25, 0.25, 0.75, 0.75), BFR)
    assert out.dtype == np.uint16
    assert out[20, 20].min() > 65000
    assert (out[:10] == frame[:10]).all()


def test_inpainting_alone_changes_only_the_hole() -> None:
    frame = gradient(60, 60)
    hole = np.zeros((60, 60), np.float32)
    hole[25:35, 20:40] = 1
    style = PasteStyle(("inpaint",), 0.1, match_colour=True)
    out = paste(frame, np.full((30, 30, 3), 7, np.uint8), (0.1, 0.1, 0.9, 0.9), style, hole)
    assert (out[hole == 0] == frame[hole == 0]).all()
    assert (out[hole == 1] != frame[hole == 1]).any(axis=1).all()


def test_colour_alone_keeps_the_luma() -> None:
    frame = np.repeat(gradient(60, 60)[..., :1], 3, axis=2)
    noise = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)
    out = paste(frame, noise, (0.0, 0.0, 1.0, 1.0), PasteStyle(("color",), 0.1, match_colour=True))
    assert np.abs(luma(out.astype(np.float32)) - luma(frame.astype(np.float32))).max() <= 0.51
    assert np.ptp(out.astype(int), axis=2).max() > 20


def test_colour_is_matched_to_the_source() -> None:
    source = gradient(60, 60).astype(np.float32)
    weight = np.ones((60, 60, 1), np.float32)
    out = match_colour(source * 0.8 + 30, source, weight, only_luma=False)
    np.testing.assert_allclose(out, source, atol=0.5)
