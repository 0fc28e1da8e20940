"""What a sampling call is given and what it returns, checked before any work is done."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real

import torch
from torch import Tensor

from svfr.diffusion.guidance import check_guidance
from svfr.diffusion.windows import check_window
from svfr.errors import UserError
from svfr.models.task import task_vector

LQ_TOLERANCE = 0.01
REFERENCE_LIMIT = 10.0  # a reference may be a decoder's own output, which is not clamped
PLANS = ("linear", "official")


@dataclass(frozen=True)
class Restored:
    """`frames` (N,3,H,W) float32, about [-1,1] and not clamped; `latents` (N,4,h,w) float32, scaled. On the CPU."""

    frames: Tensor
    latents: Tensor


@dataclass(frozen=True)
class Settings:
    """Everything about a call but its pixels; meanings in `SVFRSampler.__call__`."""

    task: Tensor
    steps: int
    guidance: tuple[float, float]
    window: int
    overlap: int
    strength: float
    noise_aug: float
    decode_chunk: int

    @classmethod
    def checked(
        cls,
        task: Iterable[str],
        steps: int,
        guidance: tuple[float, float],
        window: int,
        overlap: int,
        strength: float,
        noise_aug: float,
        decode_chunk: int,
    ) -> Settings:
        """Raises `UserError` for an unknown task, or a number of the wrong kind or out of its range."""
        counts = {"steps": steps, "window": window, "overlap": overlap, "decode_chunk": decode_chunk}
        for name, count in counts.items():
            if not isinstance(count, Integral):
                raise UserError(f"{name} is {count!r}; a whole number is needed")
        for name, number in (("strength", strength), ("noise_aug", noise_aug)):
            if not isinstance(number, Real):
                raise UserError(f"{name} is {number!r}; a number is needed")
        check_guidance(guidance)
        check_window(window, overlap)
        if decode_chunk < 1:
            raise UserError(f"decode_chunk is {decode_chunk} frames; at least 1 is needed")
        if not 0 <= noise_aug < math.inf:
            raise UserError(f"noise_aug is {noise_aug}; a number of at least 0 is needed")
        return cls(task_vector(task), steps, guidance, window, overlap, strength, noise_aug, decode_chunk)


def check_seed(seed: object, plan: str) -> None:
    """Raises `UserError` unless the seed is a whole number of at most 64 bits or, for plan `official`, a generator."""
    if isinstance(seed, torch.Generator):
        if plan != "official":
            raise UserError("plan 'linear' takes an integer seed: its noise belongs to frames, not to a sequence")
    elif not isinstance(seed, Integral) or not -(2**63) <= int(seed) < 2**64:
        raise UserError(f"seed is {seed!r}; a whole number of at most 64 bits is needed")


def check_frames(lq_NCHW: Tensor, factor: int) -> None:
    """Raises `UserError` unless frames are float (N>=1,3,H,W), sides multiples of `factor`, within [-1,1]."""
    if not isinstance(lq_NCHW, Tensor) or not lq_NCHW.is_floating_point():
        raise UserError("frames must be a floating point tensor in [-1, 1]; for uint8 pixels use x / 127.5 - 1")
    if lq_NCHW.ndim != 4 or lq_NCHW.shape[1] != 3 or lq_NCHW.shape[0] < 1:
        raise UserError(f"frames have shape {tuple(lq_NCHW.shape)}; (N, 3, H, W) with N >= 1 is needed")
    height, width = lq_NCHW.shape[2:]
    if min(height, width) < factor or height % factor or width % factor:
        raise UserError(f"frames are {width} x {height} pixels; both sides must be multiples of {factor}")
    _check_range(lq_NCHW, 1 + LQ_TOLERANCE, f"frames must lie in [-1, 1] (tolerance {LQ_TOLERANCE})")


def check_reference(reference_CHW: Tensor, size: tuple[int, int]) -> None:
    """Raises `UserError` unless the reference is a float (3,H,W) of the frames' size and about [-1,1]."""
    if not isinstance(reference_CHW, Tensor) or not reference_CHW.is_floating_point():
        raise UserError("reference must be a floating point tensor in [-1, 1]; for uint8 pixels use x / 127.5 - 1")
    if tuple(reference_CHW.shape) != (3, *size):
        raise UserError(f"reference has shape {tuple(reference_CHW.shape)}; (3, {size[0]}, {size[1]}) is needed")
    _check_range(reference_CHW, REFERENCE_LIMIT, f"reference must lie in about [-1, 1] (limit {REFERENCE_LIMIT:g})")


def check_tokens(tokens_LD: Tensor, dim: int) -> None:
    """Raises `UserError` unless identity tokens are finite floats (L,dim)."""
    if not isinstance(tokens_LD, Tensor) or not tokens_LD.is_floating_point():
        raise UserError("id_tokens must be a floating point tensor")
    if tokens_LD.ndim != 2 or tokens_LD.shape[0] < 1 or tokens_LD.shape[1] != dim:
        raise UserError(f"id_tokens have shape {tuple(tokens_LD.shape)}; (L, {dim}) is needed, L = 49 as released")
    if not bool(torch.isfinite(tokens_LD).all()):
        raise UserError("id_tokens hold NaN or infinity")


def _check_range(x: Tensor, limit: float, rule: str) -> None:
    low, high = float(x.min()), float(x.max())
    if not (low >= -limit and high <= limit):  # also catches NaN
        raise UserError(f"{rule}; found {low:.4g} to {high:.4g}")
