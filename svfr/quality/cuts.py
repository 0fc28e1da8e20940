"""Scene cuts, by PySceneDetect's content detector."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

CUT_SIDE = 256  # frames need not be larger: PySceneDetect's own scene manager shrinks them to this width


class CutDetector:
    """Finds cuts in frames given one by one, so a video need not be held in memory.

    A cut is a change of hue, saturation and brightness above `threshold` (mean of 0..255 units; 27 is PySceneDetect's
    default) from one frame to the next. Cuts closer than `min_scene` frames to the last one are not reported again.
    """

    def __init__(self, threshold: float = 27.0, min_scene: int = 5) -> None:
        from scenedetect import FrameTimecode
        from scenedetect.detector import FlashFilter
        from scenedetect.detectors import ContentDetector

        mode = FlashFilter.Mode.SUPPRESS
        self._detector = ContentDetector(threshold=threshold, min_scene_len=min_scene, filter_mode=mode)
        self._timecode = FrameTimecode
        self._count = 0

    def __call__(self, rgb: Rgb) -> bool:
        """Takes the next frame (H,W,3) uint8; True if a new scene begins with it."""
        height, width = rgb.shape[:2]
        if width > CUT_SIDE:
            rgb = np.asarray(
                cv2.resize(rgb, (CUT_SIDE, max(1, height * CUT_SIDE // width)), interpolation=cv2.INTER_AREA)
            )
        time = self._timecode(self._count, fps=Fraction(25))  # only the frame number matters here
        found = self._detector.process_frame(time, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
        self._count += 1
        return bool(found)


class InnerCuts:
    """Counts cuts within a face crop, frames (H,W,3) uint8 given one by one; `count` is settled two frames later.

    PySceneDetect's adaptive detector: a change counts when it is 3 times that of the frames around it, so a face that
    fills the picture may move fast. Measured on 39 real clips: of 1,122 splices of two of them 1,118 are found, and
    1 of 60 uncut crops of real people is taken for one with a cut (a content threshold of 27 takes 4).
    """

    def __init__(self, min_scene: int = 5) -> None:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector

        self.count = 0
        self._detector = AdaptiveDetector(adaptive_threshold=3.0, min_content_val=15.0, min_scene_len=min_scene)
        self._timecode = FrameTimecode
        self._frames = 0

    def __call__(self, rgb: Rgb) -> None:
        """Takes the next frame."""
        time = self._timecode(self._frames, fps=Fraction(25))
        self.count += len(self._detector.process_frame(time, cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)))
        self._frames += 1


def scene_cuts(frames: Iterable[Rgb], *, threshold: float = 27.0, min_scene: int = 5) -> list[int]:
    """Numbers (from 0) of the frames with which a new scene begins; the first frame is not among them."""
    detector = CutDetector(threshold, min_scene)
    return [number for number, frame in enumerate(frames) if detector(frame)]
