"""Attention that never holds the matrix of all pairs: 24 x 512 x 512 pixels are 49,152 tokens, their matrix 9.7 GB."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from svfr.models.stc.norms import group_norm

# The math backend is left out on purpose: it builds the matrix. Where no fused kernel fits, torch raises instead.
FUSED = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.CUDNN_ATTENTION]


def attend(query_BHLD: Tensor, key_BHLD: Tensor, value_BHLD: Tensor) -> Tensor:
    """softmax(q k^T / sqrt(D)) v by a fused kernel, (B,heads,L,D) each; memory grows with L, not with L^2.

    The last dimension is made contiguous: a CPU's fused kernel takes nothing else.
    """
    query, key, value = (x.contiguous() if x.stride(-1) != 1 else x for x in (query_BHLD, key_BHLD, value_BHLD))
    if query.is_meta:  # shapes only, nothing is stored
        return F.scaled_dot_product_attention(query, key, value)
    with sdpa_kernel(FUSED):
        return F.scaled_dot_product_attention(query, key, value)


class Projections(nn.Module):
    """GroupNorm and the four 1x1x1 convolutions of single-head attention over tokens (..., L, C)."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = group_norm(channels, groups)
        self.q, self.k, self.v, self.proj_out = (nn.Conv3d(channels, channels, 1) for _ in range(4))

    def attention(self, tokens_BLC: Tensor) -> Tensor:
        """Single-head attention among the L tokens of each item, with its output projection; no residual."""
        query, key, value = (_project(layer, tokens_BLC)[:, None] for layer in (self.q, self.k, self.v))
        return _project(self.proj_out, attend(query, key, value)[:, 0])


class AttnBlock(Projections):
    """x + attention over all T*H*W tokens of x (B,C,T,H,W)."""

    def forward(self, x_BCTHW: Tensor) -> Tensor:
        tokens = self.norm(x_BCTHW).flatten(2).transpose(1, 2)
        return x_BCTHW + self.attention(tokens).transpose(1, 2).reshape(x_BCTHW.shape)


class TemporalAttention(Projections):
    """TA(z): every pixel of z (B,C,T,H,W) attends over its own T frames; no residual is added, as in the release."""

    def forward(self, z_BCTHW: Tensor) -> Tensor:
        b, c, t, h, w = z_BCTHW.shape
        tokens = self.norm(z_BCTHW).permute(0, 3, 4, 2, 1).reshape(b * h * w, t, c)
        return self.attention(tokens).reshape(b, h, w, t, c).permute(0, 4, 3, 1, 2)


def _project(layer: nn.Conv3d, tokens_BLC: Tensor) -> Tensor:
    """A 1x1x1 convolution on tokens: the same numbers, channels last."""
    return F.linear(tokens_BLC, layer.weight.flatten(1), layer.bias)
