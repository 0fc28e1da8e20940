"""Small networks that begin as the identity, so that a few minutes of training are spent on restoring alone (ours).

Every residual branch starts at zero, so what enters a network leaves its last block unchanged. The last layers,
GroupNorm -> SiLU -> convolution, are made linear by the choice of their weights. Two channels of every group carry the
constants +K and -K, and every quantity x travels as a pair +x, -x: the group's mean is 0 and its deviation near
K sqrt(2/n) (n channels a group), which the norm's gain undoes. SiLU(x) - SiLU(-x) = x, so a convolution that takes
the difference of a pair returns x. Training may change all of it.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import nn

from svfr.errors import UserError

_EXACT = 16.0  # K of a network that stays as it is
_TRAINED = 4.0  # K of one that is trained: less exact, but the weights that see K are less touchy
_RGB = 3


Pairs = list[tuple[int, int]]


@torch.no_grad()
def start_vae(vae: Any) -> None:
    """Makes a one-level VAE of `build_vae` an identity: latents (4) = red, green, blue and their mean.

    Raises `UserError` for a VAE that changes the size: its decoder cannot be the identity.
    """
    if len(vae.config["block_out_channels"]) != 1:
        raise UserError("a small VAE that starts as the identity has one level (block_out_channels of one entry)")
    _silence_branches(vae)
    encoder, decoder = vae.encoder, vae.decoder
    for layer in (encoder.conv_in, decoder.conv_in):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    pairs = _open_end(encoder.conv_norm_out, encoder.conv_in, _RGB, _EXACT)
    _feed(encoder.conv_in, pairs, torch.eye(_RGB))
    _read(encoder.conv_out, pairs, torch.cat([torch.eye(_RGB), torch.full((1, _RGB), 1 / _RGB), torch.zeros(4, _RGB)]))
    nn.init.dirac_(vae.quant_conv.weight)
    nn.init.zeros_(vae.quant_conv.bias)
    pairs = _open_end(decoder.conv_norm_out, decoder.conv_in, _RGB, _EXACT)
    _feed(decoder.conv_in, pairs, torch.eye(_RGB, 4))
    _read(decoder.conv_out, pairs, torch.eye(_RGB))
    nn.init.dirac_(decoder.time_conv_out.weight)
    nn.init.zeros_(decoder.time_conv_out.bias)


@torch.no_grad()
def start_unet(unet: Any, scale: float) -> None:
    """Makes a U-Net of `build_unet` return v = -scale z_lq: at high noise, where x0 = -v, it restores nothing yet.

    `scale` is the VAE's scaling factor, by which a clean latent differs from the unscaled z_lq among the inputs.
    """
    _silence_branches(unet)
    conv_in = unet.conv_in
    width = conv_in.out_channels
    merge = unet.up_blocks[-1].resnets[-1].spatial_res_block.conv_shortcut
    pairs = _open_end(unet.conv_norm_out, merge, 4, _TRAINED)
    nn.init.zeros_(conv_in.weight[:, :4])  # noise and reference are taken up as training finds a use for them
    nn.init.zeros_(conv_in.weight[:, 8:])
    _feed(conv_in, pairs, torch.eye(4), first=4)  # inputs 4..7 are z_lq
    positive = [plus for plus, _ in pairs]
    # the first skip connection is the last part of the concatenation
    _feed(merge, pairs, torch.eye(width)[positive], first=merge.in_channels - width)
    _read(unet.conv_out, pairs, -scale * torch.eye(4))


def _silence_branches(network: nn.Module) -> None:
    """Zeroes the last layer of every residual block and of every transformer."""
    for name, module in network.named_modules():
        if name.endswith((".conv2", ".proj_out", ".to_out.0")):
            nn.init.zeros_(module.weight)  # type: ignore[arg-type]
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _open_end(norm: nn.GroupNorm, source: nn.Conv2d, count: int, constant: float) -> Pairs:
    """Linearises `norm` with constants that `source`, the last layer before it, supplies; returns `count` pairs."""
    size = norm.num_channels // norm.num_groups
    if size < 4 or size % 2:
        raise UserError(f"norm_groups leaves {size} channels a group: to start as the identity 4, 6, 8, ... are needed")
    for start in range(0, norm.num_channels, size):
        nn.init.zeros_(source.weight[start : start + 2])
        source.bias[start], source.bias[start + 1] = constant, -constant  # type: ignore[index]
    norm.weight.fill_(constant * (2 / size) ** 0.5)
    nn.init.zeros_(norm.bias)
    free = (channel for channel in range(0, norm.num_channels, 2) if channel % size)
    return [(channel, channel + 1) for channel in islice(free, count)]


def _feed(layer: nn.Conv2d, pairs: Pairs, matrix: torch.Tensor, first: int = 0) -> None:
    """Pair i becomes +- row i of `matrix` (len(pairs), n) times the input channels `first` .. `first` + n - 1."""
    middle = layer.kernel_size[0] // 2
    for sign, channels in zip((1.0, -1.0), zip(*pairs, strict=True), strict=True):
        chosen = list(channels)
        layer.weight[chosen] = 0.0
        layer.weight[chosen, first : first + matrix.shape[1], middle, middle] = sign * matrix.to(layer.weight)
        layer.bias[chosen] = 0.0  # type: ignore[index]


def _read(layer: nn.Conv2d, pairs: Pairs, matrix: torch.Tensor) -> None:
    """The output becomes `matrix` (out, len(pairs)) times the quantities that the pairs carry."""
    middle = layer.kernel_size[0] // 2
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    for sign, channels in zip((1.0, -1.0), zip(*pairs, strict=True), strict=True):
        layer.weight[:, list(channels), middle, middle] = sign * matrix.to(layer.weight)
