"""68 facial landmarks (300-W order) behind one interface, and the five points derived from them."""

from __future__ import annotations

import importlib.metadata
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.faces.geometry import Box
from svfr.faces.track import iou_matrix

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float64]
Previous = Sequence[Floats | None]
Backend = Callable[[Rgb, Sequence[Box], Previous], Floats]

_MIN_IOU = 0.4  # of the box of the previous landmarks with the face's box; less, and they have lost it
_FAN_FILE = "2DFAN4-11f355bf06.pth.tar"


class Landmarker:
    """68 landmarks of every face of a frame. `name` and `version` go into the tables."""

    def __init__(self, name: str, version: str, backend: Backend) -> None:
        self.name, self.version, self._backend = name, version, backend

    def __call__(self, frame: Rgb, boxes: Sequence[Box], previous: Previous | None = None) -> Floats:
        """Landmarks (n,68,2) in pixels of `frame` (H,W,3) uint8 RGB for its n face `boxes` (x1,y1,x2,y2).

        `previous` (68,2) are a face's landmarks in the frame before, None where there are none. A landmarker may begin
        with them where they still fit the box: half the work, and steadier from frame to frame.
        """
        if not len(boxes):
            return np.zeros((0, 68, 2))
        return self._backend(frame, boxes, previous or [None] * len(boxes))


def build_landmarker(name: str, *, device: str = "cpu", weights: Path | None = None) -> Landmarker:
    """Builds landmarker `name`: `dlib68` (model ships in a package; CPU) or `fan` (face-alignment, 2DFAN-4;
    `weights` names another file than the registered one).

    Raises `UserError` for an unknown name, `WeightsMissing` if the FAN file is absent.
    """
    makers: dict[str, Callable[[str, Path | None], tuple[str, Backend]]] = {"dlib68": _dlib68, "fan": _fan}
    if name not in makers:
        raise UserError(f"unknown landmarker '{name}': choose one of {', '.join(makers)}")
    version, backend = makers[name](device, weights)
    return Landmarker(name, version, backend)


def five_points(landmarks68: Floats) -> Floats:
    """Eyes (means of points 36-41 and 42-47), nose tip (30), mouth corners (48, 54): (...,5,2) from (...,68,2)."""
    p = np.asarray(landmarks68, np.float64)
    eyes = [p[..., 36:42, :].mean(-2), p[..., 42:48, :].mean(-2)]
    return np.stack([*eyes, p[..., 30, :], p[..., 48, :], p[..., 54, :]], axis=-2)


def _dlib68(device: str, weights: Path | None) -> tuple[str, Backend]:
    import dlib
    import face_recognition_models

    predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())

    def fit(frame: Rgb, box: Box) -> Floats:
        found = predictor(frame, dlib.rectangle(*(round(v) for v in box)))
        return np.array([(point.x, point.y) for point in found.parts()], np.float64)

    def own_box(frame: Rgb, box: Box, before: Floats | None) -> Box:
        # The model was trained on dlib's own boxes. Landmarks of the frame before or of a first fit give that box.
        if before is not None:
            found = _hog_box(before)
            if iou_matrix([found], [box])[0, 0] >= _MIN_IOU:
                return found
        return _hog_box(fit(frame, box))

    def locate(frame: Rgb, boxes: Sequence[Box], previous: Previous) -> Floats:
        return np.stack([fit(frame, own_box(frame, *face)) for face in zip(boxes, previous, strict=True)])

    return f"dlib {dlib.__version__}", locate


def _hog_box(landmarks68: Floats) -> Box:
    """The square in which dlib's frontal detector would have found the face with these landmarks (ours, measured)."""
    x1, y1 = landmarks68.min(0)
    x2, y2 = landmarks68.max(0)
    side = (x2 - x1 + y2 - y1) / 2
    cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
    return float(cx - side / 2), float(cy - side / 2), float(cx + side / 2), float(cy + side / 2)


def _fan(device: str, weights: Path | None) -> tuple[str, Backend]:
    from svfr.weights import require

    path = weights or require("fan")
    import face_alignment
    import torch

    hub = torch.hub.get_dir()
    with tempfile.TemporaryDirectory() as folder:
        # The package takes no path: it looks into the hub folder, where we show it the verified file.
        checkpoints = Path(folder) / "checkpoints"
        checkpoints.mkdir()
        (checkpoints / _FAN_FILE).symlink_to(path.resolve())
        torch.hub.set_dir(folder)
        try:
            net = face_alignment.FaceAlignment(
                face_alignment.LandmarksType.TWO_D, device=device, face_detector="folder", compile=False
            )
        finally:
            torch.hub.set_dir(hub)

    def locate(frame: Rgb, boxes: Sequence[Box], previous: Previous) -> Floats:
        found = net.get_landmarks_from_image(frame, detected_faces=[np.array([*box, 1.0]) for box in boxes])
        return np.stack(found).astype(np.float64)

    return f"face-alignment {importlib.metadata.version('face-alignment')}", locate
