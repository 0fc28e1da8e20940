"""LMD and AKD: how far the face's 68 landmarks moved.

Landmarks of both videos are fitted in the box of the truth's landmarks. Values of different landmark networks, or of
the three definitions of AKD in use, are not comparable: `backend` names both.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import sha256_file
from svfr.errors import ItemError
from svfr.metrics.base import NO_HINTS, Frames, Hints, Metric, check_pair

_REMEMBERED = 1024


class FaceLandmarks:
    """Landmarks (K,68,2) in pixels, by backend `dlib68` (ships in a package) or `fan` (2DFAN-4)."""

    def __init__(self, backend: str, device: str = "cpu") -> None:
        from svfr.faces.landmarks import build_landmarker

        self._fit = build_landmarker(backend, device=device)
        self.backend = backend
        self.network_sha256 = sha256_file(_network_file(backend))
        self._known: dict[str, NDArray[np.float64]] = {}

    def __call__(self, frames: Frames, hints: Hints, frame_numbers: NDArray[np.int64]) -> NDArray[np.float64]:
        """Landmarks of the frames with these numbers, in the truth's boxes."""
        assert hints.points68 is not None
        return np.stack([self._one(frames[i], hints.points68[i]) for i in frame_numbers])

    def _one(self, frame: Frames, points: NDArray[np.float64]) -> NDArray[np.float64]:
        key = hashlib.sha256(frame.tobytes() + points.tobytes()).hexdigest()
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            x1, y1, x2, y2 = (float(v) for v in (*points.min(0), *points.max(0)))
            self._known[key] = self._fit(np.ascontiguousarray(frame), [(x1, y1, x2, y2)])[0]
        return self._known[key]


def _network_file(backend: str) -> Path:
    if backend == "dlib68":
        import face_recognition_models

        return Path(face_recognition_models.pose_predictor_model_location())
    from svfr.weights import require

    return require(backend)


class _LandmarkMetric(Metric):
    """Both metrics: the difference (K,68,2) of the landmarks in the frames with a face."""

    higher_is_better, unit = False, "px"

    def __init__(self, landmarks: FaceLandmarks) -> None:
        self.landmarks = landmarks
        self.network_sha256 = landmarks.network_sha256

    def _difference(self, restored: Frames, truth: Frames, hints: Hints) -> NDArray[np.float64]:
        check_pair(restored, truth)
        if hints.points68 is None:
            raise ItemError("no_face", f"{self.name} needs the truth's landmarks: no face was found in it")
        frames = np.flatnonzero(np.isfinite(hints.points68[: len(truth)]).all((1, 2)))
        if not len(frames):
            raise ItemError("no_face", "no frame of the truth has landmarks")
        return self.landmarks(restored, hints, frames) - self.landmarks(truth, hints, frames)


class Lmd(_LandmarkMetric):
    """LMD: mean Euclidean distance of landmarks, in pixels of a frame scaled to 512 (VFRxBenchmark's size)."""

    name = "lmd"

    def __init__(self, landmarks: FaceLandmarks) -> None:
        super().__init__(landmarks)
        self.backend = f"{landmarks.backend}-l2-512px"

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        difference_K68xy = self._difference(restored, truth, hints)
        return float(np.linalg.norm(difference_K68xy, axis=-1).mean() * 512 / min(truth.shape[1:3]))


class Akd(_LandmarkMetric):
    """AKD as in First Order Motion's pose evaluation: mean absolute coordinate difference, pixels of 256."""

    name = "akd"

    def __init__(self, landmarks: FaceLandmarks) -> None:
        super().__init__(landmarks)
        self.backend = f"{landmarks.backend}-l1-256px"

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        difference_K68xy = self._difference(restored, truth, hints)
        return float(np.abs(difference_K68xy).mean() * 256 / min(truth.shape[1:3]))
