"""The U-Net with one context for a clip, as in diffusers, or one for each frame, as in the released code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor, nn

from svfr.errors import UserError


class FrameContextUNet(UNetSpatioTemporalConditionModel):
    """diffusers' class, its keys and its numbers; `forward` also takes a context for each frame."""

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float,
        encoder_hidden_states: Tensor,
        added_time_ids: Tensor,
        return_dict: bool = True,
    ) -> Any:
        """v (B,F,4,h,w) of `sample` (B,F,12,h,w); `added_time_ids` (B,3) task bits.

        `encoder_hidden_states`: (B,L,D), or (B*F,L,D) with the frames of a clip together. Of the latter, spatial
        cross-attention sees each frame's own and temporal cross-attention their mean, as in the released code; for
        inference only (gradient checkpointing would compute the mean's gradients). Raises `UserError` for other shapes.
        """
        channels = self.config["in_channels"]
        if sample.ndim != 5 or sample.shape[2] != channels:
            raise UserError(f"U-Net input has shape {tuple(sample.shape)}; (B, F, {channels}, h, w) is needed")
        context, (batch, frames) = encoder_hidden_states, sample.shape[:2]
        if context.ndim != 3 or len(context) not in (batch, batch * frames):
            raise UserError(
                f"U-Net context has shape {tuple(context.shape)}; ({batch}, L, D) or ({batch * frames}, L, D) is needed"
            )
        if len(context) == batch:
            return super().forward(sample, timestep, context, added_time_ids, return_dict)
        with _spatial_context(self, context):
            mean_BLD = context.unflatten(0, (batch, frames)).mean(1)
            return super().forward(sample, timestep, mean_BLD, added_time_ids, return_dict)


@contextmanager
def _spatial_context(unet: nn.Module, context_NLD: Tensor) -> Iterator[None]:
    """Within the block, spatial cross-attention sees `context_NLD`, one row for each of the batch's N = B*F frames."""

    def swap(_module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], Any]:
        return inputs, {**named, "encoder_hidden_states": context_NLD}

    layers = [m for name, m in unet.named_modules() if ".transformer_blocks." in name and name.endswith(".attn2")]
    hooks = [layer.register_forward_pre_hook(swap, with_kwargs=True) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
