"""Everything that is trained, as one module: U-Net, identity projection, and the two heads on the mid-block."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from svfr.diffusion.denoiser import TOKENS
from svfr.models.folder import ModelBundle
from svfr.models.landmark_head import LandmarkHead
from svfr.models.latent_transformer import LatentTransformer
from svfr.params import TrainParams
from svfr.training.lora import add_lora, merge_lora

HEADS = ("ulr.", "prior.")


class Prediction(NamedTuple):
    """v (B,F,4,h,w); `feature` (B,D), of any length; `points` (B,F,136). A head that is off gives an empty tensor."""

    v: Tensor
    feature: Tensor
    points: Tensor


class TrainingModel(nn.Module):
    """The trained networks behind one `forward`, so that one wrapper synchronises all of them.

    A head exists only if its lambda is above 0. `shape_mean` (136,) is the mean face, None without the prior loss.
    """

    def __init__(self, bundle: ModelBundle, params: TrainParams, shape_mean: Tensor | None) -> None:
        super().__init__()
        self.unet = bundle.unet
        self.projection = bundle.identity_projection
        self.mixed = params.precision == "bf16"
        channels = self.unet.config["block_out_channels"][-1]
        self.requires_grad_(True).train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(params.seed)
            self.ulr = LatentTransformer(channels, params.ulr_dim, params.ulr_depth) if params.lambda_ulr > 0 else None
            self.prior = LandmarkHead(channels, shape_mean) if shape_mean is not None else None
            self._lora = [add_lora(self.unet, params.lora_rank)] if params.parts == "lora" else []  # no submodule
        if params.parts == "temporal":
            for name, parameter in self.unet.named_parameters():
                parameter.requires_grad_("temporal" in name or "time_mixer" in name or name.startswith("conv_in"))
        self._mid: Tensor | None = None
        self.unet.mid_block.register_forward_hook(self._keep_mid)
        if params.gradient_checkpointing:
            self.unet.enable_gradient_checkpointing()

    def forward(
        self, inputs_BFCHW: Tensor, time_B: Tensor, identity_BCHW: Tensor, keep_B: Tensor, task_B3: Tensor
    ) -> Prediction:
        """U-Net on 12-channel inputs; identity maps (B,C,7,7) become tokens, which `keep` 0 turns to zeros.

        Computes in bfloat16 where that is safe if `precision` says so; what it returns is float32.
        """
        with torch.autocast(inputs_BFCHW.device.type, torch.bfloat16, enabled=self.mixed):
            out = self._predict(inputs_BFCHW, time_B, self._context(identity_BCHW, keep_B), task_B3)
        return Prediction(*(value.float() for value in out))

    def _predict(self, inputs_BFCHW: Tensor, time_B: Tensor, context_BLD: Tensor, task_B3: Tensor) -> Prediction:
        v = self.unet(inputs_BFCHW, time_B, context_BLD, task_B3).sample
        assert self._mid is not None
        mid_BFCHW, self._mid = self._mid.unflatten(0, inputs_BFCHW.shape[:2]), None
        empty = v.new_zeros(0)
        feature = self.ulr(mid_BFCHW) if self.ulr is not None else empty
        points = self.prior(mid_BFCHW) if self.prior is not None else empty
        return Prediction(v, feature, points)

    def trained(self) -> dict[str, nn.Parameter]:
        """The parameters that the optimiser changes."""
        return {name: p for name, p in self.named_parameters() if p.requires_grad}

    def exported(self) -> dict[str, nn.Parameter]:
        """Those of them that become the restorer: all but the heads."""
        return {name: p for name, p in self.trained().items() if not name.startswith(HEADS)}

    def merge(self) -> None:
        """Turns the U-Net into stock modules again; training has to be over."""
        while self._lora:
            merge_lora(self._lora.pop())

    def _context(self, identity_BCHW: Tensor, keep_B: Tensor) -> Tensor:
        if self.projection is None:
            return identity_BCHW.new_zeros(len(keep_B), TOKENS, self.unet.config["cross_attention_dim"])
        tokens_BLD: Tensor = self.projection(identity_BCHW)
        return tokens_BLD * keep_B[:, None, None]

    def _keep_mid(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self._mid = output
