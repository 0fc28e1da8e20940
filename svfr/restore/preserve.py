"""What must not change: luma where only colour is asked for, known pixels where only holes are to be filled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_LUMA: Floats = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as in the colour task's grey inputs


def luma(rgb_HW3: Floats) -> Floats:
    """Y = 0.299 R + 0.587 G + 0.114 B, (H,W,1), in the unit of `rgb_HW3`."""
    return rgb_HW3 @ _LUMA[:, None]


def grey(rgb_HW3: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The frame without colour, (H,W,3) uint8: what the colour task shows the network."""
    y = np.rint(luma(rgb_HW3.astype(np.float32)))
    return np.repeat(y, 3, axis=2).astype(np.uint8)


def keep_luma(result_HW3: Floats, source_HW3: Floats, limit: float) -> Floats:
    """The result's chroma with the source's luma, within 0..`limit`; the colour task changes no brightness.

        C = R - Y(R),   out = Y(S) + a C

    Where Y(S) + C would leave the range, the chroma is scaled by the largest 0 <= a <= 1 that keeps it inside, so that
    the luma stays exact instead of being clipped.
    """
    chroma = result_HW3 - luma(result_HW3)
    y = np.clip(luma(source_HW3), 0, limit)
    room = np.where(chroma > 0, limit - y, y) / np.maximum(np.abs(chroma), 1e-6)
    share = np.minimum(room.min(2, keepdims=True), 1.0)
    return np.asarray(y + share * chroma, np.float32)


def fill_holes(crop_HW3: NDArray[np.uint8], hole_HW: Floats) -> NDArray[np.uint8]:
    """Holes (mask at least one half) painted white: how the network is told what is unknown."""
    return np.where(hole_HW[..., None] >= 0.5, np.uint8(255), crop_HW3)
