"""Plan `linear`: windows without wrap, blended at every step, over a stream of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from svfr.diffusion import edm
from svfr.diffusion.decoding import OverlapDecoder
from svfr.diffusion.noise import LATENT, PIXEL, frames_noise
from svfr.diffusion.request import Restored
from svfr.diffusion.wavefront import Wavefront
from svfr.errors import UserError

Encode = Callable[[Tensor], Tensor]


def regular_chunks(pieces: Iterable[Tensor], size: int) -> Iterator[Tensor]:
    """Regroups frames (K,3,H,W) of any partition into chunks of `size`; the last may be shorter."""
    held: list[Tensor] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += len(piece)
        while count >= size:
            joined = torch.cat(held)
            yield joined[:size]
            held, count = [joined[size:]], count - size
    if count:
        yield torch.cat(held)


def padded_to_window(chunks: Iterator[Tensor], window: int) -> tuple[Iterator[Tensor], int | None]:
    """The chunks, and None; or, for a clip shorter than `window`, the clip mirrored to it, and its own length.

    The network was trained on whole windows. Mirroring in time (0 1 2 1 0 1 ...) keeps motion continuous; a single
    picture becomes a still clip. The first chunk must be at least a window long unless the clip is shorter.
    """
    first = next(chunks, None)
    if first is None:
        raise UserError("no frames: the clip is empty")
    if len(first) >= window:
        return _chain(first, chunks), None
    n = len(first)
    period = max(2 * n - 2, 1)
    phase = torch.arange(window) % period
    return iter([first[torch.where(phase < n, phase, period - phase)]]), n


def _chain(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest


class LinearRun:
    """One restoration in progress. `chunks`: frames (K,3,H,W) in [-1,1], in order."""

    def __init__(
        self,
        front: Wavefront,
        decoder: OverlapDecoder,
        encode: Encode,
        *,
        start_sigma: float,
        scaling_factor: float,
        noise_aug: float,
        seed: int,
    ) -> None:
        self._front, self._decoder, self._encode = front, decoder, encode
        self._start_sigma, self._scaling = start_sigma, scaling_factor
        self._noise_aug, self._seed = noise_aug, seed
        self._read = 0

    def __call__(self, chunks: Iterator[Tensor], on_windows: Callable[[int], None]) -> Iterator[Restored]:
        """Yields finished frames in order, each with its latents. Reads as little ahead as the wavefront allows."""
        latents: list[Tensor] = []  # denoised, their frames not yet decoded
        exhausted = False
        while True:
            if not exhausted and not self._front.full:
                chunk = next(chunks, None)
                exhausted = chunk is None
                if chunk is None:
                    self._front.close()
                else:
                    self._push(chunk)
                continue
            done = self._front.run()
            if done == 0:
                assert exhausted, "windows wait for frames that were not read"
                break
            on_windows(done)
            z_FCHW = self._front.pop()
            if z_FCHW is not None:
                latents.extend(z_FCHW.cpu())
                yield from _paired(self._decoder.push(z_FCHW), latents)
        yield from _paired(self._decoder.close(), latents)

    def _push(self, lq_FCHW: Tensor) -> None:
        """Encodes each frame once, and starts it at 0.18215 z + sigma * noise."""
        count, shape = len(lq_FCHW), lq_FCHW.shape[1:]
        z = self._encode(lq_FCHW)
        condition = z
        if self._noise_aug:
            grain = frames_noise(self._seed, self._read, count, shape, PIXEL).to(lq_FCHW)
            condition = self._encode(lq_FCHW + self._noise_aug * grain)
        noise = frames_noise(self._seed, self._read, count, z.shape[1:], LATENT).to(z)
        self._front.push(edm.add_noise(self._scaling * z, noise, self._start_sigma), condition)
        self._read += count


def _paired(frames: Tensor | None, latents: list[Tensor]) -> Iterator[Restored]:
    """Puts decoded frames together with their latents, which are taken off the front of the list."""
    if frames is not None:
        taken, latents[:] = latents[: len(frames)], latents[len(frames) :]
        yield Restored(frames, torch.stack(taken))
