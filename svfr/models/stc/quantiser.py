"""Two codebooks: one for what a place looks like, one for how it changes (BFVR-STC, Sec. 3.2)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from svfr.models.stc.attention import TemporalAttention
from svfr.models.stc.fusion import Fusion, build_fusion

_ROWS = 8192  # latents compared with the codebook at once


class Quantiser(nn.Module):
    """Spatial and temporal codebook (codes,embedding) and the temporal attention TA, `SA` in the released names."""

    def __init__(self, codes: int, embedding: int, groups: int, fusion: Fusion = "add") -> None:
        super().__init__()
        self.embedding_s = nn.Embedding(codes, embedding)
        self.embedding_t = nn.Embedding(codes, embedding)
        for table in (self.embedding_s, self.embedding_t):
            nn.init.uniform_(table.weight, -1 / codes, 1 / codes)
        self.SA = TemporalAttention(embedding, max(1, groups // 2))
        self.fuse = build_fusion(fusion, embedding)

    def temporal(self, z_BCTHW: Tensor, *, legacy: bool = False) -> Tensor:
        """TA(z) + M(z), the latent that the temporal codebook describes; with `legacy`, TA(z) + R(z) instead."""
        residual = memory_order_residual(z_BCTHW) if legacy else motion_residual(z_BCTHW)
        return self.SA(z_BCTHW) + residual

    def forward(self, z_BCTHW: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """z -> nearest codes: z_q (B,C,T,H,W) without straight-through gradient, idx_s and idx_t (B*T,H*W)."""
        idx_s = nearest(rows_of(z_BCTHW), self.embedding_s.weight)
        idx_t = nearest(rows_of(self.temporal(z_BCTHW)), self.embedding_t.weight)
        b, _, t, h, w = z_BCTHW.shape
        idx_s, idx_t = idx_s.view(b * t, h * w), idx_t.view(b * t, h * w)
        return self.decode(idx_s, idx_t, (b, t, h, w)), idx_s, idx_t

    def decode(self, idx_s: Tensor, idx_t: Tensor, size: tuple[int, int, int, int]) -> Tensor:
        """z_q of C_S[i_s] and C_T[i_t] for index maps (B*T,H*W), as (B,C,T,H,W); `size` is (B,T,H,W)."""
        spatial, temporal = self.embedding_s(idx_s), self.embedding_t(idx_t)
        return self.fuse(*(code.view(*size, -1).permute(0, 4, 1, 2, 3) for code in (spatial, temporal)))


def motion_residual(z_BCTHW: Tensor) -> Tensor:
    """M_t = z_t - z_{t-1}, M_0 = 0."""
    return torch.diff(z_BCTHW, dim=2, prepend=z_BCTHW[:, :, :1])


def memory_order_residual(z_BCTHW: Tensor) -> Tensor:
    """R(z) of the released stage II, which its weights were trained with.

    Frames are taken for the first dimension of a (B,C,T,H,W) tensor whose first two are swapped, so differences run
    over blocks of n = C*B*H*W numbers in memory order: channels and places are mixed, items of a batch too, and the
    result depends on T (24 in training).
    """
    b, c, t, h, w = z_BCTHW.shape
    flat, n = z_BCTHW.transpose(0, 1).flatten(), c * b * h * w
    difference = torch.cat([torch.zeros_like(flat[:n]), flat[n:] - flat[:-n]])  # d[i] = flat[i] - flat[i-n]
    return difference.view(t, b, h, w, c).permute(1, 4, 0, 2, 3)


def rows_of(z_BCTHW: Tensor) -> Tensor:
    """(B,C,T,H,W) -> (B*T*H*W,C), one row a latent."""
    return z_BCTHW.permute(0, 2, 3, 4, 1).flatten(0, 3)


def squared_distances(rows_NC: Tensor, codes_KC: Tensor) -> Tensor:
    """|a|^2 + |c|^2 - 2 a.c for every latent and code, (N,K) in float32."""
    rows, codes = rows_NC.float(), codes_KC.float()
    with torch.autocast(rows.device.type, enabled=False):  # half precision would choose other codes
        return rows.square().sum(1, keepdim=True) + codes.square().sum(1) - 2 * rows @ codes.T


@torch.no_grad()
def nearest(rows_NC: Tensor, codes_KC: Tensor) -> Tensor:
    """Index (N,) of the nearest code, in Euclidean distance, of every latent."""
    return torch.cat([squared_distances(rows, codes_KC).argmin(1) for rows in rows_NC.split(_ROWS)])
