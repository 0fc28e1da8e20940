"""Text on a picture, by PP-OCR's detection network (BFVR-STC supplement C), whose weights ship with rapidocr."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


@dataclass(frozen=True)
class Text:
    """`share` in 0..1 of the picture that text covers; `score` in 0..1 of the surest text box, 0 without text."""

    share: float
    score: float


class TextDetector:
    """Finds text without reading it. Pictures are brought to at most `side` pixels; one thread, on the CPU.

    The paper reads the first frame and refuses a video with any line read at a score above 0.95; where text is, not
    what it says, is all that matters here, and detection alone is several times faster.
    """

    def __init__(self, side: int = 320, threads: int = 1) -> None:
        from rapidocr import RapidOCR

        self.version = f"rapidocr {importlib.metadata.version('rapidocr')}"
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.use_rec": False,
                "Det.limit_type": "max",
                "Det.limit_side_len": side,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, rgb: Rgb) -> Text:
        """Text on `rgb` (H,W,3) uint8, such as the face's crop."""
        found = self._engine(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), use_det=True, use_cls=False, use_rec=False)
        if found.boxes is None or len(found.boxes) == 0:
            return Text(0.0, 0.0)
        covered = np.zeros(rgb.shape[:2], np.uint8)
        for corners in found.boxes:
            cv2.fillConvexPoly(covered, np.round(corners).astype(np.int32), 1)
        return Text(float(covered.mean()), float(max(found.scores)))
