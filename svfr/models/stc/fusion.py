"""How the spatial and the temporal code of a place become one latent (BFVR-STC Sec. 4.3, Table 4b).

The released networks add; the other two are the paper's comparison.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from svfr.errors import UserError

Fusion = Literal["add", "conv", "fft"]
_PASS = 0.25  # share of the Nyquist frequency below which the spatial code is kept; the paper gives none


class Add(nn.Module):
    """z_q = z_S + z_T; nothing to learn."""

    def forward(self, spatial_BCTHW: Tensor, temporal_BCTHW: Tensor) -> Tensor:
        return spatial_BCTHW + temporal_BCTHW


class Project(nn.Module):
    """z_q = conv([z_S, z_T]): both stacked along the channels, then 3 x 3 x 3 to one latent's width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2 * width, width, 3, padding=1)

    def forward(self, spatial_BCTHW: Tensor, temporal_BCTHW: Tensor) -> Tensor:
        return self.conv(torch.cat([spatial_BCTHW, temporal_BCTHW], dim=1))


class Spectrum(nn.Module):
    """z_q = F^-1[P F(z_S) + (1 - P) F(z_T)], P = 1 where every frequency is at most `_PASS` of Nyquist's, else 0."""

    def forward(self, spatial_BCTHW: Tensor, temporal_BCTHW: Tensor) -> Tensor:
        dims = (2, 3, 4)
        low_THW = torch.ones((), dtype=torch.bool, device=spatial_BCTHW.device)
        for axis, length in enumerate(spatial_BCTHW.shape[2:]):
            near = torch.fft.fftfreq(length, device=spatial_BCTHW.device).abs() <= _PASS / 2
            low_THW = low_THW & near.view([-1 if axis == other else 1 for other in range(3)])
        spatial, temporal = (torch.fft.fftn(z.float(), dim=dims) for z in (spatial_BCTHW, temporal_BCTHW))
        return torch.fft.ifftn(torch.where(low_THW, spatial, temporal), dim=dims).real.to(spatial_BCTHW.dtype)


def build_fusion(kind: Fusion, width: int) -> nn.Module:
    """The operation on z_S and z_T (B,width,T,H,W). Raises `UserError` for an unknown kind."""
    if kind not in get_args(Fusion):
        raise UserError(f"unknown fusion {kind!r}: choose among {', '.join(get_args(Fusion))}")
    return Project(width) if kind == "conv" else Spectrum() if kind == "fft" else Add()
