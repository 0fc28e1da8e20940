"""Decoding latents to frames: the released partition, and overlapping chunks without seams."""

from __future__ import annotations

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from torch import Tensor

from svfr.diffusion.windows import WindowFeed, triangular_weights
from svfr.models.vae import decode


def decode_official(vae: AutoencoderKLTemporalDecoder, z_NCHW: Tensor, chunk: int) -> Tensor:
    """Frames (N,3,H,W) of scaled latents in chunks that only touch, as the released code does; on the CPU."""
    return torch.cat([decode(vae, piece).cpu() for piece in z_NCHW.split(chunk)])


class OverlapDecoder:
    """Decodes a sequence of any length in overlapping chunks, cross-faded with triangular weights.

    The decoder's temporal layers see only one chunk, which shows as a jump between chunks that merely touch; over
    the overlap the two versions are blended instead. The result does not depend on how latents are pushed.
    """

    def __init__(self, vae: AutoencoderKLTemporalDecoder, chunk: int, overlap: int) -> None:
        self._vae = vae
        self._feed = WindowFeed(chunk, overlap)
        self._latents: dict[int, Tensor] = {}  # still needed by a coming chunk
        self._sums: dict[int, tuple[Tensor, float]] = {}  # decoded, not yet emitted: (weighted sum, weight)
        self._emitted = 0

    def push(self, z_FCHW: Tensor) -> Tensor | None:
        """Appends scaled latents (F,4,h,w); returns the next finished frames (K,3,H,W) on the CPU, or None."""
        for z in z_FCHW:
            self._latents[self._feed.frames] = z
            self._decode(self._feed.extend(1))
        return self._emit()

    def close(self) -> Tensor | None:
        """Declares the end; returns the remaining frames, or None."""
        self._decode(self._feed.close())
        return self._emit()

    def _decode(self, starts: list[int]) -> None:
        for start in starts:
            indices = range(start, min(start + self._feed.window, self._feed.frames))
            frames = decode(self._vae, torch.stack([self._latents[i] for i in indices])).cpu()
            for index, frame, weight in zip(indices, frames, triangular_weights(len(indices)).tolist(), strict=True):
                total, weights = self._sums.get(index, (0.0, 0.0))
                self._sums[index] = (total + weight * frame, weights + weight)
        # the last chunk may reach back a whole chunk from the end
        for index in [i for i in self._latents if i < self._feed.frames - self._feed.window]:
            del self._latents[index]

    def _emit(self) -> Tensor | None:
        finished = []
        while self._emitted < self._feed.settled and self._emitted in self._sums:
            total, weight = self._sums.pop(self._emitted)
            finished.append(total / weight)
            self._emitted += 1
        return torch.stack(finished) if finished else None
