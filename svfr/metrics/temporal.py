"""Steadiness in time: flicker without optical flow, and the flow-warping error with RAFT."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.models.optical_flow import raft_large

from svfr.artifacts import sha256_file
from svfr.errors import ItemError
from svfr.metrics.base import NO_HINTS, Frames, Hints, Metric, check_pair
from svfr.models.loading import load_strict, read_state
from svfr.weights import require

RAFT_WEIGHTS = "raft_large"
_UPDATES = 12
_SIDE = 8  # RAFT's sides are multiples of it, and at least 128 px for its correlation pyramid
_LEAST = 128


def _need_two(truth: Frames, name: str) -> None:
    if len(truth) < 2:
        raise ItemError("too_short", f"{name} needs at least two frames")


class Flicker(Metric):
    """Mean over pixels and frame pairs of |(r_t+1 - r_t) - (g_t+1 - g_t)|, in 8-bit levels (ours).

    It compares change with the truth's change, so neither true motion nor a still error counts: only what flickers.
    """

    name, backend, unit, higher_is_better = "flicker", "frame-difference", "levels", False

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        _need_two(truth, self.name)
        error = np.subtract(restored, truth, dtype=np.int16)
        # (r_t+1 - r_t) - (g_t+1 - g_t) = e_t+1 - e_t  with  e = r - g
        steps = [np.abs(later - earlier).mean(dtype=np.float64) for earlier, later in pairwise(error)]
        return float(np.mean(steps))


class WarpError(Metric):
    """E_warp: mean squared difference of r_t and r_t+1 warped back along the truth's flow, values in [0,1].

    Occluded pixels are left out by forward-backward consistency (Lai et al. 2018: alpha 0.01, beta 0.5). Flow by
    torchvision's RAFT, 12 updates. Raises `WeightsMissing` if its file is absent.
    """

    name, higher_is_better = "warp_error", False

    def __init__(self, device: str = "cpu", path: Path | None = None) -> None:
        path = path or require(RAFT_WEIGHTS)
        self.backend, self.network_sha256, self.device = "raft_large-truth-flow", sha256_file(path), device
        self.net = raft_large(weights=None)
        load_strict(self.net, read_state(path), "RAFT")
        self.net.eval().to(device)

    @torch.no_grad()
    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        _need_two(truth, self.name)
        steps = [self._step(restored[i : i + 2], truth[i : i + 2]) for i in range(len(truth) - 1)]
        found = [value for value in steps if value is not None]
        if not found:
            raise ItemError("no_flow", "no pixel of the truth can be followed from one frame to the next")
        return float(np.mean(found))

    def _step(self, restored: Frames, truth: Frames) -> float | None:
        g_2CHW, r_2CHW = self._unit(truth), self._unit(restored)
        forward, backward = self._flow(g_2CHW[:1], g_2CHW[1:]), self._flow(g_2CHW[1:], g_2CHW[:1])
        visible_1HW = consistent(forward, backward)
        error_1HW = (r_2CHW[:1] - warp(r_2CHW[1:], forward)).square().mean(1)
        seen = float(visible_1HW.sum())
        return float((error_1HW * visible_1HW).sum()) / seen if seen else None

    def _unit(self, frames: Frames) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(frames)).to(self.device).permute(0, 3, 1, 2).float() / 255

    def _flow(self, a_BCHW: Tensor, b_BCHW: Tensor) -> Tensor:
        height, width = a_BCHW.shape[2:]
        pad = (0, _missing(width), 0, _missing(height))
        a, b = (F.pad(x * 2 - 1, pad, mode="replicate") for x in (a_BCHW, b_BCHW))
        return self.net(a, b, num_flow_updates=_UPDATES)[-1][..., :height, :width]


def _missing(side: int) -> int:
    return max(_LEAST, -(-side // _SIDE) * _SIDE) - side


def warp(x_BCHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """x sampled at p + flow(p), bilinear, edges repeated; flow (x,y) in pixels."""
    height, width = x_BCHW.shape[2:]
    y, x = torch.meshgrid(
        torch.arange(height, device=x_BCHW.device), torch.arange(width, device=x_BCHW.device), indexing="ij"
    )
    u = (x + flow_B2HW[:, 0]) * 2 / max(width - 1, 1) - 1
    v = (y + flow_B2HW[:, 1]) * 2 / max(height - 1, 1) - 1
    return F.grid_sample(x_BCHW, torch.stack([u, v], -1), padding_mode="border", align_corners=True)


def consistent(forward_B2HW: Tensor, backward_B2HW: Tensor) -> Tensor:
    """Mask (B,H,W): |f + b(p+f)|^2 < 0.01 (|f|^2 + |b(p+f)|^2) + 0.5, so the pixel is seen in both frames."""
    back = warp(backward_B2HW, forward_B2HW)
    gap = (forward_B2HW + back).square().sum(1)
    return (gap < 0.01 * (forward_B2HW.square().sum(1) + back.square().sum(1)) + 0.5).float()
