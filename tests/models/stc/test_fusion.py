"""The three ways in which both codes of a place become one latent."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.models.stc import build_stc
from svfr.models.stc.fusion import build_fusion
from svfr.training.stc.losses import codebook_loss


def latents(seed: int) -> torch.Tensor:
    return torch.randn(2, 5, 4, 8, 8, generator=torch.Generator().manual_seed(seed))


def test_adding_has_no_weights_and_so_the_released_names() -> None:
    add = build_fusion("add", 5)
    assert not add.state_dict()
    assert torch.equal(add(latents(0), latents(1)), latents(0) + latents(1))


def test_the_spectrum_takes_slow_changes_from_space_and_fast_ones_from_time() -> None:
    fuse = build_fusion("fft", 5)
    torch.testing.assert_close(fuse(latents(0), latents(0)), latents(0))
    constant = torch.full((1, 1, 4, 8, 8), 3.0)
    flicker = torch.tensor([1.0, -1.0, 1.0, -1.0])[None, None, :, None, None].expand(1, 1, 4, 8, 8)
    torch.testing.assert_close(fuse(constant, flicker), constant + flicker)
    torch.testing.assert_close(fuse(flicker, constant), torch.zeros_like(constant), atol=1e-6, rtol=0)


@pytest.mark.parametrize("fusion", ["add", "conv", "fft"])
def test_a_network_reconstructs_and_the_codebooks_learn(tiny: dict[str, Any], fusion: str) -> None:
    network = build_stc("stage1", **tiny, fusion=fusion)
    video = torch.rand(1, 3, 4, 32, 32, generator=torch.Generator().manual_seed(2))
    assert network(video).video.shape == video.shape
    z = network.encode(video)
    codebook_loss(z, network.quantize(z)[0], 0.25, 1.0).backward()
    learnt = {name for name, p in network.quantize.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"embedding_s.weight", "embedding_t.weight"} <= learnt
    assert ("fuse.conv.weight" in learnt) == (fusion == "conv")


def test_an_unknown_fusion_is_named() -> None:
    with pytest.raises(UserError, match="unknown fusion 'sum': choose among add, conv, fft"):
        build_stc("stage1", fusion="sum")
