"""Windows of frames: the released code's cyclic ones, and linear ones that never join end and beginning."""

from __future__ import annotations

import torch
from torch import Tensor

from svfr.errors import UserError


def check_window(window: int, overlap: int) -> None:
    """Raises `UserError` unless window >= 1 and 0 <= overlap < window."""
    if window < 1:
        raise UserError(f"window is {window} frames; at least 1 is needed")
    if not 0 <= overlap < window:
        raise UserError(f"overlap is {overlap} frames; it must be at least 0 and less than the window of {window}")


def triangular_weights(length: int) -> Tensor:
    """min(k + 1, length - k) for k = 0..length-1: 1, 2, .. , 2, 1. Always positive."""
    k = torch.arange(length)
    return torch.minimum(k + 1, length - k).float()


def cyclic_windows(n: int, window: int, overlap: int, step: int) -> list[Tensor]:
    """The released windows of denoising step `step`: frame indices (window,) each, modulo `n`.

    The first three steps overlap by `overlap`; later ones only touch. All of them move left by `overlap` per step,
    modulo the window. The end of the video is next to its beginning. With n < window, frames repeat in a window.
    """
    check_window(window, overlap)
    shift = (step * overlap) % window
    stride = window - overlap if step < 3 else window
    return [(torch.arange(window) + start - shift) % n for start in range(0, n, stride)]


def linear_starts(n: int, window: int, overlap: int) -> list[int]:
    """First frames of windows that cover 0..n-1: one every window - overlap, the last one flush with the end.

    If n < window there is one window, which starts at 0 and is n long.
    """
    feed = WindowFeed(window, overlap)
    return feed.extend(n) + feed.close()


class WindowFeed:
    """Linear windows over a sequence whose length becomes known only at its end.

    `extend` and `close` return the starts of windows that are now certain. Frames below `settled` are covered by
    certain windows only: no later window will touch them.
    """

    def __init__(self, window: int, overlap: int) -> None:
        check_window(window, overlap)
        self.window = window
        self.stride = window - overlap
        self.frames = 0
        self.settled = 0
        self._next = 0  # start of the next regular window
        self._end = 0  # one past the last frame that a certain window covers

    def extend(self, count: int) -> list[int]:
        """Adds `count` frames at the end."""
        self.frames += count
        starts = []
        while self._next + self.window <= self.frames:
            starts.append(self._next)
            # a window flush with the end would start after this one, so frames up to its first are settled
            self.settled = self._next + 1
            self._end = self._next + self.window
            self._next += self.stride
        return starts

    def close(self) -> list[int]:
        """Declares the end; the last window may then be flush with it."""
        self.settled = self.frames
        if self._end >= self.frames:
            return []
        self._end = self.frames
        return [max(0, self.frames - self.window)]
