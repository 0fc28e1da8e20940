"""RGB to planar 4:2:0 and back in OpenCV's integer arithmetic: the same bits on every CPU, unlike swscale's default."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # uint8, RGB


def to_yuv420(frame_HWC: Array) -> Array:
    """(H,W,3) RGB, even sides, to (3H/2, W) I420: BT.601 in full range, chroma averaged over 2x2 pixels."""
    H, W = frame_HWC.shape[:2]
    y, cr, cb = cv2.split(cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2YCrCb))
    half = (W // 2, H // 2)
    chroma = [cv2.resize(plane, half, interpolation=cv2.INTER_AREA) for plane in (cb, cr)]
    return np.concatenate([y.reshape(-1), *(plane.reshape(-1) for plane in chroma)]).reshape(H * 3 // 2, W)


def to_rgb(planes: Array) -> Array:
    """(3H/2, W) I420 to (H,W,3) RGB; chroma is interpolated linearly."""
    H, W = planes.shape[0] * 2 // 3, planes.shape[1]
    flat = planes.reshape(-1)
    cb, cr = (
        cv2.resize(plane.reshape(H // 2, W // 2), (W, H), interpolation=cv2.INTER_LINEAR)
        for plane in np.split(flat[H * W :], 2)
    )
    return cv2.cvtColor(cv2.merge([flat[: H * W].reshape(H, W), cr, cb]), cv2.COLOR_YCrCb2RGB)
