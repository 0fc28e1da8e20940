"""The SVFR U-Net: diffusers' spatio-temporal SVD U-Net with twelve input channels.

Input channels per frame: [noisy latents 4 | low-quality latents 4 | reference latents 4]. Context: identity tokens.
The three task bits take the place of SVD's (fps, motion bucket, noise augmentation) in `add_embedding`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor

from svfr.errors import UserError
from svfr.models.frame_context import FrameContextUNet
from svfr.models.loading import State, load_strict
from svfr.models.norms import set_norm_groups

IN_CHANNELS = 12
GROUPS = 32  # groups of every GroupNorm in the network

SVD_XT_CONFIG: dict[str, Any] = {
    "sample_size": 96,
    "in_channels": IN_CHANNELS,
    "out_channels": 4,
    "down_block_types": ["CrossAttnDownBlockSpatioTemporal"] * 3 + ["DownBlockSpatioTemporal"],
    "up_block_types": ["UpBlockSpatioTemporal"] + ["CrossAttnUpBlockSpatioTemporal"] * 3,
    "block_out_channels": [320, 640, 1280, 1280],
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 768,
    "layers_per_block": 2,
    "cross_attention_dim": 1024,
    "transformer_layers_per_block": 1,
    "num_attention_heads": [5, 10, 20, 20],
    "num_frames": 25,
}
"""Constructor arguments of the full-size network (1,428 tensors, 1,524,634,602 parameters)."""


def build_unet(config: Mapping[str, Any], *, widen: bool = False) -> UNetSpatioTemporalConditionModel:
    """The U-Net of `config`, randomly initialised, with twelve input channels.

    `config`: constructor arguments of `UNetSpatioTemporalConditionModel`, such as `SVD_XT_CONFIG` or the contents of
    a diffusers `config.json`, and `norm_groups` for small networks (svfr.models.norms). With `widen`, a config of
    SVD's eight channels is taken and widened to twelve. Its context is (B,L,D), or (B*F,L,D) with one for each frame
    (svfr.models.frame_context). Raises `UserError` for another channel count, unknown entries,
    or widths that GroupNorm's 32 groups do not divide.
    """
    groups = config.get("norm_groups", GROUPS)
    arguments = _known_arguments({key: value for key, value in config.items() if key != "norm_groups"})
    channels = arguments.get("in_channels", IN_CHANNELS)
    if channels != IN_CHANNELS and not (widen and channels == 8):
        raise UserError(
            f"U-Net config has in_channels {channels}, {IN_CHANNELS} needed (noisy 4 + low-quality 4 + reference 4); "
            "start from SVD's 8 with widen=True"
        )
    widths = arguments.get("block_out_channels", (GROUPS,))
    if any(width % GROUPS for width in widths):
        raise UserError(f"U-Net block_out_channels {tuple(widths)}: each must be a multiple of {GROUPS}")
    if arguments["projection_class_embeddings_input_dim"] != 3 * arguments["addition_time_embed_dim"]:
        raise UserError("U-Net config: projection_class_embeddings_input_dim must be 3 x addition_time_embed_dim")
    try:
        unet = FrameContextUNet(**{**arguments, "in_channels": IN_CHANNELS})
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(f"U-Net config does not build: {error}") from error
    set_norm_groups(unet, groups)
    return unet


def widen_conv_in(state: State, channels: int = IN_CHANNELS) -> dict[str, Tensor]:
    """A copy of `state` whose `conv_in.weight` (C,I,3,3) has `channels` inputs; the new ones are zero.

    This is how SVFR starts from SVD-XT: at first the widened network ignores the reference and equals SVD-XT.
    Raises `UserError` if `conv_in.weight` is absent or already has more inputs.
    """
    if "conv_in.weight" not in state:
        raise UserError("no conv_in.weight in the state dict: these are no U-Net weights")
    weight = state["conv_in.weight"]
    extra = channels - weight.shape[1]
    if extra < 0:
        raise UserError(f"conv_in has {weight.shape[1]} input channels, more than the {channels} wanted")
    zeros = weight.new_zeros(weight.shape[0], extra, *weight.shape[2:])
    return {**state, "conv_in.weight": torch.cat([weight, zeros], dim=1)}


def load_official(unet: UNetSpatioTemporalConditionModel, state: State) -> None:
    """Loads a released (or SVFR-trained) state dict into `unet`, in float32.

    Raises `UserError` for a missing or unknown key, another shape, NaN or infinity.
    """
    load_strict(unet, {key: value.float() for key, value in state.items()}, "U-Net")
    unet.eval()


def _known_arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """Constructor arguments without diffusers' own `_class_name` entries; lists as tuples; defaults filled in."""
    signature = inspect.signature(UNetSpatioTemporalConditionModel.__init__).parameters
    given = {key: value for key, value in config.items() if not key.startswith("_")}
    unknown = sorted(set(given) - set(signature))
    if unknown:
        raise UserError(f"U-Net config has unknown entries: {', '.join(unknown)}")
    defaults = {key: p.default for key, p in signature.items() if p.default is not inspect.Parameter.empty}
    defaults["in_channels"] = IN_CHANNELS
    return {key: tuple(v) if isinstance(v, list) else v for key, v in {**defaults, **given}.items()}
