"""Square crops around tracked faces, in normalised source coordinates, and the maps between crop and frame.

A box (x1,y1,x2,y2) is in 0..1 of the frame's width and height, edges of pixels, not centres. A crop of `size` pixels
samples it without rounding to whole source pixels, so a smoothed crop glides instead of jumping.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter1d

from svfr.errors import ItemError
from svfr.faces.geometry import Box, union_box

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float64]


def square_crop(boxes: Sequence[Box] | Floats, width: int, height: int, enlarge: float = 0.2) -> Box:
    """One static square, normalised, that holds all face `boxes` (pixels) of a track, its side enlarged.

    side = (1 + enlarge) * longer side of the union [SVFR supp.: 0.2], at most the frame's shorter side; moved, not
    shrunk, to lie within the frame of `width` x `height`. Raises `ItemError` ("no_face") without boxes.
    """
    x1, y1, x2, y2 = union_box([(float(a), float(b), float(c), float(d)) for a, b, c, d in boxes])
    side = (1 + enlarge) * max(x2 - x1, y2 - y1)
    return _within((x1 + x2) / 2, (y1 + y2) / 2, side, width, height)


def smooth_crops(boxes: Floats, width: int, height: int, enlarge: float = 0.2, sigma: float = 8.0) -> Floats:
    """One square a frame (T,4), normalised, that follows a track's `boxes` (T,4, pixels) without shaking.

    Centres are smoothed by a Gaussian of `sigma` frames; all squares share one side, that of the largest face
    enlarged, so the face does not pump. Within the frame like `square_crop`.
    """
    if len(boxes) == 0:
        raise ItemError("no_face", "a track without boxes cannot be cropped")
    centres = gaussian_filter1d((boxes[:, :2] + boxes[:, 2:]) / 2, sigma, axis=0, mode="nearest")
    side = (1 + enlarge) * float((boxes[:, 2:] - boxes[:, :2]).max())
    return np.array([_within(float(x), float(y), side, width, height) for x, y in centres])


def _within(x: float, y: float, side: float, width: int, height: int) -> Box:
    half = min(side, width, height) / 2
    x, y = float(np.clip(x, half, width - half)), float(np.clip(y, half, height - half))
    return (x - half) / width, (y - half) / height, (x + half) / width, (y + half) / height


def extract(frame: Rgb, box: Box, size: int) -> Rgb:
    """The crop (size,size,3) of `frame` (H,W,3) uint8 under the normalised `box`, Lanczos with anti-aliasing."""
    height, width = frame.shape[:2]
    limit = np.array([width, height, width, height], np.float64)
    corners = np.clip(np.asarray(box) * limit, 0, limit)
    crop = Image.fromarray(frame).resize((size, size), Image.Resampling.LANCZOS, box=tuple(corners.tolist()))
    return np.asarray(crop)


def crop_side(box: Box, width: int, height: int) -> float:
    """Side of a normalised square `box` in pixels of its frame."""
    return max((box[2] - box[0]) * width, (box[3] - box[1]) * height)


def frame_to_crop(box: Box, width: int, height: int, size: int) -> Floats:
    """The affine map (2,3) from frame pixels to crop pixels; pixel centres lie at whole numbers on both sides.

    u = (x + 1/2 - x1) size / (x2 - x1) - 1/2, in the form that `cv2.warpAffine` and `transform` take.
    """
    x1, y1, x2, y2 = np.asarray(box) * np.array([width, height, width, height])
    scale = size / (x2 - x1), size / (y2 - y1)
    return np.array(
        [[scale[0], 0.0, (0.5 - x1) * scale[0] - 0.5], [0.0, scale[1], (0.5 - y1) * scale[1] - 0.5]], dtype=np.float64
    )


def crop_to_frame(box: Box, width: int, height: int, size: int) -> Floats:
    """The inverse of `frame_to_crop` (2,3): where a crop's pixels are pasted back."""
    a = frame_to_crop(box, width, height, size)
    inverse = np.linalg.inv(a[:, :2])
    return np.column_stack([inverse, -inverse @ a[:, 2]])


def transform(points: ArrayLike, affine: Floats) -> Floats:
    """`points` (...,2) mapped by `affine` (2,3)."""
    p = np.asarray(points, np.float64)
    return np.asarray(p @ affine[:, :2].T + affine[:, 2])
