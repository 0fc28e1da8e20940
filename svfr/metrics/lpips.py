"""LPIPS (Zhang et al. 2018), v0.1: RGB in [-1,1], mean over frames.

The linear heads ship with torchmetrics; the backbone is torchvision's ImageNet AlexNet or VGG-16, a named download.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torchmetrics.functional.image.lpips import _NoTrainLpips

from svfr.artifacts import sha256_file
from svfr.errors import UserError
from svfr.metrics.base import NO_HINTS, Frames, Hints, Metric, check_pair
from svfr.models.loading import read_state
from svfr.weights import require

BACKBONES = {"alex": "alexnet", "vgg": "vgg16"}  # LPIPS's name -> name of the weights
_CHUNK = 8  # frames at a time
_LEAST_SIDE = 64  # AlexNet's strides leave nothing of a smaller frame


class Lpips(Metric):
    """Learned perceptual distance; 0 for equal pictures. Raises `WeightsMissing` if the backbone is absent."""

    name, higher_is_better = "lpips", False

    def __init__(self, net: Literal["alex", "vgg"] = "alex", device: str = "cpu", path: Path | None = None) -> None:
        if net not in BACKBONES:
            raise UserError(f"unknown LPIPS backbone '{net}': choose among {', '.join(BACKBONES)}")
        path = path or require(BACKBONES[net])
        self.backend = f"{net}-v0.1"
        self.network_sha256 = sha256_file(path)
        self.device = device
        self.net = _NoTrainLpips(net=net, pnet_rand=True).eval()
        _load_backbone(self.net, read_state(path), path)
        self.net.to(device)

    @torch.no_grad()
    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        if min(truth.shape[1:3]) < _LEAST_SIDE:
            raise UserError(f"LPIPS needs sides of at least {_LEAST_SIDE} px, these are {truth.shape[1:3]}")
        parts = [
            self.net(self._signed(restored[i : i + _CHUNK]), self._signed(truth[i : i + _CHUNK])).flatten()
            for i in range(0, len(truth), _CHUNK)
        ]
        return float(torch.cat(parts).mean())

    def _signed(self, frames: Frames) -> Tensor:
        return torch.from_numpy(frames).to(self.device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _load_backbone(net: _NoTrainLpips, state: dict[str, Tensor], path: Path) -> None:
    """torchvision's `features.<n>.*` go to the layer <n> of whichever LPIPS slice holds it."""
    wanted = {key: key.split(".")[-2:] for key in net.net.state_dict()}
    source = {key: f"features.{number}.{leaf}" for key, (number, leaf) in wanted.items()}
    missing = sorted(set(source.values()) - set(state))
    if missing:
        raise UserError(f"{path} is no torchvision backbone for LPIPS: it lacks {missing[0]}")
    net.net.load_state_dict({key: state[name] for key, name in source.items()})
