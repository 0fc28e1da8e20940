"""Samplers with the golden tensors' weights, and smaller ones."""

from __future__ import annotations

from typing import Any

import pytest

from svfr.models.unet import build_unet
from svfr.models.vae import build_vae


@pytest.fixture(scope="session")
def golden_parts(rule: dict[str, Any], configs: Any) -> tuple[Any, Any, Any]:
    """U-Net, VAE and scheduler config of the golden pipelines."""
    unet = rule["fill"](build_unet(configs["unet"]), seed=1)
    return unet, rule["fill"](build_vae(configs["vae"]), seed=2), configs["scheduler"]


@pytest.fixture(scope="session")
def small_parts(rule: dict[str, Any], configs: Any, small_configs: dict[str, Any]) -> tuple[Any, Any, Any]:
    unet = rule["fill"](build_unet(small_configs["unet"]), seed=1)
    return unet, rule["fill"](build_vae(small_configs["vae"]), seed=2), configs["scheduler"]
