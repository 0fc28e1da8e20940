"""Motion intensity (BFVR-STC 6.2)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


def motion_intensity(frames: Iterable[Rgb], threshold: int = 25) -> float:
    """Share in 0..1 of pixels that change by more than `threshold` grey levels from one frame to the next.

    The paper sums the non-zero pixels of the binarised differences of adjacent grey frames; here the sum is divided
    by the number of pixels and of pairs, so clips of any size and length compare. The paper gives no threshold: 25 is
    ours. 0 for fewer than two frames.
    """
    greys = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames)
    shares = [float((cv2.absdiff(a, b) > threshold).mean()) for a, b in pairwise(greys)]
    return float(np.mean(shares)) if shares else 0.0
