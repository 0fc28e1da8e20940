"""Face embeddings for the identity metrics, by backend; unit vectors, so distances lie in [0, 2].

`dlib` (128-d, ships in a package) is aligned with the truth's landmarks, for both videos, so no detection can fail.
`arcface` (512-d, glint360k) likewise. `ir_se50` (512-d, facexlib) takes the whole crop, as VFRxBenchmark does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import sha256_file
from svfr.errors import ItemError, UserError
from svfr.metrics.base import Frames, Hints

Vectors = NDArray[np.float64]  # (T,D)
EmbedFrame = Callable[[Frames, NDArray[np.float64]], NDArray[np.float32]]
BACKENDS = ("dlib", "arcface", "ir_se50")
_REMEMBERED = 1024  # frames; the truth is measured once for every restorer


class FaceEmbeddings:
    """Embeds the frames of a clip. `backend` and `network_sha256` say with what.

    Raises `UserError` for an unknown backend, `WeightsMissing` for an absent network.
    """

    def __init__(self, backend: str, device: str = "cpu") -> None:
        if backend not in BACKENDS:
            raise UserError(f"unknown identity backend '{backend}': choose among {', '.join(BACKENDS)}")
        self.backend = backend
        self.needs_points = backend != "ir_se50"
        self._embed, path = _ir_se50(device) if backend == "ir_se50" else _aligned(backend, device)
        self.network_sha256 = sha256_file(path)
        self._known: dict[str, NDArray[np.float64]] = {}

    def __call__(self, frames: Frames, hints: Hints, frame_numbers: NDArray[np.int64]) -> Vectors:
        """Vectors (K,D) of the frames with these numbers."""
        return np.stack([self._one(frames[i], self._points(hints, i)) for i in frame_numbers])

    def usable(self, count: int, hints: Hints) -> NDArray[np.int64]:
        """Numbers of the frames in which the truth has a face. Raises `ItemError` `no_face` if there is none."""
        if not self.needs_points:
            return np.arange(count)
        if hints.points68 is None:
            raise ItemError("no_face", "identity metrics need the truth's landmarks: no face was found in it")
        found = np.flatnonzero(np.isfinite(hints.points68[:count]).all((1, 2)))
        if not len(found):
            raise ItemError("no_face", "no frame of the truth has landmarks")
        return found

    def _points(self, hints: Hints, index: int) -> NDArray[np.float64]:
        return np.zeros((0, 2)) if hints.points68 is None else hints.points68[index]

    def _one(self, frame: Frames, points: NDArray[np.float64]) -> NDArray[np.float64]:
        key = hashlib.sha256(frame.tobytes() + points.tobytes()).hexdigest()
        if key not in self._known:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            vector = np.asarray(self._embed(np.ascontiguousarray(frame), points), np.float64)
            self._known[key] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return self._known[key]


def _aligned(backend: str, device: str) -> tuple[EmbedFrame, Path]:
    from svfr.faces.embed import build_embedder

    embedder = build_embedder(backend, device=device)
    if backend == "dlib":
        import face_recognition_models

        return embedder, Path(face_recognition_models.face_recognition_model_location())
    from svfr.weights import require

    return embedder, require(backend)


def _ir_se50(device: str) -> tuple[EmbedFrame, Path]:
    from svfr.weights import require

    path = require("ir_se50")
    import torch
    from facexlib.recognition.arcface_arch import Backbone

    from svfr.models.loading import load_strict, read_state

    net = Backbone(num_layers=50, drop_ratio=0.6, mode="ir_se")
    load_strict(net, read_state(path), "IR-SE50")
    net.eval().to(device)

    @torch.no_grad()
    def embed(frame_HWC: Frames, points: NDArray[np.float64]) -> NDArray[np.float32]:
        crop = cv2.resize(frame_HWC, (112, 112), interpolation=cv2.INTER_AREA)
        x_B3HW = torch.from_numpy(crop).permute(2, 0, 1)[None].float().to(device) / 127.5 - 1
        return np.asarray(net(x_B3HW)[0].cpu().numpy(), np.float32)

    return embed, path
