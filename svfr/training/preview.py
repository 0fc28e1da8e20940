"""A restored picture while training goes on: degraded, restored and clean frames of the first held-out view."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

from svfr.artifacts import atomic_write
from svfr.degrade import Recipe, apply_recipe
from svfr.diffusion.sampler import SVFRSampler
from svfr.models.task import TASKS
from svfr.training.validate import Validation

SHOWN = 4  # columns


def write_preview(
    path: Path,
    validation: Validation,
    unet: UNetSpatioTemporalConditionModel,
    vae: AutoencoderKLTemporalDecoder,
    scheduler: Mapping[str, Any],
) -> None:
    """Writes a PNG of three rows (degraded, restored without a reference, clean), up to four columns."""
    clip_number, pair_number = validation.pairs[0]
    clip = validation.data.clips[clip_number]
    pair, frames = clip.pairs[pair_number], validation.params.frames
    clean_THWC = validation.data.pixels(clip_number)[:frames]
    degraded_THWC = apply_recipe(clean_THWC, Recipe.from_row(pair), start=0)
    lq_NCHW = torch.from_numpy(np.ascontiguousarray(degraded_THWC)).permute(0, 3, 1, 2).float() / 127.5 - 1
    sampler = SVFRSampler(unet, vae, scheduler)
    task = {bit for bit in TASKS if pair[bit]}
    restored = sampler(
        lq_NCHW, task=task, steps=validation.params.preview_steps, window=frames, overlap=0 if frames == 1 else 1
    )
    restored_THWC = ((restored.frames.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    columns = np.linspace(0, frames - 1, min(SHOWN, frames)).round().astype(int)
    rows = [np.concatenate(list(video[columns]), axis=1) for video in (degraded_THWC, restored_THWC, clean_THWC)]
    ok, png = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    assert ok
    with atomic_write(path) as temporary:
        temporary.write_bytes(png.tobytes())
