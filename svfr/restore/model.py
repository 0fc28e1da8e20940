"""A loaded restorer: one network of any family, and the face tools that work for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from svfr.artifacts import digest_of
from svfr.diffusion.selfref import Anchor
from svfr.errors import UserError
from svfr.faces.detect import Detector, build_detector
from svfr.faces.geometry import Box
from svfr.faces.landmarks import build_landmarker
from svfr.models.folder import FAMILIES, STC, SVFR_TASKS, read_model_config
from svfr.params import RestoreOptions
from svfr.quality.reference import reference_quality
from svfr.restore.ledger import model_config, model_digest
from svfr.restore.network import Network
from svfr.restore.pixels import Pixels, as_pixels

LOADERS = {
    "svfr": ("svfr.restore.svfr_network", "load_svfr"),
    "stc": ("svfr.restore.stc_network", "load_stc"),
}
"""Family of a model folder -> module and function (folder, device, dtype) -> `Network`, imported when it is needed."""
DTYPES = ("float32", "float16", "bfloat16")


class Restorer:
    """One model, ready to restore any number of files. `digest` names it in every report."""

    def __init__(self, network: Network, digest: str) -> None:
        self.network, self.digest = network, digest
        self.size, self.window = network.size, network.window
        self._landmarker = build_landmarker("dlib68")
        self._detectors: dict[str, Detector] = {}

    def detector(self, options: RestoreOptions) -> Detector:
        """The face detector that the options name, built once. Raises `WeightsMissing` if its file is absent."""
        key = digest_of([options.detector, options.detector_options])
        if key not in self._detectors:
            device = str(self.network.device)
            self._detectors[key] = build_detector(options.detector, device=device, **options.detector_options)
        return self._detectors[key]

    def with_tokens(self, anchor: Anchor, face: Box) -> Anchor:
        """`anchor` with the identity tokens of the face at `face`, in pixels of its reference."""
        landmarks = self._landmarker(as_pixels(anchor.reference), [face])[0]
        return replace(anchor, tokens=self.network.tokens(anchor.reference, landmarks))

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
        return self.network.embedder(rgb, self._landmarker(rgb, [face])[0])


def load_restorer(model: Path | str, *, device: str = "auto", dtype: str = "auto") -> Restorer:
    """Loads a model folder of any family.

    `device` "auto" is CUDA where there is one; `dtype` "auto" is half on CUDA, else float32. Raises `UserError` for a
    folder that is incomplete, changed, or no model.
    """
    folder = Path(model)
    digest, family = model_digest(folder), model_config(folder).get("family")
    if family not in LOADERS:
        raise UserError(f"{folder}: models of family '{family}' are unknown here; known: {', '.join(LOADERS)}")
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    kind = ("float16" if chosen.startswith("cuda") else "float32") if dtype == "auto" else dtype
    if kind not in DTYPES:
        raise UserError(f"dtype '{dtype}' is unknown: choose among auto, {', '.join(DTYPES)}")
    module, name = LOADERS[family]
    load: Callable[[Path, str, torch.dtype], Network] = getattr(import_module(module), name)
    return Restorer(load(folder, chosen, getattr(torch, kind)), digest)


def tasks_of(folder: Path) -> frozenset[str]:
    """What the model in a folder can do. Raises `UserError` if it is no model folder."""
    config = read_model_config(folder, tuple(FAMILIES))
    return frozenset(config["tasks"]) if config["family"] == STC else SVFR_TASKS
