"""Joint denoising of a sequence of any length in bounded memory.

The linear plan blends overlapping windows at every step, so a window's step i needs step i-1 of its neighbours only.
Computing windows along this front, instead of step by step over the whole video, gives exactly the same numbers with
about `steps` windows of latents in flight, times the number of later windows that each overlaps: earlier ones are
finished and gone, later ones not yet read.

    window   0  1  2  3  4  5       3 steps: when window 0 is done,
    steps    3  2  1  0  .  .       windows 4, 5, ... need not have been read
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from svfr.diffusion.denoiser import Denoiser
from svfr.diffusion.solvers import Solver
from svfr.diffusion.windows import WindowFeed, triangular_weights
from svfr.models.deep_cache import DeepFeatures


@dataclass(slots=True)
class _Frame:
    """Latents (4,h,w) of one frame in flight."""

    x: Tensor  # noisy, at noise level `level`
    lq: Tensor
    level: int = 0  # steps done
    covers: int = 0  # certain windows that hold this frame
    votes: int = 0  # windows that have done this frame's current step
    v: Tensor | None = None  # sum of weight * v over those windows
    weight: float = 0.0
    memory: Tensor | None = None  # of the solver


@dataclass(slots=True)
class _Window:
    start: int
    level: int = 0
    deep: DeepFeatures = field(default_factory=DeepFeatures)


class Wavefront:
    """Frames are pushed in order at the noisy end and popped in order, denoised, at the other."""

    def __init__(
        self,
        denoiser: Denoiser,
        solver: Solver,
        sigmas: Tensor,
        scales: Tensor,
        *,
        window: int,
        overlap: int,
        window_batch: int = 1,
        deep_every: int = 1,
    ) -> None:
        self._denoiser, self._solver = denoiser, solver
        self._sigmas, self._scales = sigmas, scales
        self._levels: list[float] = sigmas.tolist()
        self._steps = len(self._levels) - 1
        self._batch, self._deep_every = window_batch, deep_every
        self._feed = WindowFeed(window, overlap)
        self._weights = triangular_weights(window).tolist()
        self._frames: dict[int, _Frame] = {}
        self._windows: deque[_Window] = deque()  # those with steps left, in order
        self._popped = 0
        # a window's step waits for that of the windows it overlaps: a step reaches that many windows on
        reach = -(-window // (window - overlap)) - 1
        self.limit = self._steps * max(reach, 1) + 4 * window_batch

    @property
    def full(self) -> bool:
        """Whether enough windows are in flight to finish the first, and to fill batches, without reading on."""
        return len(self._windows) >= self.limit

    def push(self, x_FCHW: Tensor, lq_FCHW: Tensor) -> None:
        """Appends noisy latents and low-quality latents (F,4,h,w) of the next frames."""
        for x, lq in zip(x_FCHW, lq_FCHW, strict=True):
            self._frames[self._popped + len(self._frames)] = _Frame(x, lq)
        self._admit(self._feed.extend(len(x_FCHW)))

    def close(self) -> None:
        """No more frames will come. At least one window's worth must have been pushed."""
        self._admit(self._feed.close())

    def run(self) -> int:
        """Advances up to `window_batch` windows by one step in one network call; returns how many, 0 if none can."""
        ready = sorted((w for w in self._windows if self._ready(w)), key=lambda w: (w.level, w.start))
        if not ready:
            return 0
        reuse = self._reuses(ready[0])
        group = [w for w in ready if self._reuses(w) == reuse][: self._batch]
        steps = torch.tensor([w.level for w in group])
        x = torch.stack([torch.stack([frame.x for frame in self._members(w)]) for w in group])
        lq = torch.stack([torch.stack([frame.lq for frame in self._members(w)]) for w in group])
        caching: dict[str, Any] = {"memory": [w.deep for w in group], "reuse": reuse} if self._deep_every > 1 else {}
        v_BFCHW = self._denoiser(x, lq, self._sigmas[steps], self._scales[steps], **caching)
        for window, v_FCHW in zip(group, v_BFCHW, strict=True):
            window.level += 1
            for frame, v, weight in zip(self._members(window), v_FCHW, self._weights, strict=True):
                frame.v = weight * v if frame.v is None else frame.v + weight * v
                frame.weight += weight
                frame.votes += 1
            self._step(range(window.start, window.start + self._feed.window))
        while self._windows and self._windows[0].level == self._steps:
            self._windows.popleft()
        return len(group)

    def pop(self) -> Tensor | None:
        """Denoised latents (K,4,h,w) of the next K finished frames, or None."""
        finished = []
        while (frame := self._frames.get(self._popped)) is not None and frame.level == self._steps:
            finished.append(self._frames.pop(self._popped).x)
            self._popped += 1
        return torch.stack(finished) if finished else None

    def _admit(self, starts: list[int]) -> None:
        for start in starts:
            self._windows.append(_Window(start))
            for frame in self._members(self._windows[-1]):
                frame.covers += 1
        self._step(range(self._popped, self._feed.settled))

    def _members(self, window: _Window) -> list[_Frame]:
        return [self._frames[f] for f in range(window.start, window.start + self._feed.window)]

    def _reuses(self, window: _Window) -> bool:
        return window.level % self._deep_every != 0

    def _ready(self, window: _Window) -> bool:
        return window.level < self._steps and all(frame.level == window.level for frame in self._members(window))

    def _step(self, indices: range) -> None:
        """Takes the solver's step for those frames whose windows, all of them known, have all voted."""
        for index in indices:
            frame = self._frames[index]
            if index >= self._feed.settled or frame.v is None or frame.votes < frame.covers:
                continue
            v = frame.v / frame.weight
            frame.x, frame.memory = self._solver(frame.x, v, self._levels, frame.level, frame.memory)
            frame.level, frame.votes, frame.v, frame.weight = frame.level + 1, 0, None, 0.0
