"""Classifier-free guidance: how strongly reference and identity pull, at every step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from svfr.errors import UserError


def check_guidance(guidance: object) -> None:
    """Raises `UserError` unless `guidance` is two finite numbers."""
    pair = isinstance(guidance, Sequence) and len(guidance) == 2 and all(isinstance(g, Real) for g in guidance)
    if not pair or not all(math.isfinite(g) for g in guidance):  # type: ignore[attr-defined]
        raise UserError(f"guidance is {guidance!r}; two finite numbers (first step, last step) are needed")


def guidance_scales(guidance: tuple[float, float], steps: int) -> Tensor:
    """Scales (steps,), linear from the first to the second value over the steps (not over frames)."""
    check_guidance(guidance)
    return torch.linspace(float(guidance[0]), float(guidance[1]), steps)


def within_interval(scales: Tensor, sigmas: Tensor, interval: tuple[float, float] | None) -> Tensor:
    """`scales` (S,) where sigma (S,) lies in the closed interval and 1 (no guidance) elsewhere; None: everywhere.

    Kynkaanniemi et al. 2024, "Applying guidance in a limited interval". Not the released model's behaviour.
    """
    if interval is None:
        return scales
    low, high = interval
    if not 0 <= low < high:
        raise UserError(f"guidance interval is {interval}; two noise levels low < high are needed")
    return torch.where((sigmas >= low) & (sigmas <= high), scales, torch.ones_like(scales))


def combine(v_uncond: Tensor, v_cond: Tensor, scale: Tensor) -> Tensor:
    """v = v_u + g (v_c - v_u), with g (B,) for v (B,...)."""
    g = scale.to(v_cond).view(-1, *[1] * (v_cond.ndim - 1))
    return v_uncond + g * (v_cond - v_uncond)
