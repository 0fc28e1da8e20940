"""Baselines that need no training: what a restorer has to beat to be worth running.

`classical` is a fixed chain of textbook filters; its parameters were set once and are not tuned to any data:
- inpaint: the known mask, grown by 2 px, filled by OpenCV's Telea method (radius 5 px of a 512 px frame);
- bfr: non-local means on the colour picture (template 5, search 11, strength h = the frame's own noise as estimated
  by Immerkaer 1996, at most 12), then an unsharp mask (sigma 1.2 % of the shorter side, at most 3 px; amount 0.2);
- color: nothing; there is no classical way to know colours, so grey stays grey.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.metrics.base import Frames

Baseline = Callable[[Frames, Collection[str], "NDArray[np.bool_] | None"], Frames]

_MOST_NOISE, _TEMPLATE, _SEARCH = 12.0, 5, 11
_SHARPEN_SHARE, _SHARPEN_MOST, _SHARPEN_AMOUNT = 0.012, 3.0, 0.2
_GROW, _FILL_RADIUS = 2, 5 / 512


def classical(degraded: Frames, task: Collection[str], hole: NDArray[np.bool_] | None = None) -> Frames:
    """Restores (T,H,W,3) uint8 frame by frame; `hole` (T,H,W) is needed for inpaint. The input is left untouched."""
    if "inpaint" in task and hole is None:
        raise UserError("the classical baseline needs the mask of an inpainting task")
    frames = []
    for index, frame in enumerate(degraded):
        if "inpaint" in task and hole is not None:
            frame = _fill(frame, hole[index])
        frames.append(_clean(frame) if "bfr" in task else frame)
    return np.stack(frames)


def _fill(frame_HWC: Frames, hole_HW: NDArray[np.bool_]) -> Frames:
    if not hole_HW.any():
        return frame_HWC
    kernel = np.ones((2 * _GROW + 1,) * 2, np.uint8)
    mask = cv2.dilate(hole_HW.astype(np.uint8), kernel)
    filled = cv2.inpaint(frame_HWC, mask, max(1.0, _FILL_RADIUS * min(hole_HW.shape)), cv2.INPAINT_TELEA)
    return np.where(hole_HW[..., None], filled, frame_HWC).astype(np.uint8)


def _clean(frame_HWC: Frames) -> Frames:
    strength = min(_MOST_NOISE, noise_level(frame_HWC))
    smooth = cv2.fastNlMeansDenoisingColored(frame_HWC, None, strength, strength, _TEMPLATE, _SEARCH)
    sigma = max(0.5, min(_SHARPEN_MOST, _SHARPEN_SHARE * min(frame_HWC.shape[:2])))
    # unsharp mask: x + amount (x - G_sigma x)
    blurred = cv2.GaussianBlur(smooth, (0, 0), sigma)
    return cv2.addWeighted(smooth, 1 + _SHARPEN_AMOUNT, blurred, -_SHARPEN_AMOUNT, 0).astype(np.uint8)


def noise_level(frame_HWC: Frames) -> float:
    """Standard deviation of the luma's noise in 8-bit levels (Immerkaer 1996); texture makes it an upper estimate."""
    luma = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY).astype(np.float64)
    mask = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float64)
    # sigma = sqrt(pi / 2) / 6 * mean |I * N|
    return float(np.sqrt(np.pi / 2) / 6 * np.abs(cv2.filter2D(luma, -1, mask)[1:-1, 1:-1]).mean())


BASELINES: dict[str, Baseline] = {"classical": classical}


def build_baseline(name: str) -> Baseline:
    """The baseline called `name`. Raises `UserError` for an unknown one."""
    if name not in BASELINES:
        raise UserError(f"unknown baseline '{name}': choose among {', '.join(sorted(BASELINES))}")
    return BASELINES[name]
