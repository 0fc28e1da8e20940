"""Self-referred refinement: restore a first window without a reference, then the clip with one of its frames as one.

The released code always takes the first window's last frame. Plan `linear` takes the best of them by a quality
function, restarts at scene cuts, and takes a new reference where the result drifts away from the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from svfr.diffusion.request import PLANS, Restored, check_frames, check_reference, check_seed
from svfr.diffusion.sampler import SVFRSampler
from svfr.diffusion.windows import check_window
from svfr.errors import UserError

Quality = Callable[[Tensor], Tensor]
"""Frames (K,3,H,W) in [-1,1] -> scores (K,), higher is better, -inf for a frame that will not do."""
Tokens = Callable[[Tensor], Tensor | None]
"""Reference (3,H,W), about [-1,1] -> identity tokens (L,D), or None if there is no usable face."""
Drift = Callable[[Tensor, Tensor], Tensor]
"""Frames (K,3,H,W), reference (3,H,W) -> distances (K,), for example 1 - cosine of identity embeddings."""

FIRST_STEPS = 50  # literal of the released code


@dataclass(frozen=True)
class Anchor:
    """A reference (3,H,W) with its identity tokens (or None), and the frame of the clip that it was (-1: a photo)."""

    reference: Tensor
    tokens: Tensor | None
    frame: int = -1


def sharpness(frames_K3HW: Tensor) -> Tensor:
    """Variance of the Laplacian of each frame's luma: the usual measure of focus (Pech-Pacheco et al. 2000)."""
    luma = (frames_K3HW * frames_K3HW.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    kernel = luma.new_tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]).view(1, 1, 3, 3)
    return F.conv2d(luma, kernel).flatten(1).var(1)


def last_frame(frames_K3HW: Tensor) -> Tensor:
    """Prefers the last frame, as the released code does."""
    return torch.arange(len(frames_K3HW)).float()


def choose_anchor(
    sampler: SVFRSampler,
    lq: Tensor,
    *,
    task: Iterable[str],
    tokens: Tokens | None = None,
    quality: Quality = sharpness,
    steps: int = FIRST_STEPS,
    **options: Any,
) -> Anchor:
    """Restores `lq` (N,3,H,W), a clip's first window, without a reference and picks its best frame as one.

    `options` are those of `SVFRSampler.__call__`. For a long video, pass its first window here and the anchor's
    reference and tokens to `SVFRSampler.stream`. Raises `UserError` if `quality` accepts no frame.
    """
    restored = sampler(lq, task=task, steps=steps, **options).frames
    scores = torch.nan_to_num(quality(restored.clamp(-1, 1)), nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    if tuple(scores.shape) != (len(restored),) or not bool((scores > -torch.inf).any()):
        raise UserError("no frame of the first window will do as a reference: pass one of your own")
    best = int(scores.argmax())
    reference = restored[best]
    return Anchor(reference, tokens(reference) if tokens else None, best)


def restore_self_referred(
    sampler: SVFRSampler,
    lq: Tensor,
    *,
    task: Iterable[str],
    reference: Tensor | None = None,
    tokens: Tokens | None = None,
    quality: Quality | None = None,
    cuts: Sequence[int] = (),
    drift: Drift | None = None,
    drift_limit: float = 0.5,
    plan: str = "linear",
    seed: int = 77,
    steps: int = 30,
    first_steps: int = FIRST_STEPS,
    window: int = 16,
    overlap: int = 3,
    **options: Any,
) -> Restored:
    """Both passes over `lq` (N,3,H,W) in [-1,1]; `options` are those of `SVFRSampler.__call__`.

    Plan `official`: the released driver; reference = last frame of the first 16, one generator for both passes.
    Plan `linear`: each shot (`cuts` are the first frames of new shots) is restored apart from the others, with its
    own reference. With `drift`, a window whose mean distance from the reference exceeds `drift_limit` (ours) starts
    over with a new one; the two results are cross-faded over `overlap` frames.
    `reference` (3,H,W), a photo of the person, replaces the first pass of either plan and holds for the whole clip.
    Raises `UserError` for cuts outside the clip, and as the sampler does.
    """
    check_frames(lq, sampler.factor)
    if plan not in PLANS:
        raise UserError(f"unknown plan '{plan}': choose among {', '.join(PLANS)}")
    check_seed(seed, "linear")
    check_window(window, overlap)
    photo = None
    if reference is not None:
        check_reference(reference, (lq.shape[2], lq.shape[3]))
        photo = Anchor(reference, tokens(reference) if tokens else None)
    task = tuple(task) if not isinstance(task, str) else task
    common = {"task": task, "window": window, "overlap": overlap, **options}
    if plan == "official":
        return _official(sampler, lq, photo, tokens, seed, steps, first_steps, common)
    if any(not isinstance(cut, Integral) or not 0 < cut < len(lq) for cut in cuts):
        raise UserError(f"cuts {list(cuts)} must lie within the clip's {len(lq)} frames")
    bounds = [0, *sorted(set(cuts)), len(lq)]
    common |= {"seed": seed, "steps": steps}
    drift = drift if photo is None else None  # a photo is not replaced
    restorer = _ShotRestorer(sampler, photo, tokens, quality or sharpness, drift, drift_limit, first_steps, common)
    shots = [restorer(lq[a:b]) for a, b in pairwise(bounds)]
    return Restored(torch.cat([s.frames for s in shots]), torch.cat([s.latents for s in shots]))


def _official(
    sampler: SVFRSampler,
    lq: Tensor,
    photo: Anchor | None,
    tokens: Tokens | None,
    seed: int,
    steps: int,
    first_steps: int,
    common: dict[str, Any],
) -> Restored:
    generator = torch.Generator().manual_seed(int(seed))
    common |= {"plan": "official", "seed": generator}
    head = lq[: common["window"]]
    # the released code fails on clips that are not longer than the overlap; here they get less of it
    first = common | {"window": len(head), "overlap": min(common["overlap"], len(head) - 1)}
    anchor = photo or choose_anchor(sampler, head, tokens=tokens, quality=last_frame, steps=first_steps, **first)
    return sampler(lq, reference=anchor.reference, id_tokens=anchor.tokens, steps=steps, **common)


@dataclass(frozen=True)
class _ShotRestorer:
    """Restores one shot, renewing its reference on drift."""

    sampler: SVFRSampler
    photo: Anchor | None
    tokens: Tokens | None
    quality: Quality
    drift: Drift | None
    drift_limit: float
    first_steps: int
    common: dict[str, Any]

    def __call__(self, lq: Tensor) -> Restored:
        done = self._until_drift(lq)
        while len(done.frames) < len(lq):
            overlap = self.common["overlap"]
            following = self._until_drift(lq[len(done.frames) - overlap :])
            done = _crossfade(done, following, overlap)
        return done

    def _until_drift(self, lq: Tensor) -> Restored:
        """Restored frames up to the first window that drifts; always more than one window unless `lq` ends."""
        window = self.common["window"]
        first = {**self.common, "steps": self.first_steps}
        anchor = self.photo or choose_anchor(
            self.sampler, lq[:window], tokens=self.tokens, quality=self.quality, **first
        )
        frames, latents = lq.new_empty(0), lq.new_empty(0)
        stream = self.sampler.stream(
            iter(lq.split(window)), reference=anchor.reference, id_tokens=anchor.tokens, **self.common
        )
        checked = window
        for part in stream:
            frames = part.frames if not len(frames) else torch.cat([frames, part.frames])
            latents = part.latents if not len(latents) else torch.cat([latents, part.latents])
            while self.drift is not None and checked + window <= len(frames):
                distance = float(self.drift(frames[checked : checked + window], anchor.reference).mean())
                checked += window
                if distance > self.drift_limit and checked < len(lq):
                    return Restored(frames[: checked - window], latents[: checked - window])
        return Restored(frames, latents)


def _crossfade(before: Restored, after: Restored, overlap: int) -> Restored:
    """Joins two results whose last and first `overlap` frames are the same ones, fading linearly over them."""
    if overlap == 0:
        return Restored(torch.cat([before.frames, after.frames]), torch.cat([before.latents, after.latents]))
    ramp = (torch.arange(1, overlap + 1) / (overlap + 1)).view(-1, 1, 1, 1)

    def join(a: Tensor, b: Tensor) -> Tensor:
        return torch.cat([a[:-overlap], torch.lerp(a[-overlap:], b[:overlap], ramp), b[overlap:]])

    return Restored(join(before.frames, after.frames), join(before.latents, after.latents))
