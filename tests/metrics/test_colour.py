"""Colour metrics on pictures with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2lab

from svfr.metrics.colour import ChromaError, ColourfulnessGap, colourfulness


def _frames(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 24, 24, 3)).astype(np.uint8)


def test_grey_has_no_colourfulness_and_saturation_raises_it() -> None:
    frames = _frames()
    grey = np.repeat(frames[..., :1], 3, axis=-1)
    half = ((frames.astype(int) + grey) // 2).astype(np.uint8)
    assert colourfulness(grey) == 0
    assert 0 < colourfulness(half) < colourfulness(frames)


def test_colourfulness_of_half_red_half_blue() -> None:
    frames = np.zeros((1, 10, 10, 3), np.uint8)
    frames[:, :5, :, 0] = 200
    frames[:, 5:, :, 2] = 200
    # rg = 200 | 0 -> mean 100, std 100; yb = 100 | -200 -> mean -50, std 150
    expected = np.hypot(100, 150) + 0.3 * np.hypot(100, 50)
    assert colourfulness(frames) == pytest.approx(expected)


def test_chroma_error_equals_skimage_and_ignores_lightness() -> None:
    a, b = _frames(1), _frames(2)
    expected = np.linalg.norm(rgb2lab(a)[..., 1:] - rgb2lab(b)[..., 1:], axis=-1).mean()
    assert ChromaError()(a, b) == pytest.approx(expected, rel=2e-3)
    grey = np.repeat(a[..., :1], 3, axis=-1)
    assert ChromaError()(grey, 255 - grey) == pytest.approx(0, abs=0.1)


def test_colourfulness_gap_punishes_both_directions() -> None:
    frames = _frames(3)
    grey = np.repeat(frames[..., :1], 3, axis=-1)
    gap = ColourfulnessGap()
    assert gap(frames, frames) == 0
    assert gap(grey, frames) > 0
    assert gap(grey, frames) == pytest.approx(gap(frames, grey))
