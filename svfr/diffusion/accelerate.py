"""Faster kernels for the same network: memory layout and compilation. Results differ by rounding only."""

from __future__ import annotations

from typing import cast

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel


def accelerate(
    unet: UNetSpatioTemporalConditionModel,
    *,
    channels_last: bool = False,
    compiled: bool = False,
    backend: str = "inductor",
) -> UNetSpatioTemporalConditionModel:
    """The U-Net to give to `SVFRSampler`; the one passed is changed in place.

    `channels_last` lays out the 2-D convolutions as tensor cores want them. `compiled` runs it through
    `torch.compile` with that backend: minutes at the first call, worth it for long videos. A compiled network is
    compiled again for every new number of frames, guidance branches or picture size.
    """
    if channels_last:
        for parameter in unet.parameters():
            if parameter.ndim == 4:  # module.to(memory_format=...) refuses the 3-D convolutions
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    if compiled:
        return cast(UNetSpatioTemporalConditionModel, torch.compile(unet, backend=backend))
    return unet
