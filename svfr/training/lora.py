"""Low-rank adaptation of the U-Net (Hu et al. 2021), through peft: added for training, merged for export."""

from __future__ import annotations

from typing import TYPE_CHECKING

from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel

if TYPE_CHECKING:
    from peft import LoraModel

# Every projection of attention, feed-forward parts and transformers. Ours: SVFR trains the whole U-Net.
TARGETS = r".*\.(to_q|to_k|to_v|to_out\.0|proj_in|proj_out|net\.0\.proj|net\.2)"
WHOLE = ("conv_in", "add_embedding")  # new input channels, new meaning: these are trained as they are


def add_lora(unet: UNetSpatioTemporalConditionModel, rank: int) -> LoraModel:
    """Puts W + B A, with B = 0 at the start, in place of every weight of `TARGETS`, and freezes all but A, B, `WHOLE`.

    `unet` is changed in place; A is drawn from torch's global generator.
    """
    from peft import LoraConfig, LoraModel

    adapted = LoraModel(unet, LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS), "default")
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith(WHOLE))
    return adapted


def merge_lora(adapted: LoraModel) -> None:
    """Adds B A to the weights and gives the U-Net its stock modules and key names back, in place."""
    adapted.merge_and_unload()
