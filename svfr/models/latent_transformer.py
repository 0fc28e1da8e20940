"""The latent transformer T_l: one vector for what a clip shows, read from the U-Net's mid-block. Training only."""

from __future__ import annotations

from torch import Tensor, nn


class LatentTransformer(nn.Module):
    """Mid-block features (B,F,C,H,W) -> vectors (B,dim), which the loss centres and scales (svfr.training.ulr).

    SVFR states: features flattened over H and W, then a latent transformer. Ours, since unpublished: the mean over
    frames beforehand, the mean over tokens at the end (a class token makes all clips alike at the start, and the
    loss stays there), pre-norm layers, no position code (the features carry position themselves), and no bias in the
    last norm (the loss takes the batch's mean away).
    """

    def __init__(self, channels: int, dim: int = 256, depth: int = 2) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(channels)
        self.proj_in = nn.Linear(channels, dim)
        layer = nn.TransformerEncoderLayer(
            dim, _heads(dim), 4 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(
            layer, depth, norm=nn.LayerNorm(dim, bias=False), enable_nested_tensor=False
        )

    def forward(self, mid_BFCHW: Tensor) -> Tensor:
        """The clip's feature vectors (B,dim), float32."""
        x_BLC = mid_BFCHW.mean(1).flatten(2).transpose(1, 2)
        x_BLD = self.layers(self.proj_in(self.norm_in(x_BLC)))
        return x_BLD.mean(1).float()  # type: ignore[no-any-return]


def _heads(dim: int) -> int:
    """Heads of about 64 channels that divide `dim`."""
    return next(heads for heads in range(max(1, dim // 64), 0, -1) if dim % heads == 0)
