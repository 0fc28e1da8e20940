"""A loaded restorer: the networks, the sampler, and what turns a face into identity tokens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svfr.artifacts import digest_of
from svfr.diffusion.sampler import SVFRSampler
from svfr.errors import ItemError, UserError
from svfr.faces.detect import Detector, build_detector
from svfr.faces.embed import Embedder, build_embedder
from svfr.faces.geometry import Box
from svfr.faces.identity_crop import identity_crop
from svfr.faces.landmarks import build_landmarker, five_points
from svfr.models.folder import (
    FAMILIES,
    STC,
    ModelBundle,
    load_model_folder,
    read_model_config,
    verify_model_folder,
)
from svfr.models.identity_map import embedding_map
from svfr.params import RestoreOptions
from svfr.quality.reference import reference_quality
from svfr.restore.ledger import model_digest
from svfr.restore.media import Pixels

DTYPES = ("float32", "float16", "bfloat16")


class Restorer:
    """One model, ready to restore any number of files. `digest` names it in every report."""

    refers = True  # it restores with a reference frame of the person
    tasks = frozenset(("bfr", "color", "inpaint"))

    def __init__(self, bundle: ModelBundle, digest: str) -> None:
        self.bundle, self.digest = bundle, digest
        self.sampler = SVFRSampler(bundle.unet, bundle.vae, bundle.config["scheduler"])
        self.size: int = bundle.config["image_size"]
        self.window: int = bundle.config["window"]
        self.steps: int = bundle.config["sampler"]["steps"]
        self.device = bundle.unet.device
        self._landmarker = build_landmarker("dlib68")
        self._embedder = _embedder(bundle)
        self._detectors: dict[str, Detector] = {}

    def detector(self, options: RestoreOptions) -> Detector:
        """The face detector that the options name, built once. Raises `WeightsMissing` if its file is absent."""
        key = digest_of([options.detector, options.detector_options])
        if key not in self._detectors:
            device = str(self.device)
            self._detectors[key] = build_detector(options.detector, device=device, **options.detector_options)
        return self._detectors[key]

    def overlap(self, options: RestoreOptions) -> int:
        """Frames that neighbouring windows share."""
        return min(options.overlap, self.window - 1)

    @property
    def identity_backend(self) -> str:
        """The network that identity distances are measured with."""
        return self._embedder.name

    def tokens(self, reference_3SS: Tensor, face: Box) -> Tensor | None:
        """Identity tokens (L,D) of the face in a reference (3,S,S) about [-1,1]; None for a model without identity.

        `face` is its box in pixels of the reference.
        """
        projection = self.bundle.identity_projection
        if projection is None:
            return None
        rgb = as_pixels(reference_3SS)
        landmarks = self._landmarker(rgb, [face])[0]
        encoder = self.bundle.identity_encoder
        weight = projection.project1024.weight
        with torch.no_grad():
            if encoder is not None:
                crop = identity_crop(reference_3SS, five_points(landmarks))
                return encoder(crop[None].to(weight))[0]
            feature_map = embedding_map(torch.from_numpy(self._embedder(rgb, landmarks)))
            return projection(feature_map[None].to(weight))[0]

    def reference_scores(self, frames_K3SS: Tensor, faces: Sequence[Box]) -> Tensor:
        """How well frames (K,3,S,S) about [-1,1] will do as references (K,): sharp, frontal, eyes open.

        `faces` are their K face boxes in pixels.
        """
        scores = []
        for frame, face in zip(frames_K3SS, faces, strict=True):
            rgb = as_pixels(frame)
            scores.append(reference_quality(rgb, self._landmarker(rgb, [face])[0]))
        return torch.tensor(scores)

    def embed(self, rgb: Pixels, face: Box) -> np.ndarray[Any, np.dtype[np.float32]]:
        """The identity embedding of the face at `face` (pixels) in an 8-bit picture."""
        return self._embedder(rgb, self._landmarker(rgb, [face])[0])


def load_restorer(model: Path | str, *, device: str = "auto", dtype: str = "auto") -> Restorer:
    """Loads a model folder. `device` "auto" is CUDA where there is one; `dtype` "auto" is half on CUDA, else float32.

    Raises `UserError` for a folder that is incomplete, changed, or no model.
    """
    folder = Path(model)
    digest = model_digest(folder)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    kind = ("float16" if chosen.startswith("cuda") else "float32") if dtype == "auto" else dtype
    if kind not in DTYPES:
        raise UserError(f"dtype '{dtype}' is unknown: choose among auto, {', '.join(DTYPES)}")
    if verify_model_folder(folder)["family"] == STC:
        from svfr.restore.stc_network import load_stc
        from svfr.restore.stc_restorer import STCRestorer

        return STCRestorer(load_stc(folder, chosen, getattr(torch, kind)), digest)
    return Restorer(load_model_folder(folder, chosen, getattr(torch, kind)), digest)


def tasks_of(folder: Path) -> frozenset[str]:
    """What the model in a folder can do. Raises `UserError` if it is no model folder."""
    config = read_model_config(folder, tuple(FAMILIES))
    return frozenset(config["tasks"]) if config["family"] == STC else Restorer.tasks


def as_tensor(crop_SS3: Pixels) -> Tensor:
    """uint8 (S,S,3) -> (3,S,S) in [-1,1]: (x/255 - 0.5) / 0.5."""
    return torch.from_numpy(np.array(crop_SS3)).permute(2, 0, 1).float() / 127.5 - 1


def as_pixels(frame_3SS: Tensor, bits: int = 8) -> Pixels:
    """(3,S,S) about [-1,1] -> (S,S,3) uint8 or uint16, clipped and rounded to nearest."""
    limit = 2**bits - 1
    if not bool(torch.isfinite(frame_3SS).all()):
        raise ItemError("not_finite", "the network returned NaN or infinity: try float32, or another model")
    scaled = ((frame_3SS.float().clamp(-1, 1) + 1) * (limit / 2)).round()
    return scaled.permute(1, 2, 0).cpu().numpy().astype(np.uint8 if bits == 8 else np.uint16)


def _embedder(bundle: ModelBundle) -> Embedder:
    """ArcFace out of the model folder if it is there, else dlib's, whose weights ship in a package."""
    arcface = bundle.arcface
    if arcface is None:
        return build_embedder("dlib")

    def embed(rgb: Pixels, landmarks: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float32]]:
        crop = identity_crop(as_tensor(rgb), five_points(landmarks))
        with torch.no_grad():
            vector = arcface(crop[None].to(next(arcface.parameters())))
        return np.asarray(vector[0].float().cpu().numpy())

    return Embedder("arcface", "model folder", 512, 0.7, embed)
