"""Identity branch: golden path, depth read off the state dict, refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.faces.identity_crop import crop_aligned
from svfr.models.identity import IdentityEncoder, IdentityProjection
from svfr.models.iresnet import IResNet


@torch.no_grad()
def test_path_matches_the_released_code(rule: dict[str, Any]) -> None:
    golden = rule["tensors"]("id_path")
    network = IResNet((2, 2, 2, 2))
    picture = rule["fill_iresnet"](network)
    projection = rule["fill"](IdentityProjection(512, 1024), seed=3)
    encoder = IdentityEncoder.from_official(network.state_dict(), projection.state_dict())

    crop = crop_aligned(picture, "official")
    torch.testing.assert_close(crop, golden["crop112"], atol=1e-6, rtol=0)
    torch.testing.assert_close(encoder.arcface.feature_map(crop)[:, ::8], golden["fmap"], atol=1e-4, rtol=0)
    torch.testing.assert_close(encoder.arcface(crop), golden["embedding"], atol=1e-4, rtol=0)
    tokens = encoder(crop)
    assert tokens.shape == (1, 49, 1024)
    torch.testing.assert_close(tokens[:, ::7], golden["tokens"], atol=1e-4, rtol=0)


def test_depth_and_dtype_come_from_the_state() -> None:
    state = {key: value.half() for key, value in IResNet((1, 2, 3, 1)).state_dict().items()}
    network = IResNet.from_official(state)
    assert [len(network.get_submodule(f"layer{i}")) for i in (1, 2, 3, 4)] == [1, 2, 3, 1]
    assert network.conv1.weight.dtype == torch.float32
    assert not network.training


def test_projection_works_alone_on_any_feature_map() -> None:
    projection = IdentityProjection(128, 32)
    assert projection(torch.randn(2, 128, 7, 7)).shape == (2, 49, 32)
    with pytest.raises(UserError, match="128"):
        projection(torch.randn(2, 64, 7, 7))


def test_foreign_or_damaged_states_are_refused() -> None:
    state = IResNet((1, 1, 1, 1)).state_dict()
    with pytest.raises(UserError, match="another network"):
        IResNet.from_official({"fc.weight": torch.zeros(512, 25088)})
    with pytest.raises(UserError, match="NaN"):
        IResNet.from_official({**state, "conv1.weight": torch.full((64, 3, 3, 3), torch.nan)})
    with pytest.raises(UserError, match="unknown"):
        IResNet.from_official({**state, "head.weight": torch.zeros(1)})
    with pytest.raises(UserError, match="112"):
        IResNet.from_official(state)(torch.zeros(1, 3, 100, 112))
    with pytest.raises(UserError, match="project1024"):
        IdentityProjection.from_state({})
