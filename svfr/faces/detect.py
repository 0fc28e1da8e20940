"""Face detectors behind one interface: frames in, scored boxes out, in the frames' own pixels."""

from __future__ import annotations

import importlib
import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.faces.geometry import Box
from svfr.video.size import shrunk

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Face:
    """One detected face. `box` (x1,y1,x2,y2) and `points5` (5,2) are in pixels of the frame, `score` in 0..1.

    The points are eyes, nose, mouth corners, left and right as seen; None where the detector gives none.
    """

    box: Box
    score: float
    points5: Floats | None = None


Backend = Callable[[list[Rgb]], list[list[Face]]]


class Detector:
    """Detects faces in frames (H,W,3) uint8 RGB of one size; the answer is one list of faces a frame, best first.

    Frames longer than `max_side` pixels are shrunk for detection, so the cost does not grow with the source; boxes
    come back in the frame's own pixels, clipped to it, or in those of the larger picture whose `size` (width, height)
    is given. `name` and `version` go into the tables.
    """

    def __init__(self, name: str, version: str, backend: Backend, max_side: int, batch: int) -> None:
        self.name, self.version, self.max_side, self.batch = name, version, max_side, batch
        self._backend = backend

    def __call__(self, frames: Sequence[Rgb], size: tuple[int, int] | None = None) -> list[list[Face]]:
        """The faces of every frame of `frames`."""
        found: list[list[Face]] = []
        for start in range(0, len(frames), self.batch):
            group = frames[start : start + self.batch]
            small = [shrunk(frame, self.max_side) for frame in group]
            width, height = size or (group[0].shape[1], group[0].shape[0])
            ratio = np.array([width / small[0].shape[1], height / small[0].shape[0]])
            for faces in self._backend(small):
                placed = (_place(face, ratio, width, height) for face in faces)
                found.append(sorted((face for face in placed if face), key=lambda face: (-face.score, face.box)))
        return found


def build_detector(name: str, *, device: str = "cpu", max_side: int = 640, batch: int = 8, **options: Any) -> Detector:
    """Builds detector `name`.

    `mtcnn` (facenet-pytorch; its weights ship in the package; option `min_face` in pixels of the shrunk frame),
    `dlib_hog` (dlib; option `upsample`, doublings of the frame; CPU only), and face-alignment's `yunet` (CPU only),
    `retinaface` and `sfd` (weights by `svfr weights get`, or option `weights`, a file). Further options go to the
    backend.
    Raises `UserError` for an unknown name or option, `WeightsMissing` for an absent file.
    """
    makers: dict[str, Callable[..., tuple[str, Backend]]] = {
        "mtcnn": _mtcnn,
        "dlib_hog": _dlib_hog,
        "yunet": lambda device, **rest: _face_alignment("yunet", "cpu", **rest),
        "retinaface": lambda device, **rest: _face_alignment("retinaface", device, **rest),
        "sfd": lambda device, **rest: _face_alignment("sfd", device, **rest),
    }
    if name not in makers:
        raise UserError(f"unknown face detector '{name}': choose one of {', '.join(makers)}")
    try:
        version, backend = makers[name](device, **options)
    except TypeError as error:
        raise UserError(f"face detector {name}: {error}; check faces.detector_options") from error
    return Detector(name, version, backend, max_side, batch)


def _mtcnn(device: str, *, min_face: int = 32, thresholds: Sequence[float] = (0.6, 0.7, 0.7)) -> tuple[str, Backend]:
    from facenet_pytorch import MTCNN

    net = MTCNN(min_face_size=min_face, thresholds=list(thresholds), keep_all=True, device=device)

    def detect(frames: list[Rgb]) -> list[list[Face]]:
        try:
            boxes, scores, points = net.detect(np.stack(frames), landmarks=True)
        except (RuntimeError, ValueError) as error:
            if "non-empty" not in str(error):
                raise
            return [[] for _ in frames]  # how the package says that its first stage proposes nothing in a batch
        return [
            [] if b is None else [Face(_box(b[i]), float(s[i]), np.asarray(p[i], np.float64)) for i in range(len(b))]
            for b, s, p in zip(boxes, scores, points, strict=True)
        ]

    return f"facenet-pytorch {importlib.metadata.version('facenet-pytorch')}", detect


def _dlib_hog(device: str, *, upsample: int = 0) -> tuple[str, Backend]:
    import dlib

    detector = dlib.get_frontal_face_detector()

    def detect(frames: list[Rgb]) -> list[list[Face]]:
        found = []
        for frame in frames:
            boxes, margins, _ = detector.run(frame, upsample, 0.0)
            sides = [(b.left(), b.top(), b.right() + 1, b.bottom() + 1) for b in boxes]
            # the margin of a linear classifier, 0 upwards; a clear frontal face has about 2
            found.append([Face(_box(s), float(np.tanh(m))) for s, m in zip(sides, margins, strict=True)])
        return found

    return f"dlib {dlib.__version__}", detect


def _face_alignment(name: str, device: str, *, weights: Path | None = None, **options: Any) -> tuple[str, Backend]:
    from svfr.weights import require

    path = weights or require(name)
    import torch

    module = importlib.import_module(f"face_alignment.detection.{name}")
    detector = module.FaceDetector(device=device, path_to_detector=str(path), **options)

    def detect(frames: list[Rgb]) -> list[list[Face]]:
        batch_BCHW = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
        return [[Face(_box(row), float(row[4])) for row in rows] for rows in detector.detect_from_batch(batch_BCHW)]

    return f"face-alignment {importlib.metadata.version('face-alignment')}", detect


def _place(face: Face, ratio: Floats, width: int, height: int) -> Face | None:
    x1, y1, x2, y2 = (float(v) for v in np.asarray(face.box) * np.tile(ratio, 2))
    box = max(0.0, x1), max(0.0, y1), min(float(width), x2), min(float(height), y2)
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        return None
    return Face(box, face.score, None if face.points5 is None else face.points5 * ratio)


def _box(values: Sequence[float] | NDArray[Any]) -> Box:
    x1, y1, x2, y2 = (float(v) for v in values[:4])
    return x1, y1, x2, y2
