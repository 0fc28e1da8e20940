"""Self-reference: both passes of the released driver, choice by quality, cuts and drift."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from svfr.diffusion.sampler import SVFRSampler
from svfr.diffusion.selfref import choose_anchor, last_frame, restore_self_referred, sharpness
from svfr.errors import UserError

OPTIONS: dict[str, Any] = {"task": ["bfr"], "window": 4, "overlap": 1, "decode_chunk": 4}


@pytest.fixture(scope="module")
def sampler(small_parts: Any) -> SVFRSampler:
    return SVFRSampler(*small_parts)


def _clip(n: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 3, 8, 8, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def _tokens(reference: torch.Tensor) -> torch.Tensor:
    return reference.flatten()[:32].repeat(49, 1)


def test_official_driver_is_two_calls_on_one_generator(sampler: SVFRSampler) -> None:
    lq = _clip(6)
    generator = torch.Generator().manual_seed(77)
    first = sampler(lq[:4], **OPTIONS, steps=3, plan="official", seed=generator)
    reference = first.frames[-1]
    second = sampler(
        lq, **OPTIONS, steps=2, plan="official", seed=generator, reference=reference, id_tokens=_tokens(reference)
    )
    both = restore_self_referred(sampler, lq, **OPTIONS, steps=2, first_steps=3, plan="official", tokens=_tokens)
    assert torch.equal(both.frames, second.frames)


def test_the_best_frame_becomes_the_reference(sampler: SVFRSampler) -> None:
    picky = lambda frames: torch.tensor([0.0, 3.0, -torch.inf, 1.0])  # noqa: E731
    options = OPTIONS | {"steps": 2}
    anchor = choose_anchor(sampler, _clip(4), **options, quality=picky, tokens=_tokens)
    assert anchor.frame == 1
    assert torch.equal(anchor.reference, sampler(_clip(4), **options).frames[1])
    assert anchor.tokens is not None
    with pytest.raises(UserError, match="pass one of your own"):
        choose_anchor(sampler, _clip(4), **options, quality=lambda frames: torch.full((4,), -torch.inf))


def test_a_score_that_is_no_number_does_not_win(sampler: SVFRSampler) -> None:
    odd = lambda frames: torch.tensor([1.0, torch.nan, 2.0, 0.0])  # noqa: E731
    assert choose_anchor(sampler, _clip(4), **OPTIONS, steps=1, quality=odd).frame == 2


@pytest.mark.parametrize("plan", ["linear", "official"])
def test_a_photo_replaces_the_first_pass(plan: str, sampler: SVFRSampler) -> None:
    lq, photo = _clip(6), _clip(1, seed=3)[0]
    options = OPTIONS | {"steps": 2, "plan": plan, "reference": photo}
    never = lambda frames, reference: pytest.fail("a photo is not replaced")  # noqa: E731
    both = restore_self_referred(sampler, lq, **options, tokens=_tokens, drift=never)
    assert torch.equal(both.frames, sampler(lq, **options, id_tokens=_tokens(photo)).frames)


@pytest.mark.parametrize("plan", ["linear", "official"])
@pytest.mark.parametrize("n", [1, 3])
def test_short_clips_have_both_passes(n: int, plan: str, sampler: SVFRSampler) -> None:
    options = OPTIONS | {"steps": 1, "first_steps": 1, "plan": plan, "overlap": 3}
    assert restore_self_referred(sampler, _clip(n), **options).frames.shape == (n, 3, 8, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan": "fast"}, "unknown plan"),
        ({"overlap": 4, "plan": "official"}, "less than the window"),
        ({"cuts": [1.5]}, "must lie within"),
        ({"seed": 0.5}, "whole number"),
        ({"reference": torch.zeros(3, 4, 4)}, "reference has shape"),
    ],
)
def test_bad_input_is_refused_before_any_work(change: dict[str, Any], message: str, sampler: SVFRSampler) -> None:
    with pytest.raises(ValueError, match=message):
        restore_self_referred(sampler, _clip(4), **OPTIONS | change)


def test_sharpness_prefers_the_sharp_frame() -> None:
    sharp = _clip(1)
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
    assert sharpness(torch.cat([blurred, sharp])).argmax() == 1
    assert last_frame(torch.zeros(5, 3, 8, 8)).argmax() == 4


def test_shots_do_not_see_each_other(sampler: SVFRSampler) -> None:
    options = OPTIONS | {"steps": 2, "first_steps": 2, "tokens": _tokens}
    a, b = _clip(5, 1), _clip(7, 2)
    joined = restore_self_referred(sampler, torch.cat([a, b]), **options, cuts=[5])
    apart = [restore_self_referred(sampler, clip, **options).frames for clip in (a, b)]
    assert torch.equal(joined.frames, torch.cat(apart))
    with pytest.raises(UserError, match="must lie within"):
        restore_self_referred(sampler, a, **options, cuts=[5])


def test_drift_takes_a_new_reference(sampler: SVFRSampler) -> None:
    lq = _clip(16)
    references: list[torch.Tensor] = []

    def drift(frames: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        if not references or not torch.equal(references[-1], reference):
            references.append(reference)
        return torch.full((len(frames),), 1.0 if len(references) == 1 else 0.0)

    options = OPTIONS | {"steps": 2, "first_steps": 2}
    renewed = restore_self_referred(sampler, lq, **options, drift=drift)
    steady = restore_self_referred(sampler, lq, **options)
    assert len(references) == 2
    assert renewed.frames.shape == lq.shape
    assert torch.equal(renewed.frames[:3], steady.frames[:3])
    assert not torch.allclose(renewed.frames[5:], steady.frames[5:])
