"""A restorer of the STC family: the face tools of `Restorer`, and the network in place of a diffusion sampler."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from svfr.diffusion.request import Restored
from svfr.faces.detect import Detector
from svfr.faces.landmarks import build_landmarker
from svfr.params import RestoreOptions
from svfr.restore.model import Restorer
from svfr.restore.stc_network import STCNetwork


class STCRestorer(Restorer):
    """One STC model, ready to restore any number of files."""

    refers = False
    steps = 1

    def __init__(self, network: STCNetwork, digest: str) -> None:
        self.network, self.digest = network, digest
        self.size, self.window, self.tasks, self.device = network.size, network.window, network.tasks, network.device
        self.sampler = _Windows(network)  # type: ignore[assignment]
        self._landmarker = build_landmarker("dlib68")
        self._embedder = network.embedder
        self._detectors: dict[str, Detector] = {}

    def overlap(self, options: RestoreOptions) -> int:
        """At least the model's own."""
        return min(max(options.overlap, self.network.defaults["overlap"]), self.window - 1)


class _Windows:
    """`SVFRSampler.stream` and its call, for what they share; steps, guidance and seed have no meaning here."""

    def __init__(self, network: STCNetwork) -> None:
        self.network = network

    def stream(self, frames: Iterable[Tensor], *, task: Iterable[str], overlap: int, **_: Any) -> Iterator[Restored]:
        """Restored pieces in order."""
        options = RestoreOptions(tasks=list(task), overlap=overlap)  # type: ignore[arg-type]
        for part in self.network.restore(iter(frames), None, options):
            yield Restored(part, part.new_empty(len(part), 0))

    def __call__(self, lq: Tensor, **settings: Any) -> Restored:
        """One clip (N,3,H,W) in [-1,1]."""
        parts = [part.frames for part in self.stream([lq], **settings)]
        return Restored(torch.cat(parts), lq.new_empty(len(lq), 0))
