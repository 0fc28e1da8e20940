"""The two heads that read the mid-block in training."""

from __future__ import annotations

import torch

from svfr.models.identity_map import embedding_map
from svfr.models.landmark_head import LandmarkHead
from svfr.models.latent_transformer import LatentTransformer


def test_latent_transformer_gives_one_vector_per_clip() -> None:
    torch.manual_seed(0)
    head = LatentTransformer(32, dim=16, depth=2)
    out = head(torch.randn(3, 5, 32, 4, 6))
    assert out.shape == (3, 16)
    assert out.dtype == torch.float32


def test_latent_transformer_reads_every_position() -> None:
    torch.manual_seed(0)
    head, x = LatentTransformer(8, dim=8, depth=1), torch.randn(1, 2, 8, 3, 3, requires_grad=True)
    head(x)[0, 0].backward()
    assert x.grad is not None
    assert bool((x.grad.abs().amax(2) > 0).all())


def test_landmark_head_starts_at_the_mean_face_and_has_five_layers() -> None:
    torch.manual_seed(0)
    shape = torch.linspace(0.2, 0.8, 136)
    head = LandmarkHead(24, shape)
    out = head(torch.randn(2, 3, 24, 4, 4))
    assert out.shape == (2, 3, 136)
    assert float((out - shape).abs().max()) < 0.05
    assert sum(isinstance(layer, torch.nn.Linear) for layer in head.mlp) == 5


def test_embedding_map_repeats_the_unit_vector() -> None:
    fmap = embedding_map(torch.tensor([3.0, 4.0]))
    assert fmap.shape == (2, 7, 7)
    torch.testing.assert_close(fmap[:, 6, 2], torch.tensor([0.6, 0.8]))
