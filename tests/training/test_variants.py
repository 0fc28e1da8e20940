"""What may be switched on in training: parts, precision, accumulation, weightings; and what becomes of it on export."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from project_files import saved_tensors
from safetensors.torch import load_file

from svfr.diffusion import edm
from svfr.models.folder import load_model_folder, verify_model_folder
from svfr.training.config import TrainConfig
from svfr.training.export import export_model
from svfr.training.history import read_history
from svfr.training.loop import train
from svfr.training.model import TrainingModel
from svfr.training.noise import noise_loss

Configure = Callable[..., TrainConfig]
ONE = {"steps": 1, "frames": 1, "warmup": 0, "ema": 0.0}


def _changed(config: TrainConfig, folder: Path) -> set[str]:
    """Names of the U-Net's tensors that training changed, in the exported model."""
    before = load_model_folder(config.base).unet.state_dict()
    after = load_model_folder(folder).unet.state_dict()
    assert before.keys() == after.keys()
    return {name for name, value in before.items() if not torch.equal(value, after[name])}


def test_lora_trains_little_and_is_merged_on_export(configure: Configure, tmp_path: Path) -> None:
    config = configure(**{**ONE, "steps": 2}, parts="lora", lora_rank=2)
    summary = train(config)
    tensors = saved_tensors(summary.checkpoint)
    assert not any("base_layer" in name for name in tensors)
    down = {name: value for name, value in tensors.items() if "model.unet" in name and "lora_A" in name}
    assert {min(value.shape) for value in down.values()} == {2}

    export_model(config, summary.checkpoint, tmp_path / "model")
    changed = _changed(config, tmp_path / "model")
    assert any(name.endswith("attn1.to_q.weight") for name in changed)
    assert any(name.startswith("conv_in") for name in changed)
    assert not any("resnets" in name or "norm" in name for name in changed)
    # W + B A of one layer, by hand
    name = next(n.removeprefix("ema.unet.").removesuffix(".lora_A.default.weight") for n in tensors if "lora_A" in n)
    low, up = (tensors[f"ema.unet.{name}.lora_{part}.default.weight"] for part in "AB")
    base = load_model_folder(config.base).unet.state_dict()[f"{name}.weight"]
    merged = load_model_folder(tmp_path / "model").unet.state_dict()[f"{name}.weight"]
    torch.testing.assert_close(merged, base + up @ low)


def test_lora_starts_as_the_base_model(configure: Configure) -> None:
    config = configure(parts="lora")
    bundle, plain = load_model_folder(config.base), load_model_folder(config.base)
    model = TrainingModel(bundle, config.params.model_copy(update={"lambda_ulr": 0.0}), None).eval()
    x, time, ids = torch.randn(1, 2, 12, 16, 16), torch.zeros(1), torch.zeros(1, 3)
    context = torch.zeros(1, 49, 16)
    expected = plain.unet(x, time, context, ids).sample
    torch.testing.assert_close(model.unet(x, time, context, ids).sample, expected)
    model.merge()
    assert model.unet.state_dict().keys() == plain.unet.state_dict().keys()


def test_temporal_training_leaves_spatial_layers_alone(configure: Configure, tmp_path: Path) -> None:
    config = configure(**{**ONE, "frames": 2}, parts="temporal")
    summary = train(config)
    export_model(config, summary.checkpoint, tmp_path / "model")
    changed = _changed(config, tmp_path / "model")
    assert changed
    assert all("temporal" in name or "time_mixer" in name or name.startswith("conv_in") for name in changed)


def test_the_exported_folder_is_verified_and_loads_into_stock_diffusers(configure: Configure, tmp_path: Path) -> None:
    config = configure(**ONE)
    export_model(config, train(config).checkpoint, tmp_path / "model")
    described = verify_model_folder(tmp_path / "model")
    assert described["trained"]["steps"] == 1
    stock = UNetSpatioTemporalConditionModel.from_config({"in_channels": 12, **described["unet"]})
    stock.load_state_dict(load_file(tmp_path / "model" / "unet.safetensors"), strict=True)


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"gradient_checkpointing": True}])
def test_leaner_arithmetic_gives_nearly_the_same_step(configure: Configure, tmp_path: Path, changes: dict) -> None:
    plain = configure(**ONE)
    other = replace(configure(**ONE, **changes), runs=tmp_path / "other")
    train(plain)
    train(other)
    (expected,), (found,) = read_history(plain.run_dir()), read_history(other.run_dir())
    for name in ("loss", "noise", "prior", "grad_norm"):
        assert found[name] == pytest.approx(expected[name], rel=3e-2 if changes.get("precision") else 1e-4), name


def test_two_micro_steps_are_the_mean_of_both(configure: Configure, tmp_path: Path) -> None:
    """Without ULR, which never looks beyond a micro-step, half the clips twice is all the clips once."""
    plain = configure(**ONE, batch_clips=4, lambda_ulr=0.0, lambda_prior=0.0)
    split = configure(**ONE, batch_clips=2, accumulate=2, lambda_ulr=0.0, lambda_prior=0.0)
    a, b = (saved_tensors(train(config).checkpoint) for config in (plain, split))
    moments = [name for name in a if name.startswith("exp_avg.")]
    scale = max(float(a[name].norm()) for name in moments)
    assert all(float((a[name] - b[name]).norm()) < 1e-5 * scale for name in moments)


def test_weightings_are_those_of_the_papers() -> None:
    draw = torch.Generator().manual_seed(0)
    x0, noise, v = (torch.randn(5, 1, 4, 3, 3, generator=draw) for _ in range(3))
    sigma = torch.tensor([0.05, 0.3, 1.0, 4.0, 30.0])
    noisy = edm.add_noise(x0, noise, sigma)
    error = (edm.denoised(noisy, v, sigma) - x0).square().flatten(1).mean(1)
    weights = {
        "edm": [401.0, 12.1111, 2.0, 1.0625, 1.00111],
        "snr": [400.0, 11.1111, 1.0, 0.0625, 0.0011111],
        "min_snr": [5.0, 5.0, 1.0, 0.0625, 0.0011111],
        "soft_min_snr": [4.93827, 3.44828, 0.833333, 0.0617284, 0.00111086],
    }
    for kind, expected in weights.items():
        torch.testing.assert_close(
            noise_loss(v, x0, noisy, sigma, kind, 5.0), torch.tensor(expected) * error, rtol=2e-3, atol=1e-4
        )


def test_every_row_tells_speed_memory_and_utilisation(configure: Configure) -> None:
    config = configure(**ONE, peak_tflops=1e-3, loader_workers=1)
    rows: list[dict[str, float]] = []
    train(config, on_step=rows.append)
    (row,) = rows
    assert row["views_per_second"] == pytest.approx(2 * config.params.batch_clips / row["seconds"])
    assert row["memory_mb"] > 50
    assert math.isfinite(row["mfu"])
    assert 0 < row["mfu"] * 1e9 * row["seconds"] < 1e12
