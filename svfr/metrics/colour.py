"""Colour of colorized video: how colourful it is, and how far its colours are from the truth's."""

from __future__ import annotations

import cv2
import numpy as np

from svfr.metrics.base import NO_HINTS, Frames, Hints, Metric, check_pair


def colourfulness(frames: Frames) -> float:
    """Hasler and Süsstrunk 2003, M(3), mean over frames: 0 is grey, 30 a usual photograph, 80 vivid."""
    values = []
    for frame in frames.astype(np.float64):
        red, green, blue = frame[..., 0], frame[..., 1], frame[..., 2]
        # rg = R - G,  yb = (R + G) / 2 - B,  M = sqrt(var rg + var yb) + 0.3 sqrt(mean^2 rg + mean^2 yb)
        rg, yb = red - green, 0.5 * (red + green) - blue
        values.append(np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()))
    return float(np.mean(values))


class ColourfulnessGap(Metric):
    """|colourfulness(restored) - colourfulness(truth)|: neither grey nor gaudy is good."""

    name, backend, higher_is_better = "colourfulness_gap", "hasler2003", False

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        return abs(colourfulness(restored) - colourfulness(truth))


class ChromaError(Metric):
    """Mean distance in the a*b* plane of CIELAB (D65): the colour error with lightness left out."""

    name, backend, higher_is_better = "chroma_error", "cielab-ab", False

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        # d = mean_p sqrt((a_p - a'_p)^2 + (b_p - b'_p)^2)
        return float(np.mean([_distance(_ab(a), _ab(b)) for a, b in zip(restored, truth, strict=True)]))


def _ab(frame_HWC: Frames) -> np.ndarray:
    return cv2.cvtColor(frame_HWC.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[..., 1:]


def _distance(a_HWC: np.ndarray, b_HWC: np.ndarray) -> float:
    return float(np.linalg.norm(a_HWC - b_HWC, axis=-1).mean())
