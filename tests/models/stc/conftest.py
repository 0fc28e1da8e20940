"""Small networks of the family, and the rule that regenerates the golden weights."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

TINY: dict[str, Any] = {"channels": 8, "embedding": 16, "codes": 32, "heads": 2, "layers": 2, "feedforward": 32}


@pytest.fixture(scope="session")
def tiny() -> dict[str, Any]:
    """Sizes of a network that runs in milliseconds; 16 latents a frame."""
    return {**TINY, "tokens": 16}


def official_values(shapes: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Every tensor from a generator of its own, seeded with the CRC-32 of its name."""
    state = {}
    for name, shape in shapes.items():
        generator = torch.Generator().manual_seed((zlib.crc32(name.encode()) ^ seed) & 0x7FFFFFFF)
        noise = torch.randn(tuple(shape), generator=generator)
        if "embedding_" in name:
            state[name] = noise
        elif name.startswith("position_emb"):
            state[name] = 0.5 * noise
        elif noise.ndim >= 2:
            state[name] = noise / math.sqrt(math.prod(shape[1:]))
        else:
            state[name] = 1 + 0.1 * noise if name.endswith("weight") else 0.1 * noise
    return state


@pytest.fixture(scope="session")
def values() -> Any:
    """`official_values(shapes, seed)`."""
    return official_values
