"""The lookup transformers of stage II: from the latent of a degraded frame to indices of clean codes."""

from __future__ import annotations

from math import isqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from svfr.errors import UserError
from svfr.models.stc.attention import attend


class SelfAttention(nn.Module):
    """Multi-head attention with `nn.MultiheadAttention`'s parameters; q and k see the position, v does not."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.in_proj_weight)
        nn.init.zeros_(self.out_proj.bias)

    def forward(self, x_BLC: Tensor, position_LC: Tensor) -> Tensor:
        b, length, width = x_BLC.shape
        weight, bias = self.in_proj_weight, self.in_proj_bias
        query_key = F.linear(x_BLC + position_LC, weight[: 2 * width], bias[: 2 * width])
        parts = (*query_key.chunk(2, dim=-1), F.linear(x_BLC, weight[2 * width :], bias[2 * width :]))
        query, key, value = (part.view(b, length, self.heads, -1).transpose(1, 2) for part in parts)
        return self.out_proj(attend(query, key, value).transpose(1, 2).reshape(b, length, width))


class Layer(nn.Module):
    """Pre-norm transformer layer: x += MHA(LN x); x += W2 gelu(W1 LN x)."""

    def __init__(self, width: int, heads: int, feedforward: int) -> None:
        super().__init__()
        self.self_attn = SelfAttention(width, heads)
        self.linear1, self.linear2 = nn.Linear(width, feedforward), nn.Linear(feedforward, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, x_BLC: Tensor, position_LC: Tensor) -> Tensor:
        x = x_BLC + self.self_attn(self.norm1(x_BLC), position_LC)
        return x + self.linear2(F.gelu(self.linear1(self.norm2(x))))


def positions(table_LC: Tensor, height: int, width: int) -> Tensor:
    """Position embeddings (height*width,C): the table itself if it has as many rows, else resized bicubically.

    Raises `UserError` if it must be resized and its rows are no square.
    """
    rows = len(table_LC)
    if rows == height * width:
        return table_LC
    side = isqrt(rows)
    if side * side != rows:
        raise UserError(
            f"{rows} position embeddings are no square, so they cannot be resized to {height} x {width}: "
            f"give frames of {rows} latents"
        )
    grid = table_LC.float().T.reshape(1, -1, side, side)
    resized = F.interpolate(grid, (height, width), mode="bicubic", align_corners=False)
    return resized.flatten(2)[0].T.to(table_LC)


def predictor(width: int, codes: int) -> nn.Sequential:
    """Logits over the codebook from the last layer's tokens."""
    return nn.Sequential(nn.LayerNorm(width), nn.Linear(width, codes, bias=False))
