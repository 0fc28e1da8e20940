"""The pairs dataset: one clip under two recipes, with reference, identity, noise and landmarks.

An item is a pure function of (seed, position): window, recipes, reference frame, dropping, noise level and noise are
all drawn from one generator, so neither the number of workers nor an interruption changes what is trained on.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from svfr.degrade import Recipe, apply_recipe, schedule_at
from svfr.diffusion.edm import sample_sigmas
from svfr.models.task import TASKS
from svfr.models.vae import encode_mean
from svfr.tables import Row
from svfr.training.config import TrainConfig
from svfr.training.index import VIEWS, Clip, points_of
from svfr.training.latents import HQ, IDENTITY, ClipLatents, lq_name
from svfr.training.order import below, clip_at, generator_for
from svfr.training.pixels import read_pixels

_OPEN_CLIPS = 16  # decoded clips and latent headers that a process keeps at hand


@dataclass
class Batch:
    """B views (two for each clip, adjacent) of F frames. Latents are unscaled means.

    `lq` are latents, or uint8 pixels (B,F,3,H,W) still to be encoded; `keep` is 0 where reference and identity are
    dropped; `points` hold NaN in frames without landmarks; `clip` numbers the clips.
    """

    hq: Tensor  # (B,F,4,h,w)
    lq: Tensor  # (B,F,4,h,w) float32, or (B,F,3,H,W) uint8
    reference: Tensor  # (B,4,h,w)
    identity: Tensor  # (B,C,7,7)
    keep: Tensor  # (B,)
    task: Tensor  # (B,3)
    sigma: Tensor  # (B,)
    noise: Tensor  # (B,F,4,h,w)
    points: Tensor  # (B,F,136)
    clip: Tensor  # (B,) int64

    def to(self, device: torch.device) -> Batch:
        """The batch on `device`."""
        return Batch(**{f.name: getattr(self, f.name).to(device, non_blocking=True) for f in fields(self)})

    def pin_memory(self) -> Batch:
        """Page-locked copy, which a DataLoader asks for before a transfer to a GPU."""
        return Batch(**{f.name: getattr(self, f.name).pin_memory() for f in fields(self)})


def join(items: list[Batch]) -> Batch:
    """Concatenates items along B; a DataLoader's `collate_fn`."""
    return Batch(**{f.name: torch.cat([getattr(item, f.name) for item in items]) for f in fields(Batch)})


@torch.no_grad()
def encode_degraded(batch: Batch, vae: AutoencoderKLTemporalDecoder) -> Batch:
    """The batch with degraded pixels, if it holds any, turned into latents by `vae` on the batch's device."""
    if batch.lq.dtype == torch.uint8:
        pixels_NCHW = batch.lq.flatten(0, 1).float() / 127.5 - 1
        batch.lq = encode_mean(vae, pixels_NCHW).unflatten(0, batch.lq.shape[:2])
    return batch


class PairDataset(Dataset[Batch]):
    """Items by position; see the module's text. `stream` separates validation's randomness from training's."""

    def __init__(self, clips: list[Clip], config: TrainConfig, stream: str = "train") -> None:
        self.clips, self.config, self.stream = clips, config, stream
        self._latents = lru_cache(_OPEN_CLIPS)(self._open_latents)
        self.pixels = lru_cache(_OPEN_CLIPS)(self._decode)  # (T,H,W,3) uint8 of a clip by number

    def __getitem__(self, position: int) -> Batch:
        """Two views of the clip at `position`. Raises `UserError` naming the clip if its files are damaged."""
        params = self.config.params
        number = clip_at(position, len(self.clips), params.seed)
        clip = self.clips[number]
        draw = generator_for("item", self.stream, params.seed, position)
        pairs = self._pairs(clip, position)
        chosen = torch.randperm(len(pairs), generator=draw)[:VIEWS].tolist()
        start = below(clip.row["n_frames"] - params.frames + 1, draw)
        return self.view(number, [pairs[i] for i in chosen], start, draw)

    def _pairs(self, clip: Clip, position: int) -> list[Row]:
        """The views to choose from: all, or by BFVR-STC's incremental schedule (A.11) noise-free first, then full."""
        if self.config.params.noise_free_clips == 0:
            return clip.pairs
        schedule = schedule_at(position, self.config.params.noise_free_clips)
        return [pair for pair in clip.pairs if pair["schedule"] == schedule]

    def view(self, number: int, pairs: list[Row], start: int, draw: torch.Generator) -> Batch:
        """The window from frame `start` of clip `number` under each of `pairs`; everything else from `draw`."""
        params, clip, latents = self.config.params, self.clips[number], self._latents(number)
        frames, views = params.frames, len(pairs)
        hq_FCHW = latents.read(HQ, start, frames)
        outside = [i for i in range(clip.row["n_frames"]) if not start <= i < start + frames]
        references = [outside[below(len(outside), draw)] if outside else start for _ in pairs]
        keep_B = (torch.rand(views, generator=draw) >= params.reference_drop).float() * bool(outside)
        identity_KCHW = latents.read(IDENTITY)
        faces = [below(len(identity_KCHW), draw) for _ in pairs]
        return Batch(
            hq=hq_FCHW.expand(views, *hq_FCHW.shape),
            lq=torch.stack([self._lq(number, pair, start) for pair in pairs]),
            reference=torch.cat([latents.read(HQ, frame, 1) for frame in references]),
            identity=identity_KCHW[faces],
            keep=keep_B,
            task=torch.tensor([[float(pair[bit]) for bit in TASKS] for pair in pairs]),
            sigma=sample_sigmas(views, params.sigma_mean, params.sigma_std, generator=draw),
            noise=torch.randn(views, *hq_FCHW.shape, generator=draw),
            points=points_of(clip, start, frames).expand(views, -1, -1),
            clip=torch.full((views,), number),
        )

    def _lq(self, number: int, pair: Row, start: int) -> Tensor:
        """Degraded window: stored latents where the encode stage made them, else pixels made by the recipe now."""
        frames, latents = self.config.params.frames, self._latents(number)
        if lq_name(pair["pair_id"]) in latents:
            return latents.read(lq_name(pair["pair_id"]), start, frames)
        window = self.pixels(number)[start : start + frames]
        degraded_FHWC = apply_recipe(window, Recipe.from_row(pair), start=start)
        return torch.from_numpy(np.ascontiguousarray(degraded_FHWC)).permute(0, 3, 1, 2)

    def _open_latents(self, number: int) -> ClipLatents:
        return ClipLatents.open(self.config.latent_shards, self.clips[number].latents)

    def _decode(self, number: int) -> NDArray[np.uint8]:
        return read_pixels(self.config.clip_shards, self.clips[number].row)
