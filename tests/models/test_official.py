"""Import of published checkpoints into a model folder, on small networks with the published key names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from svfr.artifacts import sha256_file
from svfr.errors import UserError
from svfr.models.folder import load_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.iresnet import IResNet
from svfr.models.official import Networks, import_official, import_svd
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae


@pytest.fixture
def files(tmp_path: Path, small_configs: dict[str, Any], configs: Any) -> dict[str, Path]:
    """What the authors and SVD-XT publish, in their formats and dtypes, of small networks."""
    torch.manual_seed(0)
    svd = tmp_path / "svd"
    (svd / "vae").mkdir(parents=True)
    (svd / "scheduler").mkdir()
    (svd / "unet").mkdir()
    unet = {key: value.half() for key, value in build_unet(small_configs["unet"]).state_dict().items()}
    vae = {key: value.half().contiguous() for key, value in build_vae(small_configs["vae"]).state_dict().items()}
    torch.save(unet, tmp_path / "unet.pth")
    torch.save({k: v.half() for k, v in IdentityProjection(512, 32).state_dict().items()}, tmp_path / "id.pth")
    torch.save(IResNet((1, 1, 1, 1)).state_dict(), tmp_path / "face.pth")
    save_file(vae, svd / "vae" / "diffusion_pytorch_model.fp16.safetensors")
    eight = {**unet, "conv_in.weight": unet["conv_in.weight"][:, :8].contiguous()}
    save_file(eight, svd / "unet" / "diffusion_pytorch_model.fp16.safetensors")
    (svd / "vae" / "config.json").write_text(json.dumps(small_configs["vae"] | {"_class_name": "X"}))
    (svd / "scheduler" / "scheduler_config.json").write_text(json.dumps(configs["scheduler"]))
    return {
        "unet": tmp_path / "unet.pth",
        "id_linear": tmp_path / "id.pth",
        "arcface": tmp_path / "face.pth",
        "svd": svd,
    }


def _small(small_configs: dict[str, Any]) -> Networks:
    return Networks(small_configs["unet"], small_configs["vae"], (1, 1, 1, 1))


def _import(files: dict[str, Path], out: Path, small_configs: dict[str, Any]) -> dict[str, Any]:
    paths = (files["unet"], files["id_linear"], files["arcface"], files["svd"])
    return import_official(*paths, out, networks=_small(small_configs))


def test_released_files_become_a_model_folder(files: Any, small_configs: Any, tmp_path: Path) -> None:
    record = _import(files, tmp_path / "out", small_configs)
    assert record["trained"]["imported"]["unet"] == sha256_file(files["unet"])
    assert record["identity"] == {"backend": "arcface", "in_channels": 512, "dim": 32}
    model = load_model_folder(tmp_path / "out")
    assert torch.equal(model.unet.conv_in.weight, torch.load(files["unet"])["conv_in.weight"].float())
    assert model.identity_encoder is not None
    assert model.identity_encoder(torch.zeros(1, 3, 112, 112)).shape == (1, 49, 32)
    assert model.config["scheduler"]["sigma_max"] == 700.0


def test_svd_is_widened_into_a_starting_point(files: Any, small_configs: Any, tmp_path: Path) -> None:
    for out in ("a", "b"):
        import_svd(files["svd"], files["arcface"], tmp_path / out, networks=_small(small_configs))
    weight = load_model_folder(tmp_path / "a").unet.conv_in.weight
    assert weight.shape[1] == 12
    assert not weight[:, 8:].any()
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def _spoil_code(files: dict[str, Path]) -> str:
    torch.save({"conv_in.weight": print}, files["unet"])
    return "may run code"


def _spoil_nan(files: dict[str, Path]) -> str:
    state = torch.load(files["unet"])
    state["conv_out.bias"][0] = torch.nan
    torch.save(state, files["unet"])
    return "'conv_out.bias' holds NaN"


def _spoil_key(files: dict[str, Path]) -> str:
    state = torch.load(files["unet"])
    state["module.conv_out.bias"] = state.pop("conv_out.bias")
    torch.save(state, files["unet"])
    return "1 keys missing .*1 unknown"


def _spoil_shape(files: dict[str, Path]) -> str:
    state = torch.load(files["unet"])
    state["conv_in.weight"] = state["conv_in.weight"][:, :8]
    torch.save(state, files["unet"])
    return r"'conv_in.weight' has shape \(32, 8, 3, 3\)"


def _spoil_face(files: dict[str, Path]) -> str:
    torch.save(torch.load(files["unet"]), files["arcface"])
    return "ArcFace"


def _spoil_width(files: dict[str, Path]) -> str:
    torch.save(IdentityProjection(512, 16).state_dict(), files["id_linear"])
    return r"'project1024.weight' has shape \(16, 512, 1, 1\)"


def _spoil_channels(files: dict[str, Path]) -> str:
    torch.save(IdentityProjection(128, 32).state_dict(), files["id_linear"])
    return r"'project1024.weight' has shape \(32, 128, 1, 1\)"


def _spoil_depth(files: dict[str, Path]) -> str:
    torch.save(IResNet((1, 2, 1, 1)).state_dict(), files["arcface"])
    return "ArcFace.*unknown"


def _spoil_numbers(files: dict[str, Path]) -> str:
    state = torch.load(files["unet"])
    state["conv_out.bias"] = state["conv_out.bias"].int()
    torch.save(state, files["unet"])
    return r"'conv_out.bias' holds torch.int32"


def _spoil_autoencoder(files: dict[str, Path]) -> str:
    path = files["svd"] / "vae" / "config.json"
    config = json.loads(path.read_text()) | {"layers_per_block": 2}
    path.write_text(json.dumps(config))
    state = {key: value.half().contiguous() for key, value in build_vae(config).state_dict().items()}
    save_file(state, path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    return "VAE.*unknown"


def _spoil_scheduler(files: dict[str, Path]) -> str:
    path = files["svd"] / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({"prediction_type": "epsilon"}))
    return "prediction_type 'epsilon'"


def _spoil_folder(files: dict[str, Path]) -> str:
    (files["svd"] / "vae" / "config.json").unlink()
    return r"config.json is missing"


def _spoil_vae(files: dict[str, Path]) -> str:
    (files["svd"] / "vae" / "diffusion_pytorch_model.fp16.safetensors").unlink()
    return "holds neither"


SPOILS = [value for name, value in list(globals().items()) if name.startswith("_spoil_")]


@pytest.mark.parametrize("spoil", SPOILS, ids=lambda spoil: spoil.__name__)
def test_anything_else_is_refused(spoil: Any, files: Any, small_configs: Any, tmp_path: Path) -> None:
    message = spoil(files)
    with pytest.raises(UserError, match=message):
        _import(files, tmp_path / "out", small_configs)
    assert not (tmp_path / "out").exists()
