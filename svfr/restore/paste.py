"""Puts a restored crop back into its frame: resampled, colour-matched, feathered, nothing else touched."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.faces.geometry import Box
from svfr.restore.preserve import keep_luma, luma

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_MAX_GAIN = 1.5  # contrast may be corrected by this factor either way
_SMALL, _BLUR = 32, 2.0  # side of the pictures whose mean and contrast are compared, and the blur on them


@dataclass(frozen=True)
class PasteStyle:
    """How crops are pasted. `tasks` decide what is kept; `feather` is the faded share of the crop's side."""

    tasks: tuple[str, ...]
    feather: float
    match_colour: bool


def paste(
    frame: Pixels,
    crop_SS3: Pixels,
    box: Box,
    style: PasteStyle,
    hole_HW: Floats | None = None,
    opacity: float = 1.0,
) -> Pixels:
    """A copy of `frame` (H,W,3) with the restored crop (S,S,3), same dtype, under the normalised `box`.

    `hole_HW` (0..1): the inpainting mask of the whole frame. Pixels outside the box are the frame's own. With task
    `inpaint` alone only the holes change; with `color` alone the luma stays. `opacity` (0..1) fades all but the holes.
    """
    height, width = frame.shape[:2]
    limit = float(np.iinfo(frame.dtype).max)
    x1, y1 = int(np.floor(box[0] * width + 1e-6)), int(np.floor(box[1] * height + 1e-6))
    x2, y2 = int(np.ceil(box[2] * width - 1e-6)), int(np.ceil(box[3] * height - 1e-6))
    x1, y1, x2, y2 = max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)
    region = frame[y1:y2, x1:x2].astype(np.float32)
    result = _resampled(crop_SS3, box, (width, height), (x1, y1, x2, y2))
    alpha = feather_mask((x1, y1, x2, y2), (width, height), style.feather)[..., None] * np.float32(opacity)
    hole = None if hole_HW is None else hole_HW[y1:y2, x1:x2, None]
    known = alpha if hole is None else alpha * (1 - hole)
    if style.match_colour and "deflicker" not in style.tasks:  # the source's brightness is what is wrong
        result = match_colour(result, region, known, only_luma="color" in style.tasks)
    if style.tasks == ("color",):
        result = keep_luma(result, region, limit)
    if hole is not None and "inpaint" in style.tasks:
        alpha = hole if style.tasks == ("inpaint",) else np.maximum(alpha, hole)
    # out = S + alpha (R - S): where alpha is 0 the source comes back exactly
    blended = region + alpha * (np.clip(result, 0, limit) - region)
    out = frame.copy()
    out[y1:y2, x1:x2] = np.rint(np.clip(blended, 0, limit)).astype(frame.dtype)
    return out


def feather_mask(region: tuple[int, int, int, int], size: tuple[int, int], feather: float) -> Floats:
    """Weights (h,w) of a region (x1,y1,x2,y2) of a frame (width,height): 1 inside, 0 at its border, smooth between.

    Sides that lie on the frame's own border do not fade. The ramp is the cubic 3 t^2 - 2 t^3.
    """
    x1, y1, x2, y2 = region
    horizontal = _ramp(x2 - x1, feather, x1 > 0, x2 < size[0])
    vertical = _ramp(y2 - y1, feather, y1 > 0, y2 < size[1])
    return np.outer(vertical, horizontal).astype(np.float32)


def _ramp(length: int, feather: float, fade_start: bool, fade_end: bool) -> Floats:
    at = np.arange(length, dtype=np.float32) / max(feather * length, 1.0)
    start = np.clip(at, 0, 1) if fade_start else np.ones(length, np.float32)
    end = np.clip(at[::-1], 0, 1) if fade_end else np.ones(length, np.float32)
    t = np.minimum(start, end)
    return np.asarray(3 * t**2 - 2 * t**3, np.float32)


def match_colour(result: Floats, source: Floats, weight: Floats, *, only_luma: bool) -> Floats:
    """`result` with the weighted mean and contrast of `source`, per channel, or of its luma only.

        R' = (R - mean R) g + mean S,   g = clip(std S / std R, 1/1.5, 1.5)

    Both are compared on pictures shrunk by area to 32 x 32 and blurred, so that restored detail does not count against
    it. `result` and `source` (h,w,3), `weight` (h,w,1).
    """
    small_r, small_s, w = (_shrunk(x) for x in (result, source, weight))
    total = float(w.sum())
    if total * weight.size < w.size:  # less than one pixel
        return result
    r, s = (np.asarray(cv2.GaussianBlur(x, (0, 0), _BLUR), np.float32) for x in (small_r, small_s))
    if only_luma:
        r, s = luma(r), luma(s)
    w = w[..., None]
    mean_r, mean_s = ((x * w).sum((0, 1)) / total for x in (r, s))
    std_r, std_s = (np.sqrt((((x - mean) ** 2) * w).sum((0, 1)) / total) for x, mean in ((r, mean_r), (s, mean_s)))
    gain = np.clip(std_s / np.maximum(std_r, 1e-3), 1 / _MAX_GAIN, _MAX_GAIN)
    return np.asarray(result * np.float32(gain) + np.float32(mean_s - mean_r * gain), np.float32)


def _shrunk(picture: Floats) -> Floats:
    return np.asarray(cv2.resize(picture, (_SMALL, _SMALL), interpolation=cv2.INTER_AREA), np.float32)


def _resampled(crop: Pixels, box: Box, size: tuple[int, int], region: tuple[int, int, int, int]) -> Floats:
    """The crop on the pixel grid of the region; shrunk by area first where it is finer than the frame.

    A crop pixel u lies at x = x1 + (u + 1/2) s - 1/2 in the frame, s = box width / crop width.
    """
    left, top = box[0] * size[0], box[1] * size[1]
    wide, high = box[2] * size[0] - left, box[3] * size[1] - top
    wanted = min(crop.shape[1], max(1, round(wide))), min(crop.shape[0], max(1, round(high)))
    if wanted != (crop.shape[1], crop.shape[0]):
        crop = np.asarray(cv2.resize(crop, wanted, interpolation=cv2.INTER_AREA))
    sx, sy = wide / wanted[0], high / wanted[1]
    x1, y1, x2, y2 = region
    affine = np.array([[sx, 0, left + sx / 2 - 0.5 - x1], [0, sy, top + sy / 2 - 0.5 - y1]])
    warped = cv2.warpAffine(
        crop.astype(np.float32),
        affine,
        (x2 - x1, y2 - y1),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REPLICATE,
    )
    return np.asarray(warped, np.float32)
