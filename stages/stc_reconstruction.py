"""What stage I of BFVR-STC makes of held-out clips: how near it comes to them, and which codes it uses (Fig. 5)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from svfr.metrics.base import NO_HINTS, Frames
from svfr.metrics.distribution import LEAST_FRAMES, I3dFeatures, frechet_distance
from svfr.metrics.registry import Backends, build_available
from svfr.models.stc import VQGAN
from svfr.models.stc.folder import load_stc_folder
from svfr.training.stc.config import STCTrainConfig
from svfr.training.stc.data import WindowDataset, as_frames, as_video, read_clips
from svfr.training.stc.losses import perplexity

METRICS = ["psnr", "ssim", "fvd"]
BOOKS = ("spatial", "temporal")


@dataclass(frozen=True)
class Reconstruction:
    """Means over clips by metric, without those whose network is absent, and how often each code was chosen.

    `counts`: spatial and temporal, (2,codes).
    """

    figures: dict[str, float]
    counts: NDArray[np.int64]

    def codes_csv(self) -> str:
        """One line a code."""
        lines = [f"{code},{spatial},{temporal}" for code, (spatial, temporal) in enumerate(self.counts.T)]
        return "\n".join([",".join(("code", *BOOKS)), *lines]) + "\n"


def read_codes(path: Path) -> dict[str, list[int]]:
    """How often each code was chosen, by codebook, from what `Reconstruction.codes_csv` gave."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {book: [int(row[book]) for row in rows] for book in BOOKS}


def reconstruct(config: STCTrainConfig, split: str, max_frames: int) -> Reconstruction | None:
    """The model of `config.out` on the clips of `split`; None if there are none.

    At most `max_frames` frames of a clip count, in windows of the trained length without overlap.
    """
    data = WindowDataset(read_clips(config, split), config)
    if not data.clips:
        return None
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network, _ = load_stc_folder(config.out, device)
    metrics, missing = build_available(METRICS, Backends(device=device))
    fvd = I3dFeatures(device) if "fvd" not in missing else None
    counts = np.zeros((2, network.config.codes), np.int64)
    values: dict[str, list[float]] = {metric.name: [] for metric in metrics}
    features: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
    for number in range(len(data.clips)):
        truth = data.frames(number)[: max(max_frames, config.params.frames)]
        truth = truth[: len(truth) - len(truth) % config.params.frames]
        made = _reconstructed(network, truth, config.params.frames, counts)
        for metric in metrics:
            values[metric.name].append(metric(made, truth, NO_HINTS))
        if fvd and len(truth) >= LEAST_FRAMES:
            features.append((fvd(made), fvd(truth)))
    figures = {name: float(np.mean(found)) for name, found in values.items()}
    if len(features) > 1:
        ours, theirs = (np.stack(side) for side in zip(*features, strict=True))
        figures["fvd"] = frechet_distance(ours, theirs)
    for book, count in zip(BOOKS, counts, strict=True):
        figures[f"used_{book}"] = float((count > 0).mean())
        figures[f"perplexity_{book}"] = float(perplexity(torch.from_numpy(count)))
    return Reconstruction(figures, counts)


@torch.no_grad()
def _reconstructed(network: VQGAN, truth: Frames, window: int, counts: NDArray[np.int64]) -> Frames:
    """The clip (T,S,S,3) uint8 through the network; adds the chosen codes to `counts`."""
    made = []
    for start in range(0, len(truth), window):
        out = network(as_video(truth[start : start + window]).to(network.codebook.device))
        made.append(as_frames(out.video))
        for count, index in zip(counts, (out.idx_s, out.idx_t), strict=True):
            count += np.bincount(index.flatten().cpu().numpy(), minlength=len(count))
    return np.concatenate(made)
