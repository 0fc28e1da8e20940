"""Plan `linear`: streaming, batching, short clips, seams, seeds, shortcuts."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from svfr.diffusion.decoding import OverlapDecoder, decode_official
from svfr.diffusion.linear import padded_to_window, regular_chunks
from svfr.diffusion.sampler import SVFRSampler
from svfr.diffusion.shortcuts import Shortcuts
from svfr.diffusion.solvers import euler
from svfr.diffusion.wavefront import Wavefront
from svfr.diffusion.windows import linear_starts, triangular_weights
from svfr.errors import UserError

OPTIONS = {"task": ("bfr",), "steps": 3, "window": 4, "overlap": 1, "decode_chunk": 5}


def _clip(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _neighbours(x: torch.Tensor, lq: torch.Tensor, sigma: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """A stand-in for the guided U-Net: every frame's v depends on its whole window, its level and its condition."""
    level = sigma.view(-1, 1, 1, 1, 1)
    return torch.tanh(x / (1 + level)) * 0.3 + x.mean(1, keepdim=True) / (1 + level) + lq * 0.1 + scale[0] * 0.01


def _jointly(x: torch.Tensor, lq: torch.Tensor, sigmas: torch.Tensor, scales: torch.Tensor, w: int, o: int) -> Any:
    """The definition of plan `linear`: step by step over the whole clip."""
    levels = sigmas.tolist()
    for i in range(len(levels) - 1):
        v, weight = torch.zeros_like(x), torch.zeros(len(x), 1, 1, 1)
        for start in linear_starts(len(x), w, o):
            piece = slice(start, start + w)
            ramp = triangular_weights(w).view(-1, 1, 1, 1)
            out = _neighbours(x[piece][None], lq[piece][None], sigmas[i : i + 1], scales[i : i + 1])[0]
            v[piece] += ramp * out
            weight[piece] += ramp
        x = euler(x, v / weight, levels, i, None)[0]
    return x


@st.composite
def _windowings(draw: st.DrawFn) -> tuple[int, int, int, int]:
    """Frames, window, overlap, windows a call."""
    window = draw(st.integers(2, 9))
    overlap = draw(st.integers(0, window - 1))
    return draw(st.integers(window, window + 40)), window, overlap, draw(st.integers(1, 7))


@settings(deadline=None, max_examples=60)
@given(_windowings())
@example((11, 4, 3, 1))  # every window overlaps three later ones
def test_the_wavefront_equals_joint_denoising_however_windows_are_batched(shape: tuple[int, int, int, int]) -> None:
    n, window, overlap, batch = shape
    generator = torch.Generator().manual_seed(n)
    x, lq = torch.randn(n, 4, 2, 2, generator=generator) * 9, torch.randn(n, 4, 2, 2, generator=generator)
    sigmas, scales = torch.tensor([9.0, 4.0, 1.0, 0.2, 0.0]), torch.tensor([2.0, 2.0, 2.0, 2.0])
    front = Wavefront(
        _neighbours,  # type: ignore[arg-type]
        euler,
        sigmas,
        scales,
        window=window,
        overlap=overlap,
        window_batch=batch,
    )
    pieces = [*zip(x.split(5), lq.split(5), strict=True), None]
    out = []
    while pieces or front.run():
        if pieces and not front.full:
            piece = pieces.pop(0)
            front.close() if piece is None else front.push(*piece)
        elif pieces:
            assert front.run()
        if (done := front.pop()) is not None:
            out.append(done)
    torch.testing.assert_close(torch.cat(out), _jointly(x, lq, sigmas, scales, window, overlap), atol=1e-5, rtol=1e-5)


def test_a_stream_gives_the_call_s_numbers_and_reads_little_ahead(small_parts: Any) -> None:
    lq, sampler = _clip(45), SVFRSampler(*small_parts)
    whole = sampler(lq, **OPTIONS)
    read = 0

    def source() -> Any:
        nonlocal read
        for piece in lq.split(7):
            read += len(piece)
            yield piece

    frames, latents, ahead = [], [], []
    for part in sampler.stream(source(), **OPTIONS):
        frames.append(part.frames)
        latents.append(part.latents)
        ahead.append(read - sum(map(len, frames)))
    assert torch.equal(torch.cat(frames), whole.frames)
    assert torch.equal(torch.cat(latents), whole.latents)
    assert max(ahead) <= 40  # (steps + 4) windows of stride 3, a piece, and a decoding chunk


def test_batching_windows_changes_nothing_but_rounding(small_parts: Any) -> None:
    lq = _clip(15)
    one = SVFRSampler(*small_parts)(lq, **OPTIONS)
    many = SVFRSampler(*small_parts, window_batch=3)(lq, **OPTIONS)
    torch.testing.assert_close(many.frames, one.frames, atol=5e-5, rtol=0)


def test_seeds_decide_and_frames_own_their_noise(small_parts: Any) -> None:
    sampler = SVFRSampler(*small_parts)
    first, again = (sampler(_clip(6), **OPTIONS, seed=5) for _ in range(2))
    assert torch.equal(first.frames, again.frames)
    assert not torch.allclose(first.frames, sampler(_clip(6), **OPTIONS, seed=6).frames)
    noisy = sampler(_clip(6), **OPTIONS, seed=5, noise_aug=0.3)
    assert not torch.allclose(first.frames, noisy.frames)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_short_clips_come_back_whole(n: int, small_parts: Any) -> None:
    restored = SVFRSampler(*small_parts)(_clip(n), **OPTIONS)
    assert restored.frames.shape == (n, 3, 8, 8)
    assert restored.latents.shape == (n, 4, 4, 4)
    assert bool(torch.isfinite(restored.frames).all())


def test_short_clips_are_mirrored_in_time() -> None:
    clip = torch.arange(3.0).view(3, 1, 1, 1)
    chunks, length = padded_to_window(iter([clip]), 8)
    assert next(chunks).flatten().tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert length == 3
    assert padded_to_window(iter([clip[:1]]), 3)[1] == 1
    with pytest.raises(UserError, match="empty"):
        padded_to_window(iter([]), 3)


def test_pieces_are_regrouped() -> None:
    pieces = [torch.zeros(k) for k in (1, 5, 2, 9)]
    assert [len(c) for c in regular_chunks(pieces, 4)] == [4, 4, 4, 4, 1]


def test_the_end_of_a_clip_does_not_reach_its_beginning(small_parts: Any) -> None:
    lq = _clip(16)
    other = torch.cat([lq[:12], _clip(4, seed=9)])
    sampler, options = SVFRSampler(*small_parts), OPTIONS | {"steps": 1, "decode_chunk": 4}
    linear = [sampler(x, **options).frames[:3] for x in (lq, other)]
    official = [sampler(x, **options | {"steps": 2}, plan="official").frames[:3] for x in (lq, other)]
    assert torch.equal(*linear)
    assert not torch.allclose(*official)


def test_overlapped_decoding_softens_the_seam(small_parts: Any) -> None:
    """A still scene: every step between neighbouring frames is the decoder's doing, worst where chunks meet."""
    vae = small_parts[1]
    z = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(2)).repeat(12, 1, 1, 1)
    decoder = OverlapDecoder(vae, 6, 3)
    blended = torch.cat(
        [part for part in [*(decoder.push(p) for p in z.split(5)), decoder.close()] if part is not None]
    )
    touching = decode_official(vae, z, 6)
    jump = lambda frames: float((frames[6] - frames[5]).abs().mean())  # noqa: E731
    assert len(blended) == 12
    assert jump(blended) < 0.6 * jump(touching)


def test_memory_does_not_grow_with_length(small_parts: Any) -> None:
    sampler = SVFRSampler(*small_parts)

    def peak(n: int) -> int:
        """The most tensor elements alive at once, sampled while the stream runs."""
        alive = 0
        stream = sampler.stream((_clip(4, seed=k) for k in range(n // 4)), **OPTIONS | {"steps": 2})
        for k, _ in enumerate(stream):
            if k % 4 == 3:
                gc.collect()
                alive = max(alive, sum(t.numel() for t in gc.get_objects() if type(t) is torch.Tensor))
        return alive

    assert 0 < peak(80) < 1.02 * peak(40)


def test_shortcuts_are_named_and_off_by_default(small_parts: Any) -> None:
    lq, tokens = _clip(5), torch.randn(49, 32, generator=torch.Generator().manual_seed(1))
    plain = SVFRSampler(*small_parts)(lq, **OPTIONS, id_tokens=tokens).frames
    for shortcut in (Shortcuts(solver="dpmpp_2m"), Shortcuts(guidance_interval=(0.0, 1.0))):
        fast = SVFRSampler(*small_parts, shortcuts=shortcut)(lq, **OPTIONS, id_tokens=tokens).frames
        assert not torch.allclose(fast, plain)
    with pytest.raises(UserError, match="deep_every is 0"):
        Shortcuts(deep_every=0)
    everywhere = SVFRSampler(*small_parts, shortcuts=Shortcuts(guidance_interval=(0.0, 1e9)))
    assert torch.equal(everywhere(lq, **OPTIONS, id_tokens=tokens).frames, plain)
    with pytest.raises(UserError, match="solver"):
        Shortcuts(solver="magic")


def test_cached_deep_features_skip_the_deep_blocks(small_parts: Any) -> None:
    lq, unet = _clip(9), small_parts[0]
    options = OPTIONS | {"steps": 4, "id_tokens": torch.randn(49, 32, generator=torch.Generator().manual_seed(1))}
    calls: list[int] = []
    hook = unet.mid_block.resnets[0].register_forward_hook(lambda *_: calls.append(1))
    plain = SVFRSampler(*small_parts)(lq, **options).frames
    full = len(calls)
    cached, batched = (
        SVFRSampler(*small_parts, shortcuts=Shortcuts(deep_every=2), window_batch=batch)(lq, **options).frames
        for batch in (1, 2)
    )
    calls.clear()
    SVFRSampler(*small_parts, shortcuts=Shortcuts(deep_every=2))(lq, **options)
    hook.remove()
    assert len(calls) == full // 2
    assert "forward" not in vars(unet.mid_block)
    torch.testing.assert_close(batched, cached, atol=5e-5, rtol=0)
    deviation = (cached - plain).square().mean().sqrt()
    assert 0 < deviation < 0.5 * plain.std()
