"""Agreement with the released architecture, tensor names and numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from svfr.models.loading import shapes_of
from svfr.models.stc import build_stc

pytestmark = pytest.mark.data
CASES = [
    ("stage1", "vqgan_stage1", 1, "stage1_b1_t8_64", 288, 39_321_091),
    ("bfvr", "bfvr_h2_l9", 2, "stage2_bfvr_b1_t8_64_small", 588, 71_069_955),
    ("deflicker", "deflicker_h4_l6", 3, "stage2_deflicker_b1_t8_64_small", 516, 67_907_331),
]


@pytest.fixture(scope="module")
def shapes(shared: Path) -> Any:
    return json.loads((shared / "parity" / "stc" / "state_dict_shapes.json").read_text())


@pytest.mark.parametrize(("variant", "key", "seed", "file", "tensors", "numbers"), CASES)
def test_same_indices_and_pixels_as_the_released_code(
    shared: Path, shapes: Any, values: Any, variant: Any, key: str, seed: int, file: str, tensors: int, numbers: int
) -> None:
    golden = load_file(shared / "parity" / "stc" / f"{file}.safetensors")
    names = {n: [64, s[1]] if n.startswith("position_emb") else s for n, s in shapes[key].items()}
    network = build_stc(variant, tokens=64).load_official({"params_ema": values(names, seed), "params": {}})
    with torch.no_grad():
        out = network(golden["x"])
    idx_s, idx_t = (next(golden[name] for name in golden if name.startswith(kind)) for kind in ("idx_s", "idx_t"))
    assert torch.equal(out.idx_s, idx_s)
    assert torch.equal(out.idx_t, idx_t)
    assert float((out.video - golden["out"]).abs().max()) < 1e-4


@pytest.mark.parametrize(("variant", "key", "seed", "file", "tensors", "numbers"), CASES)
def test_state_dict_is_the_released_one_where_asked(
    shapes: Any, variant: Any, key: str, seed: int, file: str, tensors: int, numbers: int
) -> None:
    with torch.device("meta"):
        network = build_stc(variant, unused=True)
    assert {name: list(shape) for name, shape in shapes_of(network).items()} == shapes[key]
    assert len(network.state_dict()) == tensors
    assert sum(p.numel() for p in network.parameters()) == numbers
