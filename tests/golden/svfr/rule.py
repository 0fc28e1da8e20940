"""Regenerates the weights that the golden tensors were made with, and reads the golden files.

Loaded with `runpy` by the conftest files. The tensors come from the released code on CPU in float32 with these weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

FOLDER = Path(__file__).parent


def fill(module: nn.Module, seed: int) -> nn.Module:
    """Parameters in sorted name order from one generator; seeds: U-Net 1, VAE 2, identity projection 3."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(module.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("mix_factor"):
                value = noise
            elif "norm" in name and name.endswith("weight"):
                value = 1 + 0.1 * noise
            elif name.endswith("bias"):
                value = 0.05 * noise
            elif parameter.ndim > 1:
                value = noise / parameter[0].numel() ** 0.5
            else:
                value = 0.1 * noise
            parameter.copy_(value)
    return module.eval()


def fill_iresnet(network: nn.Module, seed: int = 4) -> Tensor:
    """Fills an iResNet in place and returns the golden picture (1,3,512,512) that the same generator draws next."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            noise = torch.randn(parameter.shape, generator=generator)
            scaled = noise / parameter[0].numel() ** 0.5 if parameter.ndim > 1 else 0.1 * noise
            parameter.copy_(scaled + float(parameter.ndim == 1 and name.endswith("weight")))
        for name, buffer in sorted(network.named_buffers()):
            if name.endswith("running_mean"):
                buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
            elif name.endswith("running_var"):
                buffer.copy_(1 + 0.2 * torch.rand(buffer.shape, generator=generator))
    network.eval()
    return 2 * torch.rand(1, 3, 512, 512, generator=generator) - 1


def tensors(name: str) -> dict[str, Tensor]:
    return load_file(FOLDER / f"{name}.safetensors")


def record(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())
