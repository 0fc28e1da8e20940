"""Plan `official` against the released code, and its optimised form against its naive one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from svfr.diffusion.denoiser import Conditioning, Denoiser
from svfr.diffusion.sampler import SVFRSampler
from svfr.diffusion.windows import cyclic_windows
from svfr.models.task import TASKS
from svfr.models.unet import SVD_XT_CONFIG, build_unet

CASES = ("first_clip_bfr", "second_pass_long", "second_pass_short")


def _arguments(record: Any, golden: dict[str, torch.Tensor]) -> dict[str, Any]:
    return {
        "task": [name for name, bit in zip(TASKS, record["task"], strict=True) if bit],
        "reference": golden.get("ref"),
        "id_tokens": golden.get("tokens"),
        "steps": record["steps"],
        "window": record["frames_per_batch"],
        "overlap": record["overlap"],
        "strength": record["strength"],
        "guidance": (record["gmin"], record["gmax"]),
        "decode_chunk": record["decode_chunk_size"],
        "noise_aug": record["noise_aug_strength"],
        "seed": record["seed"],
        "plan": "official",
    }


@pytest.mark.parametrize("optimise", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_pipelines_match_the_released_code(case: str, optimise: bool, rule: Any, golden_parts: Any) -> None:
    record, golden = rule["record"](f"pipe_{case}"), rule["tensors"](f"pipe_{case}")
    unet, vae, scheduler = golden_parts
    calls: list[tuple[Any, Any]] = []
    hook = unet.register_forward_hook(lambda _module, inputs, out: calls.append((inputs, out.sample)))
    try:
        sampler = SVFRSampler(unet, vae, scheduler, optimise=optimise, window_batch=2 if optimise else 1)
        restored = sampler(golden["lq"], **_arguments(record, golden))
    finally:
        hook.remove()
    torch.testing.assert_close(restored.latents, golden["latents"][0], atol=1e-4, rtol=0)
    torch.testing.assert_close(restored.frames[:: record["frames_step"]], golden["frames"], atol=1e-4, rtol=0)
    if not optimise:
        assert len(calls) == record["unet_calls"]
        assert [float(inputs[1][0]) for inputs, _ in calls] == pytest.approx(record["call_timesteps"], abs=1e-6)
        for k in (1, 2):
            torch.testing.assert_close(calls[k - 1][0][0], golden[f"in{k}"], atol=1e-4, rtol=0)
            torch.testing.assert_close(calls[k - 1][1], golden[f"out{k}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_both_forms_agree_on_the_released_cases(case: str, rule: Any, golden_parts: Any) -> None:
    """In float32. On one thread not a bit differs; more threads split sums by batch size (measured: up to 1.8e-5)."""
    record, golden = rule["record"](f"pipe_{case}"), rule["tensors"](f"pipe_{case}")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        naive, fast = (
            SVFRSampler(*golden_parts, optimise=optimise)(golden["lq"], **_arguments(record, golden))
            for optimise in (False, True)
        )
    finally:
        torch.set_num_threads(threads)
    torch.testing.assert_close(fast.latents, naive.latents, atol=1e-5, rtol=0)
    torch.testing.assert_close(fast.frames, naive.frames, atol=1e-5, rtol=0)


@pytest.mark.parametrize("with_reference", [False, True])
def test_leaving_out_known_work_changes_nothing(with_reference: bool, small_parts: Any) -> None:
    """In float64, where rounding cannot hide a difference: 1e-5 is far above, 1e-12 far below any real one."""
    unet, _, _ = small_parts
    unet = copy.deepcopy(unet).double()
    generator = torch.Generator().manual_seed(3)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    condition = Conditioning(torch.tensor([1.0, 0.0, 1.0]).double())
    if with_reference:
        condition = Conditioning(condition.task, draw(4, 6, 8), draw(49, 32))
    x, lq = draw(3, 5, 4, 6, 8), draw(3, 5, 4, 6, 8)
    sigma, scale = torch.tensor([9.0, 2.0, 0.1]), torch.tensor([2.0, 1.0, 3.0])
    naive = Denoiser(unet, condition, optimise=False)(x, lq, sigma, scale)
    lean = Denoiser(unet, condition, optimise=True)
    optimised = lean(x, lq, sigma, scale)
    one_by_one = [lean(x[k, None], lq[k, None], sigma[k, None], scale[k, None]) for k in range(3)]
    torch.testing.assert_close(optimised, naive, atol=2e-6, rtol=0)  # v is handed over in float32
    torch.testing.assert_close(torch.cat(one_by_one), naive, atol=2e-6, rtol=0)


def test_optimised_plan_agrees_with_the_naive_one(small_parts: Any) -> None:
    lq = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    reference, tokens = lq[3].flip(-1), torch.randn(49, 32, generator=torch.Generator().manual_seed(1))
    arguments = {"task": ("bfr",), "steps": 4, "window": 6, "overlap": 2, "plan": "official"}
    for condition in ({}, {"reference": reference, "id_tokens": tokens}):
        naive, fast = (
            SVFRSampler(*small_parts, optimise=optimise, window_batch=4)(lq, **arguments, **condition)
            for optimise in (False, True)
        )
        torch.testing.assert_close(fast.latents, naive.latents, atol=1e-5, rtol=0)
        torch.testing.assert_close(fast.frames, naive.frames, atol=1e-5, rtol=0)


def test_processors_are_put_back(small_parts: Any) -> None:
    unet = small_parts[0]
    before = dict(unet.attn_processors)
    SVFRSampler(*small_parts)(torch.zeros(4, 3, 16, 16), task=["bfr"], steps=1, window=4, id_tokens=torch.ones(49, 32))
    assert unet.attn_processors == before


def _tera_flops(unet: Any, *, optimise: bool, conditioned: bool) -> float:
    """One full-size call at 16 frames of 64 x 64 latents, counted without computing."""
    meta = {"device": "meta"}
    condition = Conditioning(torch.ones(3, **meta))
    if conditioned:
        condition = Conditioning(condition.task, torch.zeros(4, 64, 64, **meta), torch.zeros(49, 1024, **meta))
    x = torch.zeros(1, 16, 4, 64, 64, **meta)
    with FlopCounterMode(display=False) as counter:
        Denoiser(unet, condition, optimise=optimise)(x, x, torch.ones(1), torch.full((1,), 2.0))
    return counter.get_total_flops() / 1e12


def test_optimised_plan_needs_far_fewer_flops() -> None:
    with torch.device("meta"):
        unet = build_unet(SVD_XT_CONFIG).to("meta").eval()
    naive = _tera_flops(unet, optimise=False, conditioned=True)
    first = _tera_flops(unet, optimise=True, conditioned=False)
    second = _tera_flops(unet, optimise=True, conditioned=True)
    assert naive == pytest.approx(45.37, abs=0.01)  # the figure counted on the released code

    def calls(n: int, steps: int) -> int:
        return sum(len(cyclic_windows(n, 16, 3, step)) for step in range(steps))

    for n, saved in ((16, 0.35), (100, 0.20)):
        before = (calls(16, 50) + calls(n, 30)) * naive
        after = calls(16, 50) * first + calls(n, 30) * second
        assert 1 - after / before >= saved
