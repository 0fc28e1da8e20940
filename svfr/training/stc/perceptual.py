"""LPIPS (VGG-16) as a loss of stage I, as the released options have it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from svfr.metrics.lpips import Lpips


class Perceptual(nn.Module):
    """Mean LPIPS of two videos (B,3,T,H,W) in [0,1], frame by frame; the network is frozen, the gradient is not cut.

    Raises `WeightsMissing` if VGG-16's file is absent; `perceptual: none` trains without.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = Lpips("vgg").net.requires_grad_(False)

    def forward(self, restored: Tensor, truth: Tensor) -> Tensor:
        pictures = [2 * x.transpose(1, 2).flatten(0, 1) - 1 for x in (restored, truth)]
        distance: Tensor = self.net(*pictures)
        return torch.mean(distance)
