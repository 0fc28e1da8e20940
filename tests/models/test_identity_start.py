"""Small networks that start as the identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.models.identity_start import start_unet, start_vae
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae
from svfr.params import BaseParams, load_params

SCALE = 1.8


@pytest.fixture(scope="module")
def base() -> BaseParams:
    return load_params(Path(__file__).parents[2] / "params.yaml").base


@pytest.fixture(scope="module")
def unet(base: BaseParams) -> Any:
    torch.manual_seed(0)
    network = build_unet(base.unet)
    start_unet(network, SCALE)
    return network


def _inputs(frames: int = 3, side: int = 16) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    x_BFCHW = torch.rand(2, frames, 12, side, side) * 2 - 1  # latents are colours
    return x_BFCHW, torch.randn(2, 49, 64), torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])


def test_the_vae_is_the_identity_and_its_latents_are_colours(base: BaseParams) -> None:
    torch.manual_seed(0)
    vae = build_vae(base.vae)
    start_vae(vae)
    x_BCHW = torch.rand(4, 3, 32, 32) * 2 - 1
    x_BCHW[0] = torch.linspace(-1, 1, 32)  # flat and smooth pictures keep their level too
    x_BCHW[1] = 0.9
    with torch.no_grad():
        z_BCHW = vae.encode(x_BCHW).latent_dist.mode()
        y_BCHW = vae.decode(z_BCHW, num_frames=4).sample
    expected = torch.cat([x_BCHW, x_BCHW.mean(1, keepdim=True)], 1)
    assert (z_BCHW - expected).abs().max() < 0.01
    assert (y_BCHW - x_BCHW).abs().max() < 0.01


@pytest.mark.parametrize("timestep", [-1.0, 0.5, 1.6])
def test_the_unet_returns_minus_the_scaled_degraded_latent(unet: Any, timestep: float) -> None:
    x_BFCHW, tokens, bits = _inputs()
    with torch.no_grad():
        v_BFCHW = unet(x_BFCHW, timestep, tokens, added_time_ids=bits).sample
    wanted = -SCALE * x_BFCHW[:, :, 4:8]
    error = (v_BFCHW - wanted).abs()
    assert float(error.mean() / wanted.abs().mean()) < 0.05
    # noise, reference, tokens and task bits have no part in it yet
    x_BFCHW[:, :, :4], x_BFCHW[:, :, 8:] = 3.0, -3.0
    with torch.no_grad():
        other = unet(x_BFCHW, 0.1, tokens * 0, added_time_ids=bits * 0).sample
    torch.testing.assert_close(other, v_BFCHW)


def test_training_reaches_every_input_and_lowers_the_loss(base: BaseParams) -> None:
    torch.manual_seed(0)
    unet = build_unet(base.unet)
    start_unet(unet, SCALE)
    x_BFCHW, tokens, bits = _inputs()
    target = -SCALE * x_BFCHW[:, :, 8:]  # to be read from the reference, of which the start takes no notice
    optimiser = torch.optim.Adam(unet.parameters(), 2e-3)
    losses = []
    for _ in range(8):
        loss = (unet(x_BFCHW, 0.3, tokens, added_time_ids=bits).sample - target).square().mean()
        optimiser.zero_grad()
        loss.backward()
        losses.append(float(loss.detach()))
        optimiser.step()
    gradient = unet.conv_in.weight.grad
    assert all(float(gradient[:, part].abs().max()) > 0 for part in (slice(0, 4), slice(4, 8), slice(8, 12)))
    assert losses[-1] < 0.8 * losses[0]


def test_what_cannot_start_as_the_identity_is_refused(base: BaseParams) -> None:
    two = {
        **base.vae,
        "block_out_channels": [32, 32],
        "down_block_types": ["DownEncoderBlock2D"] * 2,
    }
    with pytest.raises(UserError, match="has one level"):
        start_vae(build_vae(two))
    with pytest.raises(UserError, match="norm_groups leaves 2 channels a group"):
        start_vae(build_vae({**base.vae, "norm_groups": 16}))
    for groups in (0, 5):
        with pytest.raises(UserError, match=f"norm_groups {groups} does not divide a width of 32 channels"):
            build_vae({**base.vae, "norm_groups": groups})
