"""Motion intensity (BFVR-STC 6.2)."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
Grey = NDArray[np.uint8]


class MotionMeter:
    """Takes frames (H,W,3) uint8 one by one; `mean` is the motion intensity so far, 0 before the second frame.

    `change` is the median over the pairs of the mean difference in grey levels (ours): a camera's picture always has
    some, stills and drawn animation repeat frames exactly.
    Share in 0..1 of pixels that change by more than `threshold` grey levels from one frame to the next. The paper
    sums the non-zero pixels of the binarised differences of adjacent grey frames; here the sum is divided by the
    number of pixels and of pairs, so clips of any size and length compare. The paper gives no threshold: 25 is ours.
    """

    def __init__(self, threshold: int = 25) -> None:
        self.threshold = threshold
        self._last: Grey | None = None
        self._shares: list[float] = []
        self._changes: list[float] = []

    def __call__(self, rgb: Rgb) -> None:
        """Takes the next frame."""
        grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)
        if self._last is not None:
            difference = cv2.absdiff(self._last, grey)
            self._shares.append(float((difference > self.threshold).mean()))
            self._changes.append(float(difference.mean()))
        self._last = grey

    @property
    def mean(self) -> float:
        """Mean share over the pairs of adjacent frames."""
        return float(np.mean(self._shares)) if self._shares else 0.0

    @property
    def change(self) -> float:
        """Median of the mean absolute grey difference of adjacent frames, 0..255."""
        return float(np.median(self._changes)) if self._changes else 0.0


def motion_intensity(frames: Iterable[Rgb], threshold: int = 25) -> float:
    """The motion intensity in 0..1 of `frames`; see `MotionMeter`. 0 for fewer than two frames."""
    meter = MotionMeter(threshold)
    for frame in frames:
        meter(frame)
    return meter.mean
