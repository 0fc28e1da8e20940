"""Fixtures every test may use."""

from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden tensors that ship with the tests."""
    return GOLDEN


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real clips and golden tensors beside the checkout; the test skips where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("the folder of real clips is not beside this checkout")
    return folder


@pytest.fixture(scope="session")
def rule() -> dict[str, Any]:
    """The names of tests/golden/svfr/rule.py: fill, fill_iresnet, tensors, record."""
    return runpy.run_path(str(GOLDEN / "svfr" / "rule.py"))


@pytest.fixture(scope="session")
def configs(rule: dict[str, Any]) -> Any:
    return rule["record"]("configs")


@pytest.fixture(scope="session")
def small_configs() -> dict[str, Any]:
    """The smallest networks of the family: two levels, one pixel factor of two."""
    return {
        "unet": {
            "down_block_types": ["CrossAttnDownBlockSpatioTemporal", "DownBlockSpatioTemporal"],
            "up_block_types": ["UpBlockSpatioTemporal", "CrossAttnUpBlockSpatioTemporal"],
            "block_out_channels": [32, 32],
            "addition_time_embed_dim": 32,
            "projection_class_embeddings_input_dim": 96,
            "layers_per_block": 1,
            "cross_attention_dim": 32,
            "num_attention_heads": [2, 2],
        },
        "vae": {
            "block_out_channels": [32, 32],
            "down_block_types": ["DownEncoderBlock2D"] * 2,
            "layers_per_block": 1,
            "scaling_factor": 0.18215,
        },
    }
