"""Memory layout and compilation change nothing but rounding."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from svfr.diffusion.accelerate import accelerate
from svfr.diffusion.sampler import SVFRSampler


@pytest.mark.parametrize(
    "options",
    [{"channels_last": True}, pytest.param({"compiled": True, "backend": "eager"}, marks=pytest.mark.slow)],
    ids=["channels_last", "compiled"],
)
def test_the_same_frames(options: dict[str, Any], small_parts: Any) -> None:
    lq = torch.rand(6, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    arguments = {"task": ["bfr"], "steps": 2, "window": 4, "overlap": 1, "reference": lq[0]}
    arguments["id_tokens"] = torch.randn(49, 32, generator=torch.Generator().manual_seed(1))
    plain = copy.deepcopy(small_parts[0]).double()  # rounding of float32 differs with the processor
    faster = SVFRSampler(accelerate(copy.deepcopy(plain), **options), *small_parts[1:])(lq, **arguments)
    expected = SVFRSampler(plain, *small_parts[1:])(lq, **arguments)
    torch.testing.assert_close(faster.frames, expected.frames, atol=1e-5, rtol=0)
