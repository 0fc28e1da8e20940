"""Geometry of face crops: the square box around a face, and the five-point similarity fit. Pure numbers, no pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from svfr.errors import ItemError

Box = tuple[float, float, float, float]
Floats = NDArray[np.float64]

FACE_TEMPLATE_256: Floats = np.array(
    [
        [92.58920288085938, 103.3926010131836],
        [163.0635986328125, 103.00279998779297],
        [128.05039978027344, 143.47320556640625],
        [99.09860229492188, 184.7310028076172],
        [157.4597930908203, 184.408203125],
    ]
)
"""Eyes, nose and mouth corners (5,2) in pixels (x,y) of a 256 x 256 aligned face. Left and right as seen."""


def union_box(boxes: Sequence[Box]) -> Box:
    """The smallest box (x1,y1,x2,y2) that holds all `boxes`; raises `ItemError` ("no_face") if there are none."""
    if not boxes:
        raise ItemError("no_face", "no face was found in any sampled frame: check the input, or restore without a crop")
    corners = np.asarray(boxes, dtype=np.float64)
    x1, y1 = corners[:, :2].min(0)
    x2, y2 = corners[:, 2:].max(0)
    return float(x1), float(y1), float(x2), float(y2)


def crop_box(box: Box, height: int, width: int, expand: float = 0.4) -> tuple[int, int, int, int]:
    """The square crop (x1,y1,x2,y2) in whole pixels around a face box, within a frame of height x width.

    Each side of the box is moved out by `expand` of its length and clipped to the frame; the shorter side of the
    result is the square's; along the longer one the square is centred as near to the face as it can be. This is the
    released code's box (it rounds the corners separately, so sides may differ by a pixel).
    Raises `ItemError` ("bad_box") for a box without area or outside the frame.
    """
    x1, y1, x2, y2 = box
    if not (x2 > x1 and y2 > y1) or x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        raise ItemError("bad_box", f"face box {box} has no area within the frame of {width} x {height}")
    left, right = max(0.0, x1 - expand * (x2 - x1)), min(float(width), x2 + expand * (x2 - x1))
    top, bottom = max(0.0, y1 - expand * (y2 - y1)), min(float(height), y2 + expand * (y2 - y1))
    side = min(right - left, bottom - top)
    cx = _centre(left, right, side, (x1 + x2) / 2)
    cy = _centre(top, bottom, side, (y1 + y2) / 2)
    half = side / 2
    return round(cx - half), round(cy - half), round(cx + half), round(cy + half)


def _centre(low: float, high: float, side: float, wanted: float) -> float:
    """The point nearest to `wanted` at which a piece of length `side` can be centred within [low, high]."""
    middle, slack = (low + high) / 2, (high - low - side) / 2
    return middle + float(np.clip(wanted - middle, -slack, slack))


def similarity_fit(points: ArrayLike, target: ArrayLike) -> Floats:
    """The rotation, uniform scale and shift (2,3) that takes `points` (K,2) nearest to `target` (K,2).

        minimise |M [x y 1]^T - target|^2 over M = [[a, -b, tx], [b, a, ty]]

    Raises `ItemError` ("degenerate_landmarks") if the points coincide or are not finite.
    """
    source, goal = np.asarray(points, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if source.shape != goal.shape or source.ndim != 2 or source.shape[1] != 2 or len(source) < 2:
        raise ItemError("degenerate_landmarks", f"points {source.shape}, targets {goal.shape}: (K,2), K >= 2, needed")
    p, q = source - source.mean(0), goal - goal.mean(0)
    spread = float((p**2).sum())
    if not np.isfinite(source).all() or spread < 1e-9:
        raise ItemError("degenerate_landmarks", "the landmarks coincide or are not finite, so no face can be aligned")
    a = float((p * q).sum()) / spread
    b = float((p[:, 0] * q[:, 1] - p[:, 1] * q[:, 0]).sum()) / spread
    linear = np.array([[a, -b], [b, a]])
    shift = goal.mean(0) - linear @ source.mean(0)
    return np.column_stack([linear, shift])
