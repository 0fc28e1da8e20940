"""Identity embeddings behind one interface: two crops of one person lie close, of two people far apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.faces.landmarks import five_points

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float64]
Vector = NDArray[np.float32]
Backend = Callable[[Rgb, Floats], Vector]


class Embedder:
    """Embeds one face. `name` and `version` go into the tables, `dim` is the vector's length.

    Vectors are compared by their Euclidean distance. `same_person` is the distance below which two faces are taken
    for one person: dlib's authors give 0.6 for its vectors; ArcFace's have length 1, where 1.1 is a cosine of 0.4.
    """

    def __init__(self, name: str, version: str, dim: int, same_person: float, backend: Backend) -> None:
        self.name, self.version, self.dim, self.same_person, self._backend = name, version, dim, same_person, backend

    def __call__(self, rgb: Rgb, landmarks68: Floats) -> Vector:
        """The vector (dim,) float32 of the face with `landmarks68` (68,2, pixels) in `rgb` (H,W,3) uint8."""
        return self._backend(rgb, np.asarray(landmarks68, np.float64))


def distance(a: Vector, b: Vector) -> float:
    """Euclidean distance of two embeddings, 0 upwards."""
    return float(np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64)))


def build_embedder(name: str, *, device: str = "cpu", weights: Path | None = None) -> Embedder:
    """Builds embedder `name`: `dlib` (128 values, ships in a package; CPU) or `arcface` (512 values, glint360k;
    `weights` names another file than the registered one).

    Raises `UserError` for an unknown name, `WeightsMissing` if the ArcFace file is absent.
    """
    makers: dict[str, Callable[[str, Path | None], Embedder]] = {"dlib": _dlib, "arcface": _arcface}
    if name not in makers:
        raise UserError(f"unknown identity embedder '{name}': choose one of {', '.join(makers)}")
    return makers[name](device, weights)


def _dlib(device: str, weights: Path | None) -> Embedder:
    import dlib
    import face_recognition_models

    net = dlib.face_recognition_model_v1(face_recognition_models.face_recognition_model_location())

    def embed(rgb: Rgb, landmarks68: Floats) -> Vector:
        x1, y1 = np.floor(landmarks68.min(0)).astype(int).tolist()
        x2, y2 = np.ceil(landmarks68.max(0)).astype(int).tolist()
        points = [dlib.point(round(float(x)), round(float(y))) for x, y in landmarks68]
        shape = dlib.full_object_detection(dlib.rectangle(x1, y1, x2, y2), points)
        return np.asarray(net.compute_face_descriptor(np.ascontiguousarray(rgb), shape), np.float32)

    return Embedder("dlib", f"dlib {dlib.__version__}", 128, 0.6, embed)


def _arcface(device: str, weights: Path | None) -> Embedder:
    from svfr.weights import require

    path = weights or require("arcface")
    import torch

    from svfr.faces.identity_crop import identity_crop
    from svfr.models.iresnet import IResNet

    net = IResNet.from_official(torch.load(path, map_location="cpu", weights_only=True)).to(device)

    def embed(rgb: Rgb, landmarks68: Floats) -> Vector:
        frame_3HW = torch.from_numpy(np.ascontiguousarray(rgb)).permute(2, 0, 1) / 127.5 - 1
        with torch.no_grad():
            embedding_BD = net(identity_crop(frame_3HW, five_points(landmarks68))[None].to(device))
        return np.asarray(torch.nn.functional.normalize(embedding_BD)[0].cpu().numpy(), np.float32)

    return Embedder("arcface", "glint360k iresnet100", 512, 1.1, embed)
