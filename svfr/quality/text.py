"""Text on a picture, found and read by PP-OCR (BFVR-STC supplement C), whose weights ship with rapidocr."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


READ_SCORE = 0.95  # the paper's: a line read with less certainty is taken for no text


@dataclass(frozen=True)
class Text:
    """`share` in 0..1 of the picture under surely read lines; `score` in 0..1 of the surest line, 0 without any."""

    share: float
    score: float


class TextDetector:
    """Finds and reads text. Pictures are brought to at most `side` pixels; one thread, on the CPU.

    The paper refuses a video with any line read at a score above 0.95. Finding alone would not do: on close faces
    PP-OCR's detector often proposes the whole picture as one box, which then reads as one doubtful character.
    """

    def __init__(self, side: int = 320, threads: int = 1) -> None:
        from rapidocr import RapidOCR

        self.version = f"rapidocr {importlib.metadata.version('rapidocr')}"
        self._engine: Any = RapidOCR(
            params={
                "Global.log_level": "critical",
                "Global.use_cls": False,
                "Global.text_score": 0.0,
                "Det.limit_type": "max",
                "Det.limit_side_len": side,
                "EngineConfig.onnxruntime.intra_op_num_threads": threads,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    def __call__(self, rgb: Rgb) -> Text:
        """Text on `rgb` (H,W,3) uint8, such as the face's crop."""
        found = self._engine(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), use_det=True, use_cls=False, use_rec=True)
        if found.boxes is None or len(found.boxes) == 0:
            return Text(0.0, 0.0)
        covered = np.zeros(rgb.shape[:2], np.uint8)
        for corners, score in zip(found.boxes, found.scores, strict=True):
            if score > READ_SCORE:
                cv2.fillConvexPoly(covered, np.round(corners).astype(np.int32), 1)
        return Text(float(covered.mean()), float(max(found.scores)))
