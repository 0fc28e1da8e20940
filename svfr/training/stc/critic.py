"""Critics of stage I: DINOv2 features with small heads, as in the paper, or a patch network that needs no file."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from svfr.errors import UserError
from svfr.models.loading import load_strict, read_state
from svfr.weights import require

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet
_SIDE, _WIDTH = 224, 384
WEIGHTS = "dinov2-vits14"


class DinoCritic(nn.Module):
    """Heads of 1, 2 and 4 outputs, each averaged, on the class token of a frozen DINOv2 ViT-S/14.

    Frames are resized bilinearly to 224 x 224 and normalised as DINOv2 was trained. The backbone's weights are fixed
    but its gradient is not cut: in the released code it is, so that the generator learns nothing from this loss.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone.eval().requires_grad_(False)
        self.disc1, self.disc2, self.disc4 = (nn.Linear(_WIDTH, outputs) for outputs in (1, 2, 4))

    def forward(self, video: Tensor) -> Tensor:
        """Video (B,3,T,H,W) in [0,1] -> logits (B*T,3)."""
        frames = video.transpose(1, 2).flatten(0, 1)
        frames = F.interpolate(frames, (_SIDE, _SIDE), mode="bilinear", align_corners=False, antialias=True)
        mean, std = (frames.new_tensor(values).view(3, 1, 1) for values in (_MEAN, _STD))
        features = self.backbone((frames - mean) / std)
        return torch.stack([head(features).mean(1) for head in (self.disc1, self.disc2, self.disc4)], dim=1)

    def train(self, mode: bool = True) -> DinoCritic:
        """Training mode for the heads only."""
        super().train(mode)
        self.backbone.eval()
        return self


class PatchCritic(nn.Module):
    """A PatchGAN over single frames (Isola et al. 2017), without norms: one logit for about 22 x 22 pixels."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(3, width, 4, 2, 1), nn.LeakyReLU(0.2)),
            *(nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2)),
            nn.Conv2d(2 * width, 1, 4, 1, 1),
        )

    def forward(self, video: Tensor) -> Tensor:
        """Video (B,3,T,H,W) in [0,1] -> logits (B*T,1,h,w)."""
        return self.layers(2 * video.transpose(1, 2).flatten(0, 1) - 1)


def build_critic(kind: str) -> nn.Module | None:
    """The critic named by `adversarial`: "none", "patch" or "dinov2".

    Raises `WeightsMissing` if DINOv2's file is absent, `UserError` for another name.
    """
    if kind == "none":
        return None
    if kind == "patch":
        return PatchCritic()
    if kind == "dinov2":
        return DinoCritic(load_dinov2())
    raise UserError(f"unknown critic '{kind}': choose none, patch or dinov2")


def load_dinov2() -> nn.Module:
    """DINOv2 ViT-S/14 with the published weights; pictures (N,3,224,224) -> class tokens (N,384)."""
    path = require(WEIGHTS)
    network = dinov2()
    state = {name: value for name, value in read_state(path).items() if name != "mask_token"}
    load_strict(network, state, f"{path} (DINOv2 ViT-S/14)")
    return network


def dinov2() -> Any:
    """The network with random weights, by timm; its names are the published ones."""
    import timm

    return timm.create_model("vit_small_patch14_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True)
