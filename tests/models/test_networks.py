"""U-Net and VAE: golden forward pass, published key lists, widening, refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.models.identity import IdentityProjection
from svfr.models.iresnet import IResNet
from svfr.models.loading import shapes_of
from svfr.models.task import task_vector
from svfr.models.unet import SVD_XT_CONFIG, build_unet, load_official, widen_conv_in
from svfr.models.vae import SVD_VAE_CONFIG, build_vae, decode, encode_mean, spatial_factor, upcast_encoder


@pytest.fixture(scope="module")
def unet(rule: dict[str, Any], configs: Any) -> Any:
    return rule["fill"](build_unet(configs["unet"]), seed=1)


def test_keys_and_shapes_are_the_published_ones(golden: Path) -> None:
    published = json.loads(gzip.decompress((golden / "svfr" / "keys.json.gz").read_bytes()))
    with torch.device("meta"):
        ours = {
            "unet_12ch": build_unet(SVD_XT_CONFIG),
            "vae": build_vae(SVD_VAE_CONFIG),
            "id_linear": IdentityProjection(),
            "iresnet100": IResNet(),
        }
    for name, count in {"unet_12ch": 1428, "vae": 374, "iresnet100": 925, "id_linear": 3}.items():
        shapes = {key: list(shape) for key, shape in shapes_of(ours[name]).items()}
        assert list(shapes.items()) == list(published[name].items())
        assert len(shapes) == count
    assert sum(p.numel() for p in ours["unet_12ch"].parameters()) == 1_524_634_602


@torch.no_grad()
def test_forward_and_traces_match_the_released_code(rule: dict[str, Any], unet: Any) -> None:
    golden = rule["tensors"]("unet_forward")
    traces: dict[str, torch.Tensor] = {}
    modules = {"conv_in": unet.conv_in, "mid_block": unet.mid_block}
    modules |= {f"down_{i}": block for i, block in enumerate(unet.down_blocks)}
    modules |= {f"up_{i}": block for i, block in enumerate(unet.up_blocks)}
    modules |= {"time_embedding": unet.time_embedding, "add_embedding": unet.add_embedding}

    def keep(name: str) -> Any:
        return lambda _module, _inputs, out: traces.update({name: out[0] if isinstance(out, tuple) else out})

    hooks = [module.register_forward_hook(keep(name)) for name, module in modules.items()]
    out = unet(golden["sample"], golden["timestep"], golden["context"], golden["added_time_ids"]).sample
    for hook in hooks:
        hook.remove()
    each = unet(golden["sample"], golden["timestep"], golden["context_per_frame"], golden["added_time_ids"]).sample
    repeated = golden["context"].repeat_interleave(5, dim=0)
    same = unet(golden["sample"], golden["timestep"], repeated, golden["added_time_ids"]).sample
    zero = unet(
        golden["sample"], golden["timestep"], torch.zeros_like(golden["context"]), golden["added_time_ids"]
    ).sample

    torch.testing.assert_close(out, golden["out"], atol=1e-4, rtol=0)
    torch.testing.assert_close(each, golden["out_per_frame"], atol=1e-4, rtol=0)
    torch.testing.assert_close(same, golden["out"], atol=1e-4, rtol=0)
    torch.testing.assert_close(zero, golden["out_zero_ctx"], atol=1e-4, rtol=0)
    assert {f"trace.{name}" for name in traces} == {key for key in golden if key.startswith("trace.")}
    for name, value in traces.items():
        kept = value if value.ndim == 2 else value[[0, 7]]
        torch.testing.assert_close(kept, golden[f"trace.{name}"], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("channels", "rows", "message"),
    [(8, 1, r"\(B, F, 12, h, w\) is needed"), (12, 3, r"\(1, L, D\) or \(2, L, D\)")],
)
def test_wrong_shapes_are_named(unet: Any, channels: int, rows: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        unet(torch.zeros(1, 2, channels, 8, 8), 1.0, torch.zeros(rows, 49, 48), torch.zeros(1, 3))


def test_widening_keeps_the_eight_channel_output(unet: Any) -> None:
    state = unet.state_dict()
    eight = {**state, "conv_in.weight": state["conv_in.weight"][:, :8]}
    wide = widen_conv_in(eight)
    assert wide["conv_in.weight"].shape[1] == 12
    torch.testing.assert_close(wide["conv_in.weight"][:, :8], eight["conv_in.weight"])
    assert not wide["conv_in.weight"][:, 8:].any()
    with pytest.raises(UserError, match="more than the 8"):
        widen_conv_in(wide, 8)


def test_official_state_is_loaded_strictly(unet: Any, configs: Any) -> None:
    other = build_unet(configs["unet"])
    state = {key: value.half() for key, value in unet.state_dict().items()}
    load_official(other, state)
    assert torch.equal(other.conv_in.weight, state["conv_in.weight"].float())
    del state["conv_out.bias"]
    with pytest.raises(UserError, match=r"1 keys missing \(such as conv_out.bias\)"):
        load_official(other, state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"in_channels": 8}, "12 needed"),
        ({"block_out_channels": [30, 32]}, "multiple of 32"),
        ({"colour": 1}, "unknown entries: colour"),
        ({"projection_class_embeddings_input_dim": 64}, "3 x addition"),
        ({"num_attention_heads": [2]}, "does not build"),
    ],
)
def test_unet_config_is_checked(small_configs: Any, change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_unet(small_configs["unet"] | change)


def test_unet_config_of_svd_is_widened_on_demand(small_configs: Any) -> None:
    config = small_configs["unet"] | {"in_channels": 8, "_class_name": "UNetSpatioTemporalConditionModel"}
    assert build_unet(config, widen=True).conv_in.in_channels == 12


def test_vae_encodes_frames_apart_and_decodes_to_their_size(small_configs: Any) -> None:
    vae = build_vae(small_configs["vae"]).eval()
    frames = torch.rand(5, 3, 16, 24) * 2 - 1
    z = encode_mean(vae, frames)
    assert spatial_factor(vae) == 2
    assert z.shape == (5, 4, 8, 12)
    torch.testing.assert_close(encode_mean(vae, frames, chunk=2), z)
    assert decode(vae, z).shape == frames.shape
    with pytest.raises(UserError, match="latent_channels"):
        build_vae(small_configs["vae"] | {"latent_channels": 8})


def test_half_precision_vae_encodes_in_float32_and_keeps_its_weights(small_configs: Any) -> None:
    vae = build_vae(small_configs["vae"]).eval()
    vae.half()
    before = {key: value.clone() for key, value in vae.state_dict().items()}
    with upcast_encoder(vae):
        assert {p.dtype for p in vae.encoder.parameters()} == {torch.float32}
        encode_mean(vae, torch.zeros(1, 3, 8, 8))
    assert all(torch.equal(value, before[key]) for key, value in vae.state_dict().items())


def test_task_vector() -> None:
    assert task_vector({"bfr", "inpaint"}).tolist() == [1, 0, 1]
    for wrong in ({"sharpen"}, set(), "bfr", [["bfr"]]):
        with pytest.raises(UserError, match="task"):
            task_vector(wrong)
