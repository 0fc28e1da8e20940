"""BFVR-STC on video of any length and size in bounded memory: overlapping windows in time, tiles in space, blended.

    out = sum_w a_w x_w / sum_w a_w,   a_w = sin^2(pi/2 min(k + 1, n - k, overlap + 1) / (overlap + 1)) along each axis

over the windows w that hold a pixel; k is its place in the window, n the window's length: where two windows meet, their
weights add up to one, and the outermost frames, which the network knows least about, count least. Ours: the released
script restores the first 24 frames alone, squashed to 512 x 512.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from svfr.diffusion.request import check_frames
from svfr.diffusion.windows import WindowFeed, check_window, linear_starts
from svfr.errors import UserError
from svfr.models.stc import VQGAN
from svfr.models.stc.autoencoder import TIME


@dataclass(frozen=True)
class WindowedSTC:
    """Restores streams of frames with one network.

    `window`: frames of a forward pass, even; the released weights know 24 only. `tile`: side in pixels of the largest
    picture that is shown to the network at once; larger ones are cut into tiles that share `tile_overlap` pixels.
    """

    network: VQGAN
    window: int
    tile: int
    tile_overlap: int = 0

    def __post_init__(self) -> None:
        space = self.network.config.space
        if self.window < TIME or self.window % TIME or self.tile < space or self.tile % space:
            raise UserError(
                f"window {self.window}, tile {self.tile}: an even window and a multiple of {space} are needed"
            )
        check_window(self.tile, self.tile_overlap)

    @torch.no_grad()
    def stream(self, pieces: Iterable[Tensor], overlap: int) -> Iterator[Tensor]:
        """Pieces (K,3,H,W) in [-1,1], in order -> restored pieces (K',3,H,W) in [-1,1], float32 on the CPU.

        Neighbouring windows share `overlap` frames. About two windows of frames are held, however long the video is.
        A clip shorter than a window is mirrored in time until it fills one. Raises `UserError` for frames out of range
        or of changing size, and for an overlap that is not below the window.
        """
        feed = WindowFeed(self.window, overlap)
        waiting, first = torch.empty(0), 0  # frames from `first` on, shown to the network by windows to come
        blend = _Blend(overlap)
        for piece in pieces:
            check_frames(piece, 1)
            if len(waiting) and piece.shape[1:] != waiting.shape[1:]:
                raise UserError(f"frames change size: {tuple(waiting.shape[2:])} to {tuple(piece.shape[2:])}")
            waiting = torch.cat([waiting, piece]) if len(waiting) else piece
            for start in feed.extend(len(piece)):
                blend.add(start, self._window(waiting[start - first : start - first + self.window]))
                waiting, first = waiting[start + 1 - first :], start + 1
                yield from blend.finished(first)
        for start in feed.close():
            blend.add(start, self._window(waiting[start - first :]))
        yield from blend.finished(feed.frames)

    def _window(self, frames_T3HW: Tensor) -> Tensor:
        """One window of frames restored, mirrored in time if it is short."""
        count = len(frames_T3HW)
        length = self.window if self._fixed_length else count + count % TIME
        turn = torch.arange(length) % max(1, 2 * count - 2)
        filled = frames_T3HW[torch.minimum(turn, (2 * count - 2 - turn).abs())]
        return self._tiles((filled.clamp(-1, 1) + 1) / 2)[:count] * 2 - 1

    @property
    def _fixed_length(self) -> bool:
        return self.network.config.legacy_residual

    def _tiles(self, frames_T3HW: Tensor) -> Tensor:
        """Frames in [0,1] restored tile by tile; sides are filled up to whole latents by repeating the border."""
        height, width = frames_T3HW.shape[2:]
        space = self.network.config.space
        padded = F.pad(frames_T3HW, (0, -width % space, 0, -height % space), mode="replicate")
        rows, columns = (linear_starts(side, self.tile, self.tile_overlap) for side in padded.shape[2:])
        total, weight = torch.zeros_like(padded), torch.zeros(padded.shape[2:])
        for y in rows:
            for x in columns:
                part = padded[:, :, y : y + self.tile, x : x + self.tile]
                restored = self.network(part.transpose(0, 1)[None].to(self.network.codebook.device)).video
                ramps = [_ramp(side, self.tile_overlap) for side in part.shape[2:]]
                alpha_HW = torch.outer(ramps[0], ramps[1])
                total[:, :, y : y + self.tile, x : x + self.tile] += alpha_HW * restored[0].transpose(0, 1).cpu()
                weight[y : y + self.tile, x : x + self.tile] += alpha_HW
        return (total / weight)[:, :, :height, :width]


class _Blend:
    """Weighted sums of the frames that overlapping windows have in common, let go when no window will touch them."""

    def __init__(self, overlap: int) -> None:
        self.overlap, self.first = overlap, 0
        self.sums: list[Tensor] = []
        self.weights: list[float] = []

    def add(self, start: int, frames_T3HW: Tensor) -> None:
        ramp = _ramp(len(frames_T3HW), self.overlap).tolist()
        for at, (frame, alpha) in enumerate(zip(frames_T3HW, ramp, strict=True), start - self.first):
            if at == len(self.sums):
                self.sums.append(torch.zeros_like(frame))
                self.weights.append(0.0)
            self.sums[at] += alpha * frame
            self.weights[at] += alpha

    def finished(self, settled: int) -> Iterator[Tensor]:
        """The frames below `settled`, as one piece."""
        count = min(settled - self.first, len(self.sums))
        if count > 0:
            pairs = zip(self.sums[:count], self.weights[:count], strict=True)
            yield torch.stack([total / weight for total, weight in pairs])
            del self.sums[:count], self.weights[:count]
            self.first += count


def _ramp(length: int, overlap: int) -> Tensor:
    """sin^2(pi/2 min(k + 1, n - k, overlap + 1) / (overlap + 1)) for k = 0..n-1; always positive."""
    k = torch.arange(length)
    inner = torch.minimum(torch.minimum(k + 1, length - k), torch.tensor(overlap + 1))
    return torch.sin(math.pi / 2 * inner / (overlap + 1)) ** 2


@torch.no_grad()
def legacy_stretch(network: VQGAN, frames_T3HW: Tensor) -> Tensor:
    """The released script's result for one clip in [-1,1]: one forward pass, then (x - min) / (max - min), in [-1,1].

    The stretch is over the whole clip, so colours depend on its darkest and brightest pixel: for comparison only.
    """
    video = network((frames_T3HW.transpose(0, 1)[None].to(network.codebook.device) + 1) / 2).video[0].cpu()
    stretched = (video - video.min()) / (video.max() - video.min()).clamp(min=1e-12)
    return stretched.transpose(0, 1) * 2 - 1
