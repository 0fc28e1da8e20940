"""Pictures that are no larger than they are looked at: the size, and the shrinking."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def fitted(width: int, height: int, max_side: int | None) -> tuple[int, int]:
    """The size (width, height) of a picture, shrunk if a side is longer than `max_side`."""
    scale = min(1.0, max_side / max(width, height)) if max_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))


def shrunk(rgb: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """A picture (H,W,3) at its fitted size, by area; one that fits as it is."""
    height, width = rgb.shape[:2]
    size = fitted(width, height, max_side)
    return rgb if size == (width, height) else np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
