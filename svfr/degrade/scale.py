"""Down- and up-scaling with the named interpolation kernels."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import cv2
from numpy.typing import NDArray

from svfr.degrade.portable import without_ipp

_INTERPOLATION = {
    "nearest": cv2.INTER_NEAREST,
    "linear": cv2.INTER_LINEAR,
    "cubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}


def low_size(H: int, W: int, scale: float) -> tuple[int, int]:
    """Height and width of the low picture: int(side / scale), at least 2 px."""
    return max(2, int(H / scale)), max(2, int(W / scale))


def resize(frame_HWC: NDArray[Any], size: tuple[int, int], kernel: str) -> NDArray[Any]:
    """The frame at `size` = (height, width); the frame itself if it has that size."""
    if frame_HWC.shape[:2] == size:
        return frame_HWC
    with without_ipp() if kernel == "cubic" else nullcontext():
        return cv2.resize(frame_HWC, (size[1], size[0]), interpolation=_INTERPOLATION[kernel])
