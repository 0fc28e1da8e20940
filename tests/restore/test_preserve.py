"""Luma and known pixels that must not change."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays

from svfr.restore.preserve import fill_holes, grey, keep_luma, luma

PIXELS = arrays(np.uint8, (4, 5, 3))


@settings(max_examples=40, deadline=None)
@given(result=PIXELS, source=PIXELS)
def test_luma_is_the_sources_whatever_the_result(result: np.ndarray, source: np.ndarray) -> None:
    out = keep_luma(result.astype(np.float32), source.astype(np.float32), 255.0)
    np.testing.assert_allclose(luma(out), luma(source.astype(np.float32)), atol=0.01)
    assert out.min() >= -1e-3
    assert out.max() <= 255 + 1e-3


def test_chroma_comes_from_the_result() -> None:
    result = np.full((1, 1, 3), [150.0, 90.0, 80.0], np.float32)
    source = np.full((1, 1, 3), 110.0, np.float32)
    out = keep_luma(result, source, 255.0)
    np.testing.assert_allclose(out - luma(out), result - luma(result), atol=1e-3)


def test_grey_has_the_bt601_weights() -> None:
    assert grey(np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8))[0, :, 0].tolist() == [76, 150, 29]


def test_holes_become_white_and_nothing_else_changes() -> None:
    crop = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    out = fill_holes(crop, np.array([[1.0, 0.5], [0.49, 0.0]], np.float32))
    assert (out[0] == 255).all()
    assert (out[1] == crop[1]).all()
