"""The STC family behind the restore engine: one pass of overlapping windows, no reference, no sampling steps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from svfr.faces.embed import Embedder, build_embedder
from svfr.models.stc import VQGAN
from svfr.models.stc.folder import load_stc_folder
from svfr.params import RestoreOptions
from svfr.restore.network import Anchor, WithoutReference
from svfr.restore.stc_windows import WindowedSTC


class STCNetwork(WithoutReference):
    """A restoring or de-flickering network of a model folder. `size` is the side of the crops that it was made for."""

    family = "stc"
    most_splits = 0

    def __init__(self, network: VQGAN, config: dict[str, Any]) -> None:
        self.size: int = config["image_size"]
        self.window: int = config["window"]
        self.tasks = frozenset(config["tasks"])
        self.least_overlap: int = config["sampler"]["overlap"]
        self.device = network.codebook.device
        self.embedder: Embedder = build_embedder("dlib")
        self.windowed = WindowedSTC(network, self.window, self.size, self.size // 8)

    def restore(
        self, crops: Iterator[Tensor], anchor: Anchor | None, options: RestoreOptions, splits: int = 0
    ) -> Iterator[Tensor]:
        """Restored frames (K,3,H,W) about [-1,1], in order and as many as went in; `crops` likewise, any size.

        Of the options only the overlap counts; it is at least the model's own.
        """
        overlap = min(max(options.overlap, self.least_overlap), self.window - 1)
        return self.windowed.stream(crops, overlap)


def load_stc(folder: Path, device: str, dtype: torch.dtype) -> STCNetwork:
    """Loads a model folder of family stc; errors as in `load_stc_folder`."""
    return STCNetwork(*load_stc_folder(folder, device, dtype))
