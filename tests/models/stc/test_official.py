"""What `load_official` takes and refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.models.stc import build_stc


@pytest.fixture
def state(tiny: Any) -> Any:
    torch.manual_seed(3)
    return build_stc("bfvr", **tiny, unused=True).state_dict()


@pytest.mark.parametrize("wrap", ["params_ema", "params", "bare", "both", "module"])
def test_every_container_is_taken(tiny: Any, state: Any, wrap: str) -> None:
    worse = {name: torch.zeros_like(value) for name, value in state.items()}
    checkpoint = {
        "params_ema": {"params_ema": state},
        "params": {"params": state, "iter": 5},
        "bare": state,
        "both": {"params": worse, "params_ema": state},
        "module": {"params_ema": {f"module.{name}": value for name, value in state.items()}},
    }[wrap]
    network = build_stc("bfvr", **tiny).load_official(checkpoint)
    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert not any(name.startswith("fuse_convs_dict") for name in network.state_dict())
    kept = build_stc("bfvr", **tiny, unused=True).load_official(checkpoint)
    assert list(kept.state_dict()) == list(state)


def test_loaded_tensors_are_the_networks_own(tiny: Any, state: Any) -> None:
    network = build_stc("bfvr", **tiny).load_official(state)
    with torch.no_grad():
        network.position_emb_s.add_(1)
    assert not torch.equal(network.position_emb_s, state["position_emb_s"])


def test_another_variant_is_refused_by_name(tiny: Any, state: Any) -> None:
    sizes = {**tiny, "layers": 0, "heads": 0}
    nine = {f"s_ft_layers.{i}.linear1.weight": torch.zeros(1) for i in range(9)}
    with pytest.raises(UserError, match=r"is bfvr \(9 layers\), the network is deflicker of 6 layers: .*'bfvr'"):
        build_stc("deflicker", **sizes).load_official({"params_ema": nine})
    with pytest.raises(UserError, match=r"is stage1 .* 'stage1'|is stage1"):
        build_stc("bfvr", **sizes).load_official(build_stc("stage1", **sizes).state_dict())
    with pytest.raises(UserError, match=r"is a stage II network \(2 layers\)"):
        build_stc("stage1", **tiny).load_official(state)


def test_another_number_of_tokens_is_refused(tiny: Any, state: Any) -> None:
    with pytest.raises(UserError, match="16 position embeddings, the network 64: build it with tokens=16"):
        build_stc("bfvr", **{**tiny, "tokens": 64}).load_official(state)


def test_finer_latents_than_the_released_are_refused(tiny: Any, state: Any) -> None:
    with pytest.raises(UserError, match="latents of 8 pixels a side, this one of 4"):
        build_stc("bfvr", **tiny, space=4).load_official(state)


@pytest.mark.parametrize("damage", ["missing", "surplus", "shape", "nan", "not tensors"])
def test_loading_is_strict(tiny: Any, state: Any, damage: str) -> None:
    state = dict(state)
    if damage == "missing":
        del state["quantize.SA.q.weight"]
    elif damage == "surplus":
        state["encoder.extra"] = torch.zeros(1)
    elif damage == "shape":
        state["generator.blocks.20.bias"] = torch.zeros(4)
    elif damage == "nan":
        state["generator.blocks.20.bias"] = torch.full((3,), float("nan"))
    else:
        state = {"params_ema": 3}
    with pytest.raises(UserError) as caught:
        build_stc("bfvr", **tiny).load_official(state)
    assert "\n" not in str(caught.value)
