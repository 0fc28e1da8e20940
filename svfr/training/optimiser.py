"""AdamW and its learning rate, which is a function of the step alone."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from svfr.params import RunParams, TrainParams


def build_optimiser(model: nn.Module, params: TrainParams) -> torch.optim.AdamW:
    """Fused AdamW; weight decay on matrices and kernels only, not on norms, biases and blending factors."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim >= 2], "weight_decay": params.weight_decay},
        {"params": [p for p in trained if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=params.lr, fused=True)


def learning_rate(step: int, params: RunParams) -> float:
    """The rate of optimiser step `step` (from 0): linear warm-up, then constant or a cosine that ends at 0."""
    if step < params.warmup:
        return params.lr * (step + 1) / params.warmup
    if params.lr_decay == "constant":
        return params.lr
    # lr/2 (1 + cos(pi t)), t in [0,1) over the steps after the warm-up
    progress = (step - params.warmup) / max(1, params.steps - params.warmup)
    return params.lr * 0.5 * (1 + math.cos(math.pi * progress))


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Sets the rate of every parameter group."""
    for group in optimiser.param_groups:
        group["lr"] = rate


def moments(optimiser: torch.optim.Optimizer, parameter: nn.Parameter) -> dict[str, Tensor]:
    """The two running moments of a parameter; zeros before its first step, as AdamW starts."""
    state = optimiser.state[parameter]
    if not state:
        state["step"] = torch.zeros((), device=parameter.device)
        state |= {name: torch.zeros_like(parameter, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
    return {name: state[name] for name in ("exp_avg", "exp_avg_sq")}


def set_steps(optimiser: torch.optim.Optimizer, steps: int) -> None:
    """Sets the number of steps that every parameter has seen, on which AdamW's bias correction depends."""
    for state in optimiser.state.values():
        state["step"].fill_(steps)
