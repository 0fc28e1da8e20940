"""Identity branch: a face's feature map becomes 49 tokens for the U-Net's cross-attention."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from svfr.errors import UserError
from svfr.models.iresnet import IResNet
from svfr.models.loading import State, load_strict


class IdentityProjection(nn.Module):
    """1x1 convolution and LayerNorm: feature map (B,C,H,W) -> tokens (B,H*W,D).

    Released as `id_linear.pth` with C = 512, D = 1024 and a 7 x 7 map; any C and D work.
    """

    def __init__(self, in_channels: int = 512, dim: int = 1024) -> None:
        super().__init__()
        self.project1024 = nn.Conv2d(in_channels, dim, 1, bias=False)
        self.final_norm = nn.LayerNorm(dim)

    @classmethod
    def from_state(cls, state: State) -> IdentityProjection:
        """The projection of a state dict with the published names, in float32; C and D are read off its shapes."""
        weight = state.get("project1024.weight")
        if weight is None or weight.ndim != 4:
            raise UserError("identity projection: 'project1024.weight' (D, C, 1, 1) is missing")
        projection = cls(weight.shape[1], weight.shape[0])
        load_strict(projection, {key: value.float() for key, value in state.items()}, "identity projection")
        return projection.eval()

    @property
    def in_channels(self) -> int:
        """C, the channels of the feature map."""
        return self.project1024.in_channels

    @property
    def dim(self) -> int:
        """D, the width of a token: the U-Net's `cross_attention_dim`."""
        return self.project1024.out_channels

    def forward(self, fmap_BCHW: Tensor) -> Tensor:
        if fmap_BCHW.ndim != 4 or fmap_BCHW.shape[1] != self.in_channels:
            raise UserError(f"feature map has shape {tuple(fmap_BCHW.shape)}, (B, {self.in_channels}, H, W) expected")
        tokens_BLD = self.project1024(fmap_BCHW).flatten(2).transpose(1, 2)
        return self.final_norm(tokens_BLD)


class IdentityEncoder(nn.Module):
    """ArcFace and projection: RGB crops (B,3,112,112) in [-1,1] -> tokens (B,49,D)."""

    def __init__(self, arcface: IResNet, projection: IdentityProjection) -> None:
        super().__init__()
        self.arcface = arcface
        self.projection = projection

    @classmethod
    def from_official(cls, arcface_state: State, id_linear_state: State) -> IdentityEncoder:
        """The encoder of the released `insightface_glint360k.pth` and `id_linear.pth` state dicts, in float32.

        Raises `UserError` for a missing or unknown key, another shape, NaN or infinity.
        """
        encoder = cls(IResNet.from_official(arcface_state), IdentityProjection.from_state(id_linear_state))
        return encoder.eval().requires_grad_(False)

    @torch.no_grad()
    def forward(self, crop_B3HW: Tensor) -> Tensor:
        """Tokens (B,49,D) of RGB crops (B,3,112,112) in [-1,1]; raises `UserError` for another shape."""
        return self.projection(self.arcface.feature_map(crop_B3HW))
