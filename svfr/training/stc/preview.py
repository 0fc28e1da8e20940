"""A picture while training goes on: what the network was shown, what it made of it, and the truth."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from svfr.artifacts import atomic_write
from svfr.models.stc import VQGAN
from svfr.training.stc.data import Batch, as_frames

SHOWN = 4  # columns


@torch.no_grad()
def write_preview(path: Path, network: VQGAN, batch: Batch) -> None:
    """Writes a PNG of three rows (input, result, truth) of the batch's first item, up to four columns."""
    videos = [as_frames(video[:1]) for video in (batch.lq, network(batch.lq[:1]).video, batch.hq)]
    frames = np.linspace(0, batch.hq.shape[2] - 1, min(SHOWN, batch.hq.shape[2])).round().astype(int)
    rows = [np.concatenate([video[frame] for frame in frames], axis=1) for video in videos]
    ok, png = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    assert ok
    with atomic_write(path) as temporary:
        temporary.write_bytes(png.tobytes())
