"""Encoder and decoder of the 3D-VQGAN (BFVR-STC, Sec. 3.2): 8 x smaller in space, 2 x in time, not causal.

Blocks are numbered as in the released checkpoints, `encoder.blocks.N` and `generator.blocks.N`. Networks of our own may
have finer latents, `space` = 4 or 2 pixels a side: the deepest levels then halve nothing, with the same tensors.
"""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from svfr.models.stc.attention import AttnBlock
from svfr.models.stc.norms import group_norm

SPACE, TIME = 8, 2  # pixels a side and frames of a released latent
SPACES = (SPACE, 4, 2)  # what networks of our own may have


def _factors(space: int) -> tuple[int, int]:
    """By what the second and the third level divide H and W; the first one always halves."""
    return min(2, space // 2), max(1, space // 4)


class ResBlock(nn.Module):
    """x + conv2(silu(norm2(conv1(silu(norm1 x))))) on (B,C,T,H,W); a 1x1x1 convolution on x where widths differ."""

    def __init__(self, width_in: int, width: int, groups: int) -> None:
        super().__init__()
        self.norm1 = group_norm(width_in, groups)
        self.conv1 = nn.Conv3d(width_in, width, 3, padding=1)
        self.norm2 = group_norm(width, groups)
        self.conv2 = nn.Conv3d(width, width, 3, padding=1)
        self.conv_out = nn.Conv3d(width_in, width, 1) if width_in != width else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(F.silu(self.norm1(x)))
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (x if self.conv_out is None else self.conv_out(x))


class Downsample(nn.Module):
    """Halves T, H and W; zeros are added at the end of each only."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, width, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1, 0, 1)))


class Downsample2D(nn.Module):
    """Divides H and W by `factor`, frame by frame."""

    def __init__(self, width: int, factor: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(width, width, (1, 3, 3), stride=(1, factor, factor), padding=(0, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Upsample(nn.Module):
    """Nearest neighbour by `factors` (T,H,W), then a 3x3x3 convolution."""

    def __init__(self, width: int, factors: tuple[int, int, int]) -> None:
        super().__init__()
        self.factors = factors
        self.conv = nn.Conv3d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        scale = tuple(float(factor) for factor in self.factors)
        return self.conv(F.interpolate(x, scale_factor=scale, mode="nearest"))  # type: ignore[arg-type]


class Encoder(nn.Module):
    """RGB video (B,3,T,H,W) in [0,1] -> latent z (B,embedding,T/2,H/space,W/space)."""

    def __init__(self, channels: int, embedding: int, groups: int, space: int) -> None:
        super().__init__()
        second, third = _factors(space)
        c1, c2, c4, c8 = (channels * factor for factor in (1, 2, 4, 8))
        res, attention = partial(ResBlock, groups=groups), partial(AttnBlock, groups=groups)
        self.blocks = nn.Sequential(
            nn.Conv3d(3, c1, 3, padding=1),
            *(res(c1, c1), res(c1, c1), Downsample(c1)),
            *(res(c1, c2), res(c2, c2), Downsample2D(c2, second)),
            *(res(c2, c4), res(c4, c4), Downsample2D(c4, third)),
            *(res(c4, c8), attention(c8), res(c8, c8), attention(c8)),
            *(res(c8, c8), attention(c8), res(c8, c8)),
            group_norm(c8, groups),
            nn.Conv3d(c8, embedding, 3, padding=1),
        )

    def forward(self, video: Tensor) -> Tensor:
        return self.blocks(video)


class Decoder(nn.Module):
    """Quantised latent (B,embedding,T',h,w) -> RGB video (B,3,2T',space*h,space*w) in [0,1].

    Attention stays at latent size.
    """

    def __init__(self, channels: int, embedding: int, groups: int, space: int) -> None:
        super().__init__()
        second, third = _factors(space)
        c1, c2, c4, c8 = (channels * factor for factor in (1, 2, 4, 8))
        res, attention = partial(ResBlock, groups=groups), partial(AttnBlock, groups=groups)
        self.blocks = nn.Sequential(
            nn.Conv3d(embedding, c8, 3, padding=1),
            *(res(c8, c8), attention(c8), res(c8, c8)),
            *(res(c8, c8), attention(c8), res(c8, c8), attention(c8)),
            *(res(c8, c4), attention(c4), res(c4, c4), attention(c4), Upsample(c4, (1, third, third))),
            *(res(c4, c2), res(c2, c2), Upsample(c2, (1, second, second))),
            *(res(c2, c1), res(c1, c1), Upsample(c1, (2, 2, 2))),
            group_norm(c1, groups),
            nn.Conv3d(c1, 3, 3, padding=1),
        )

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.blocks(z))
