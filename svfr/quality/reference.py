"""How well a frame will do as the reference of a video: sharp, frontal, eyes open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from svfr.quality.blur import laplacian_variance
from svfr.quality.side import side_ratio

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float64]

OPEN_EYE = 0.3  # eye aspect ratio from which an eye counts as open (ours; dlib's landmarks see a full blink at 0.23)
_EYES = (slice(36, 42), slice(42, 48))


def eye_aspect_ratio(landmarks68: Floats) -> float:
    """Mean of both eyes' height / width, about 0.3 for open and 0.1 for shut ones (Soukupova & Cech 2016).

        EAR = (|p2 - p6| + |p3 - p5|) / (2 |p1 - p4|)

    `landmarks68` (68,2) in pixels. 0 for an eye without width.
    """
    ratios = []
    for eye in _EYES:
        p1, p2, p3, p4, p5, p6 = np.asarray(landmarks68, np.float64)[eye]
        width = float(np.linalg.norm(p1 - p4))
        height = float(np.linalg.norm(p2 - p6) + np.linalg.norm(p3 - p5))
        ratios.append(height / (2 * width) if width > 0 else 0.0)
    return float(np.mean(ratios))


def reference_quality(rgb: Rgb, landmarks68: Floats) -> float:
    """Score of a face, 0 upwards, higher is better; compare frames of one face at one size only (ours).

        Q = sharpness * frontal * open
        sharpness = standard deviation of the Laplacian within the landmarks' box
        frontal   = min(alpha, 1 / alpha), alpha the side ratio; 0 if the nose lies outside the eyes
        open      = min(EAR / 0.3, 1)^2

    `rgb` (H,W,3) uint8; `landmarks68` (68,2) in its pixels. Without a pixel of the face inside the picture: 0.
    """
    points = np.asarray(landmarks68, np.float64)
    if not np.isfinite(points).all():
        return 0.0
    (x1, y1), (x2, y2) = np.floor(points.min(0)).astype(int), np.ceil(points.max(0)).astype(int) + 1
    face = rgb[max(y1, 0) : max(y2, 0), max(x1, 0) : max(x2, 0)]
    alpha = float(side_ratio(points))
    if face.size == 0 or alpha <= 0:
        return 0.0
    sharpness = laplacian_variance(np.ascontiguousarray(face)) ** 0.5
    return sharpness * min(alpha, 1 / alpha) * min(eye_aspect_ratio(points) / OPEN_EYE, 1.0) ** 2
