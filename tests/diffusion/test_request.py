"""Bad input to the sampler: one clear line each. Progress is told."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from svfr.diffusion.sampler import SVFRSampler

GOOD = torch.zeros(4, 3, 8, 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lq": torch.zeros(4, 8, 8)}, r"\(N, 3, H, W\)"),
        ({"lq": torch.zeros(0, 3, 8, 8)}, "N >= 1"),
        ({"lq": torch.zeros(4, 1, 8, 8)}, r"\(4, 1, 8, 8\)"),
        ({"lq": torch.zeros(4, 3, 8, 8, dtype=torch.uint8)}, "x / 127.5 - 1"),
        ({"lq": torch.full((4, 3, 8, 8), 2.0)}, "found 2 to 2"),
        ({"lq": torch.full((4, 3, 8, 8), torch.nan)}, "nan"),
        ({"lq": torch.zeros(4, 3, 9, 8)}, "multiples of 2"),
        ({"task": ["sharpen"]}, "unknown task sharpen"),
        ({"task": []}, "no task"),
        ({"overlap": 4}, "less than the window"),
        ({"window": 0}, "at least 1"),
        ({"steps": 0}, "steps is 0"),
        ({"strength": 0.0}, "strength"),
        ({"noise_aug": -1.0}, "noise_aug"),
        ({"decode_chunk": 0}, "decode_chunk"),
        ({"guidance": (1.0,)}, "two finite numbers"),
        ({"plan": "fast"}, "unknown plan 'fast'"),
        ({"reference": torch.zeros(3, 4, 4)}, r"\(3, 8, 8\) is needed"),
        ({"reference": torch.full((3, 8, 8), 200.0)}, "reference must lie"),
        ({"reference": torch.full((3, 8, 8), torch.inf)}, "reference must lie"),
        ({"id_tokens": torch.zeros(49, 31)}, r"\(L, 32\) is needed"),
        ({"id_tokens": torch.full((49, 32), torch.nan)}, "NaN"),
        ({"seed": torch.Generator()}, "integer seed"),
        ({"seed": "77"}, "whole number of at most 64 bits"),
        ({"seed": 2**64}, "whole number of at most 64 bits"),
        ({"seed": 2**64, "plan": "official"}, "whole number of at most 64 bits"),
        ({"steps": 2.5}, "steps is 2.5; a whole number"),
        ({"steps": None}, "steps is None"),
        ({"window": "4"}, "window is '4'"),
        ({"decode_chunk": 2.5}, "decode_chunk is 2.5"),
        ({"strength": "all"}, "strength is 'all'; a number"),
        ({"noise_aug": float("inf")}, "noise_aug is inf"),
        ({"guidance": None}, "two finite numbers"),
        ({"guidance": ("a", "b")}, "two finite numbers"),
        ({"task": None}, "task is None"),
        ({"task": [["bfr"]]}, "unknown task"),
    ],
)
def test_bad_input_is_a_value_error_of_one_line(change: dict[str, Any], message: str, small_parts: Any) -> None:
    arguments = {"lq": GOOD, "task": ["bfr"], "steps": 2, "window": 4, "overlap": 1} | change
    with pytest.raises(ValueError, match=message) as caught:
        SVFRSampler(*small_parts)(arguments.pop("lq"), **arguments)
    assert "\n" not in str(caught.value)


def test_constructor_is_checked(small_parts: Any, small_configs: Any) -> None:
    from diffusers import UNetSpatioTemporalConditionModel

    eight = UNetSpatioTemporalConditionModel(**small_configs["unet"], in_channels=8)
    with pytest.raises(ValueError, match="8 input channels, 12 needed"):
        SVFRSampler(eight, *small_parts[1:])
    with pytest.raises(ValueError, match="window_batch"):
        SVFRSampler(*small_parts, window_batch=0)
    for config, message in (
        (None, "a mapping"),
        ({"prediction_type": "epsilon"}, "only 'v_prediction'"),
        ({"sigma_max": "much"}, "finite numbers"),
        ({"sigma_max": float("inf")}, "finite numbers"),
        ({"sigma_min": 800.0}, "sigma_min < sigma_max"),
        ({"rho": 0}, "0 < rho"),
    ):
        with pytest.raises(ValueError, match=message):
            SVFRSampler(*small_parts[:2], config)  # type: ignore[arg-type]


def test_a_stream_may_not_change_size(small_parts: Any) -> None:
    pieces = iter([torch.zeros(4, 3, 8, 8), torch.zeros(4, 3, 8, 16)])
    with pytest.raises(ValueError, match="change size"):
        list(SVFRSampler(*small_parts).stream(pieces, task=["bfr"], steps=1, window=4, overlap=1))


@pytest.mark.parametrize("plan", ["linear", "official"])
def test_progress_ends_at_its_total(plan: str, small_parts: Any) -> None:
    told: list[tuple[int, int | None]] = []
    arguments = {"task": ["bfr"], "steps": 4, "window": 4, "overlap": 1, "plan": plan}
    SVFRSampler(*small_parts)(torch.zeros(9, 3, 8, 8), progress=lambda *p: told.append(p), **arguments)
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[-1] == (len(told), len(told))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("plan", ["linear", "official"])
def test_half_precision_stays_near_float32(dtype: torch.dtype, plan: str, small_parts: Any) -> None:
    """Also at sigma 700, whose square is beyond float16."""
    halves = [copy.deepcopy(part).to(dtype) for part in small_parts[:2]]
    lq = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    arguments = {"task": ["bfr"], "steps": 3, "window": 4, "overlap": 1, "plan": plan, "reference": lq[0]}
    half = SVFRSampler(*halves, small_parts[2])(lq, **arguments)
    whole = SVFRSampler(*small_parts)(lq, **arguments)
    assert half.frames.dtype == half.latents.dtype == torch.float32
    pair = torch.stack([half.latents.flatten(), whole.latents.flatten()])
    assert torch.corrcoef(pair)[0, 1] > 0.99
