"""Whether a crop shows a face from the front, by a second opinion: dlib's frontal-face detector."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

_SIDE = 160  # pixels: a face that fills most of the crop is then well above the detector's 80
_NOTHING = -1.0


class FrontalDetector:
    """Margin of a linear classifier on HOG features, trained on frontal faces: below 0 the detector sees none.

    Landmark fits put a nose between two eyes on a profile as well; this tells them. On 39 real clips talking people
    have 0.3 to 2.9, people in profile below 0.
    """

    def __init__(self) -> None:
        import dlib

        self._detector = dlib.get_frontal_face_detector()

    def __call__(self, rgb: Rgb) -> float:
        """The surest margin, -1 upwards, on the crop `rgb` (H,W,3) uint8 of a face."""
        small = np.asarray(cv2.resize(rgb, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)
        _, margins, _ = self._detector.run(small, 0, _NOTHING)
        return max([_NOTHING, *(float(margin) for margin in margins)])
