"""SVD's autoencoder: a per-frame encoder and a decoder with temporal layers.

The spatial factor is 2^(levels - 1): 8 for the full-size network, less for smaller ones.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from torch import Tensor

from svfr.errors import UserError
from svfr.models.norms import set_norm_groups

GROUPS = 32  # groups of every GroupNorm in the network

SVD_VAE_CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 768,
    "scaling_factor": 0.18215,
    "force_upcast": True,
}
"""Constructor arguments of the full-size autoencoder (374 tensors, 97.7 M parameters)."""


def build_vae(config: Mapping[str, Any]) -> AutoencoderKLTemporalDecoder:
    """The autoencoder of `config` (constructor arguments, or a diffusers `config.json`), randomly initialised.

    A small network may state `norm_groups` (svfr.models.norms) and `mid_attention: false`, which leaves out the
    attention over all pixels of a frame (both ours; it costs most of a small VAE's time).
    Raises `UserError` for unknown entries or widths that GroupNorm's 32 groups do not divide.
    """
    signature = inspect.signature(AutoencoderKLTemporalDecoder.__init__).parameters
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in config.items() if not k.startswith("_")}
    groups = int(given.pop("norm_groups", GROUPS))  # type: ignore[arg-type]
    mid_attention = bool(given.pop("mid_attention", True))
    unknown = sorted(set(given) - set(signature))
    if unknown:
        raise UserError(f"VAE config has unknown entries: {', '.join(unknown)}")
    widths = given.get("block_out_channels", (GROUPS,))
    if any(width % GROUPS for width in widths):
        raise UserError(f"VAE block_out_channels {tuple(widths)}: each must be a multiple of {GROUPS}")
    if given.get("latent_channels", 4) != 4:
        raise UserError(f"VAE config has latent_channels {given['latent_channels']}; the U-Net takes 4")
    try:
        vae = AutoencoderKLTemporalDecoder(**given)
    except (ValueError, TypeError, IndexError) as error:
        raise UserError(f"VAE config does not build: {error}") from error
    set_norm_groups(vae, groups)
    if not mid_attention:
        _drop_mid_attention(vae)
    return vae


def _drop_mid_attention(vae: Any) -> None:
    encoder, decoder = vae.encoder.mid_block, vae.decoder.mid_block
    encoder.attentions = torch.nn.ModuleList([None] * len(encoder.attentions))  # type: ignore[list-item]
    decoder.attentions = torch.nn.ModuleList(torch.nn.Identity() for _ in decoder.attentions)


def spatial_factor(vae: AutoencoderKLTemporalDecoder) -> int:
    """Pixels per latent along each side: 2^(levels - 1)."""
    return int(2 ** (len(vae.config["block_out_channels"]) - 1))


@contextmanager
def upcast_encoder(vae: AutoencoderKLTemporalDecoder, enabled: bool = True) -> Iterator[None]:
    """Runs the encoder in float32 within the block if the VAE asks for it (`force_upcast`) and is stored in half.

    A half -> float -> half round trip is exact, so the weights afterwards are the ones before.
    """
    stored = vae.dtype
    needed = enabled and bool(vae.config["force_upcast"]) and stored in (torch.float16, torch.bfloat16)
    parts = (vae.encoder, vae.quant_conv)
    if needed:
        for part in parts:
            part.to(torch.float32)
    try:
        yield
    finally:
        if needed:
            for part in parts:
                part.to(stored)


@torch.no_grad()
def encode_mean(vae: AutoencoderKLTemporalDecoder, x_NCHW: Tensor, chunk: int = 20) -> Tensor:
    """Mean latents (N,4,H/f,W/f) of frames in [-1,1], **not** multiplied by the scaling factor.

    Frames are independent, so `chunk` bounds memory and changes no result. Computed in the encoder's dtype, on the
    VAE's device; the result is float32.
    """
    parameter = next(vae.encoder.parameters())
    pieces = []
    for piece in x_NCHW.split(chunk):
        posterior = vae.encode(piece.to(parameter.device, parameter.dtype)).latent_dist
        pieces.append(posterior.mean.float())
    return torch.cat(pieces)


@torch.no_grad()
def decode(vae: AutoencoderKLTemporalDecoder, z_NCHW: Tensor) -> Tensor:
    """Frames (N,3,H,W) float32, about [-1,1] and not clamped, of **scaled** latents, decoded as one sequence.

    The decoder's temporal layers span all N frames, so a different partition of a clip gives different frames.
    """
    z = (z_NCHW / vae.config["scaling_factor"]).to(vae.device, vae.dtype)
    return vae.decode(z, num_frames=z.shape[0]).sample.float()
