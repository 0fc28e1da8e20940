"""The SVFR family behind the engine: the sampler of plan `linear`, references, and identity tokens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svfr.diffusion.sampler import ENCODE_CHUNK, SVFRSampler
from svfr.diffusion.selfref import Anchor, Quality, choose_anchor
from svfr.diffusion.shortcuts import Shortcuts
from svfr.faces.embed import Embedder, build_embedder
from svfr.faces.identity_crop import identity_crop
from svfr.faces.landmarks import five_points
from svfr.models.folder import SVFR_TASKS, ModelBundle, load_model_folder
from svfr.models.identity_map import embedding_map
from svfr.params import RestoreOptions
from svfr.restore.pixels import Pixels, as_pixels, as_tensor


class SVFRNetwork:
    """`svfr.restore.network.Network` for a model folder of family svfr."""

    family = "svfr"
    tasks = SVFR_TASKS
    refers = True
    least_overlap = 0

    def __init__(self, bundle: ModelBundle) -> None:
        self.bundle = bundle
        self.size: int = bundle.config["image_size"]
        self.window: int = bundle.config["window"]
        # decoded and encoded 16, 8, 4, 2, 1 frames at a time, then windows of half the length
        self.most_splits = self.window.bit_length()
        self.device = bundle.unet.device
        self.embedder = _embedder(bundle)

    def restore(
        self, crops: Iterator[Tensor], anchor: Anchor | None, options: RestoreOptions, splits: int = 0
    ) -> Iterator[Tensor]:
        """See `Network.restore`."""
        parts = self._sampler(options, splits).stream(
            crops,
            reference=anchor.reference if anchor else None,
            id_tokens=anchor.tokens if anchor else None,
            steps=options.steps,
            **self._sampling(options, splits),
        )
        for part in parts:
            yield part.frames

    def choose_anchor(self, crops_K3SS: Tensor, quality: Quality, options: RestoreOptions, splits: int = 0) -> Anchor:
        """See `Network.choose_anchor`; `options.reference_steps` of denoising, or as many as the restoration takes."""
        steps = options.reference_steps or options.steps
        sampler = self._sampler(options, splits)
        chosen = choose_anchor(sampler, crops_K3SS, quality=quality, steps=steps, **self._sampling(options, splits))
        return Anchor(chosen.reference.clamp(-1, 1), None, chosen.frame)

    def tokens(self, reference_3SS: Tensor, landmarks68: NDArray[np.float64]) -> Tensor | None:
        """See `Network.tokens`; None for a model without identity."""
        projection = self.bundle.identity_projection
        if projection is None:
            return None
        encoder = self.bundle.identity_encoder
        weight = projection.project1024.weight
        with torch.no_grad():
            if encoder is not None:
                crop = identity_crop(reference_3SS, five_points(landmarks68))
                return encoder(crop[None].to(weight))[0]
            feature_map = embedding_map(torch.from_numpy(self.embedder(as_pixels(reference_3SS), landmarks68)))
            return projection(feature_map[None].to(weight))[0]

    def _sampler(self, options: RestoreOptions, splits: int) -> SVFRSampler:
        low_high = options.guidance_interval
        interval = (low_high[0], low_high[1]) if low_high else None
        return SVFRSampler(
            self.bundle.unet,
            self.bundle.vae,
            self.bundle.config["scheduler"],
            shortcuts=Shortcuts(options.solver, interval, options.deep_every),
            encode_chunk=max(1, ENCODE_CHUNK >> splits),
        )

    def _sampling(self, options: RestoreOptions, splits: int) -> dict[str, Any]:
        window = max(2, self.window // 2) if splits == self.most_splits else self.window
        return {
            "task": tuple(options.tasks),
            "guidance": (options.guidance, options.guidance),
            "window": window,
            "overlap": min(options.overlap, window - 1),
            "decode_chunk": max(1, self.window >> splits),
            "strength": options.strength,
            "noise_aug": options.noise_aug,
            "seed": options.seed,
        }


def load_svfr(folder: Path, device: str, dtype: torch.dtype) -> SVFRNetwork:
    """Loads a model folder of family svfr; errors as in `load_model_folder`."""
    return SVFRNetwork(load_model_folder(folder, device, dtype))


def _embedder(bundle: ModelBundle) -> Embedder:
    """ArcFace out of the model folder if it is there, else dlib's, whose weights ship in a package."""
    arcface = bundle.arcface
    if arcface is None:
        return build_embedder("dlib")

    def embed(rgb: Pixels, landmarks68: NDArray[np.float64]) -> NDArray[np.float32]:
        crop = identity_crop(as_tensor(rgb), five_points(landmarks68))
        with torch.no_grad():
            vector = arcface(crop[None].to(next(arcface.parameters())))
        return np.asarray(torch.nn.functional.normalize(vector.float())[0].cpu().numpy(), np.float32)

    return Embedder("arcface", "model folder", 512, 1.1, embed)
