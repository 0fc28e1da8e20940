"""The SVFR sampler: low-quality frames in, restored frames out, by one of two plans.

`official` gives the released code's numbers, defects included: cyclic windows that join end and beginning, overlap in
the first three steps only, a visible seam between decoded chunks. `linear` removes them: windows never wrap, overlap
is blended at every step, chunks are cross-faded, noise belongs to a frame, and memory does not grow with length.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from torch import Tensor

from svfr.diffusion.decoding import OverlapDecoder, decode_official
from svfr.diffusion.denoiser import Conditioning, Denoiser
from svfr.diffusion.guidance import guidance_scales, within_interval
from svfr.diffusion.linear import LinearRun, padded_to_window, regular_chunks
from svfr.diffusion.official import denoise_official
from svfr.diffusion.request import (
    PLANS,
    Restored,
    Settings,
    check_frames,
    check_reference,
    check_seed,
    check_tokens,
)
from svfr.diffusion.schedule import KarrasSchedule
from svfr.diffusion.shortcuts import Shortcuts
from svfr.diffusion.solvers import solver_named
from svfr.diffusion.wavefront import Wavefront
from svfr.diffusion.windows import cyclic_windows, linear_starts
from svfr.errors import UserError
from svfr.models.unet import IN_CHANNELS
from svfr.models.vae import encode_mean, spatial_factor, upcast_encoder

Progress = Callable[[int, int | None], None]
ENCODE_CHUNK = 20  # frames encoded at a time


class SVFRSampler:
    """Restores clips with a U-Net and a VAE, on the device and in the dtype they are in.

    `scheduler_config`: a diffusers scheduler config (`sigma_min`, `sigma_max`; Karras, v-prediction).
    `optimise=False` does all the work of the released code, also where its result is known; it is there to compare.
    `window_batch` windows share a network call. `decode_overlap` frames are cross-faded between decoded chunks of plan
    `linear` (default: a quarter of the chunk). `shortcuts` are the lossy speed-ups of plan `linear`. `encode_chunk`
    frames are encoded at a time, which bounds memory and nothing else.
    """

    def __init__(
        self,
        unet: UNetSpatioTemporalConditionModel,
        vae: AutoencoderKLTemporalDecoder,
        scheduler_config: Mapping[str, Any],
        *,
        optimise: bool = True,
        window_batch: int = 1,
        decode_overlap: int | None = None,
        shortcuts: Shortcuts | None = None,
        encode_chunk: int = ENCODE_CHUNK,
    ) -> None:
        if unet.config["in_channels"] != IN_CHANNELS:
            raise UserError(f"the U-Net has {unet.config['in_channels']} input channels, {IN_CHANNELS} needed")
        if window_batch < 1:
            raise UserError(f"window_batch is {window_batch}; at least 1 is needed")
        self.unet = unet
        self.vae = vae
        self.schedule = KarrasSchedule.from_config(scheduler_config)
        self.optimise = optimise
        self.window_batch = window_batch
        self.decode_overlap = decode_overlap
        self.shortcuts = shortcuts or Shortcuts()
        self.encode_chunk = encode_chunk

    @property
    def factor(self) -> int:
        """Pixels per latent: both sides of a frame must be multiples of it."""
        return spatial_factor(self.vae)

    @torch.no_grad()
    def __call__(
        self,
        lq: Tensor,
        *,
        task: Iterable[str],
        reference: Tensor | None = None,
        id_tokens: Tensor | None = None,
        steps: int = 30,
        guidance: tuple[float, float] = (2.0, 2.0),
        window: int = 16,
        overlap: int = 3,
        strength: float = 1.0,
        noise_aug: float = 0.0,
        decode_chunk: int = 16,
        seed: int | torch.Generator = 77,
        plan: str = "linear",
        progress: Progress | None = None,
    ) -> Restored:
        """Restores one clip (spec: paper arXiv 2501.01235 and its released inference code; plan `linear`: ours).

        `lq` (N,3,H,W) in [-1,1], sides multiples of the VAE's factor. `task`: names among bfr, color, inpaint.
        `reference` (3,H,W) about [-1,1]: a clear picture of the person. `id_tokens` (L,D): `IdentityEncoder`'s output.
        `guidance`: scale at the first and last step, linear between. `window` and `overlap` in frames.
        `strength` in (0,1]: the share of the steps that is run, from the lower noise level on that belongs to it.
        `noise_aug`: standard deviation of noise added to the pixels the network is shown.
        `seed`: equal seeds give equal results; a generator (plan `official` only) continues its own sequence.
        `progress(done, total)` counts windows x steps.
        Raises `UserError` (a `ValueError`) for any argument of the wrong kind, shape or range.
        """
        check_frames(lq, self.factor)
        settings = Settings.checked(task, steps, guidance, window, overlap, strength, noise_aug, decode_chunk)
        if plan not in PLANS:
            raise UserError(f"unknown plan '{plan}': choose among {', '.join(PLANS)}")
        check_seed(seed, plan)
        sigmas = self.schedule.levels(steps, strength)
        if plan == "official":
            total = sum(len(cyclic_windows(len(lq), window, overlap, i)) for i in range(len(sigmas) - 1))
            return self._official(lq, reference, id_tokens, settings, seed, _Counter(progress, total))
        assert not isinstance(seed, torch.Generator)  # see check_seed
        total = len(linear_starts(max(len(lq), window), window, overlap)) * (len(sigmas) - 1)
        parts = self._linear(iter([lq]), reference, id_tokens, settings, seed, _Counter(progress, total))
        return _joined(parts, len(lq), lq.shape[2:], self.factor)

    @torch.no_grad()
    def stream(
        self,
        frames: Iterable[Tensor],
        *,
        task: Iterable[str],
        reference: Tensor | None = None,
        id_tokens: Tensor | None = None,
        steps: int = 30,
        guidance: tuple[float, float] = (2.0, 2.0),
        window: int = 16,
        overlap: int = 3,
        strength: float = 1.0,
        noise_aug: float = 0.0,
        decode_chunk: int = 16,
        seed: int = 77,
        progress: Progress | None = None,
    ) -> Iterator[Restored]:
        """Restores a video of any length in bounded memory; the same numbers as `__call__` with plan `linear`.

        `frames`: pieces (K,3,H,W) of the video, in order, K as you like and of one size; read only as far ahead as
        needed. Yields restored pieces in order (of other sizes than those read). At most about `steps` windows of
        latents and one decoded chunk are held, whatever the length. Arguments and errors as in `__call__`.
        """
        settings = Settings.checked(task, steps, guidance, window, overlap, strength, noise_aug, decode_chunk)
        check_seed(seed, "linear")
        yield from self._linear(iter(frames), reference, id_tokens, settings, seed, _Counter(progress, None))

    def _linear(
        self,
        pieces: Iterator[Tensor],
        reference: Tensor | None,
        id_tokens: Tensor | None,
        settings: Settings,
        seed: int,
        counter: _Counter,
    ) -> Iterator[Restored]:
        chunks = regular_chunks(self._checked(pieces), settings.window)
        chunks, short = padded_to_window(chunks, settings.window)
        first = next(chunks)
        sigmas = self.schedule.levels(settings.steps, settings.strength)
        scales = guidance_scales(settings.guidance, settings.steps)[: len(sigmas) - 1]
        scales = within_interval(scales, sigmas[:-1], self.shortcuts.guidance_interval)
        condition = self._condition(first.shape[2:], reference, id_tokens, settings.task, upcast=True)
        front = Wavefront(
            Denoiser(self.unet, condition, optimise=self.optimise),
            solver_named(self.shortcuts.solver),
            sigmas,
            scales,
            window=settings.window,
            overlap=settings.overlap,
            window_batch=self.window_batch,
            deep_every=self.shortcuts.deep_every,
        )
        overlap = settings.decode_chunk // 4 if self.decode_overlap is None else self.decode_overlap
        run = LinearRun(
            front,
            OverlapDecoder(self.vae, settings.decode_chunk, overlap),
            self._encode,
            start_sigma=float(sigmas[0]),
            scaling_factor=self.vae.config["scaling_factor"],
            noise_aug=settings.noise_aug,
            seed=seed,
        )
        left = short
        for part in run(_prepend(first, chunks), counter.add):
            if left is None:
                yield part
            elif left > 0:
                yield Restored(part.frames[:left], part.latents[:left])
                left -= len(part.frames)

    def _official(
        self,
        lq: Tensor,
        reference: Tensor | None,
        id_tokens: Tensor | None,
        settings: Settings,
        seed: int | torch.Generator,
        counter: _Counter,
    ) -> Restored:
        device, dtype = self.unet.device, self.unet.dtype
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(int(seed))
        # the released order of draws: pixels (also when they are not used), then latents
        grain = torch.randn(lq.shape, generator=generator)
        noise = torch.randn(1, len(lq), 4, *(s // self.factor for s in lq.shape[2:]), generator=generator)[0]

        pixels = lq.to(dtype).float()
        z = self._encode(pixels)
        condition_z = z
        if settings.noise_aug or not self.optimise:
            condition_z = self._encode(pixels + settings.noise_aug * grain.to(pixels))
        condition = self._condition(lq.shape[2:], reference, id_tokens, settings.task, upcast=False)
        sigmas = self.schedule.levels(settings.steps, settings.strength)
        start = self.vae.config["scaling_factor"] * z.to(dtype) + sigmas[0].to(device, dtype) * noise.to(device, dtype)
        latents = denoise_official(
            Denoiser(self.unet, condition, optimise=self.optimise),
            start,
            condition_z.to(dtype),
            sigmas,
            guidance_scales(settings.guidance, settings.steps),
            window=settings.window,
            overlap=settings.overlap,
            window_batch=self.window_batch if self.optimise else 1,
            on_windows=counter.add,
        )
        return Restored(decode_official(self.vae, latents, settings.decode_chunk), latents.float().cpu())

    def _encode(self, pixels_NCHW: Tensor, upcast: bool = True) -> Tensor:
        """Unscaled mean latents, float32, on the U-Net's device."""
        with upcast_encoder(self.vae, upcast):
            return encode_mean(self.vae, pixels_NCHW, self.encode_chunk).to(self.unet.device)

    def _condition(
        self, size: torch.Size, reference: Tensor | None, id_tokens: Tensor | None, task: Tensor, *, upcast: bool
    ) -> Conditioning:
        """Checked conditioning; `upcast` False encodes the reference in the VAE's own dtype, as released."""
        device, dtype = self.unet.device, self.unet.dtype
        latent = None
        if reference is not None:
            check_reference(reference, (size[0], size[1]))
            latent = self._encode(reference[None], upcast)[0].to(device, dtype)
        if id_tokens is not None:
            check_tokens(id_tokens, self.unet.config["cross_attention_dim"])
            id_tokens = id_tokens.to(device, dtype)
        return Conditioning(task.to(device, dtype), latent, id_tokens)

    def _checked(self, pieces: Iterator[Tensor]) -> Iterator[Tensor]:
        size = None
        for piece in pieces:
            check_frames(piece, self.factor)
            if size not in (None, piece.shape[2:]):
                raise UserError(f"frames change size within the clip: {tuple(size or ())} to {tuple(piece.shape[2:])}")
            size = piece.shape[2:]
            yield piece


class _Counter:
    """Turns finished windows into `progress(done, total)`."""

    def __init__(self, progress: Progress | None, total: int | None) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def add(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)


def _prepend(first: Tensor, rest: Iterator[Tensor]) -> Iterator[Tensor]:
    yield first
    yield from rest


def _joined(parts: Iterator[Restored], count: int, size: torch.Size, factor: int) -> Restored:
    frames = torch.empty(count, 3, *size)
    latents = torch.empty(count, 4, *(side // factor for side in size))
    at = 0
    for part in parts:
        frames[at : at + len(part.frames)] = part.frames
        latents[at : at + len(part.frames)] = part.latents
        at += len(part.frames)
    return Restored(frames, latents)
