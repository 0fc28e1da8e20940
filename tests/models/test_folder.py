"""The model folder: round trip, digests, refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from svfr.errors import UserError
from svfr.models.folder import ModelBundle, load_model_folder, read_model_config, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.iresnet import IResNet
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae


@pytest.fixture(scope="module")
def bundle(small_configs: dict[str, Any]) -> ModelBundle:
    torch.manual_seed(0)
    config = {**small_configs, "identity": {"backend": "dlib"}, "image_size": 64, "window": 8, "trained": {"steps": 3}}
    return ModelBundle(
        build_unet(small_configs["unet"]), build_vae(small_configs["vae"]), IdentityProjection(128, 32), config
    )


@pytest.fixture
def folder(tmp_path: Path, bundle: ModelBundle) -> Path:
    save_model_folder(tmp_path / "model", bundle)
    return tmp_path / "model"


def test_round_trip(folder: Path, bundle: ModelBundle, tmp_path: Path) -> None:
    loaded = load_model_folder(folder)
    for name in ("unet", "vae", "identity_projection"):
        ours, theirs = getattr(bundle, name).state_dict(), getattr(loaded, name).state_dict()
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not loaded.unet.training
    assert not any(p.requires_grad for p in loaded.unet.parameters())
    assert loaded.config["identity"] == {"backend": "dlib", "in_channels": 128, "dim": 32}
    assert loaded.config["window"] == 8
    assert loaded.config["scheduler"]["sigma_max"] == 700.0
    assert loaded.identity_encoder is None
    save_model_folder(tmp_path / "again", loaded)
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_dtype_is_the_callers(folder: Path) -> None:
    loaded = load_model_folder(folder, dtype=torch.bfloat16)
    assert {p.dtype for p in loaded.unet.parameters()} == {torch.bfloat16}
    assert loaded.identity_projection is not None
    assert loaded.identity_projection.final_norm.weight.dtype == torch.bfloat16


def test_arcface_travels_with_its_backend(tmp_path: Path, bundle: ModelBundle) -> None:
    config = {**bundle.config, "identity": {"backend": "arcface"}}
    model = ModelBundle(bundle.unet, bundle.vae, IdentityProjection(512, 32), config, IResNet((1, 1, 1, 1)))
    save_model_folder(tmp_path / "model", model)
    encoder = load_model_folder(tmp_path / "model").identity_encoder
    assert encoder is not None
    assert encoder(torch.zeros(1, 3, 112, 112)).shape == (1, 49, 32)


def test_a_changed_file_is_refused(folder: Path) -> None:
    path = folder / "vae.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match=r"vae.safetensors does not match the SHA-256"):
        load_model_folder(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"incomplete: vae.safetensors"):
        load_model_folder(folder)


def test_foreign_folders_are_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model folder"):
        read_model_config(tmp_path)
    record = json.loads((folder / "model.json").read_text())
    for change, message in (
        ({"family": "stc"}, "not an SVFR model"),
        ({"format": 2}, "format 1"),
        ({"digests": {"../secret": "0"}}, "do not name the files"),
    ):
        (folder / "model.json").write_text(json.dumps(record | change))
        with pytest.raises(UserError, match=message):
            load_model_folder(folder)
    (folder / "model.json").write_text("{")
    with pytest.raises(UserError, match="damaged"):
        load_model_folder(folder)


def test_parts_that_do_not_belong_together_are_refused(tmp_path: Path, bundle: ModelBundle) -> None:
    narrow = ModelBundle(bundle.unet, bundle.vae, IdentityProjection(128, 16), bundle.config)
    lost = ModelBundle(bundle.unet, bundle.vae, None, bundle.config)
    unknown = ModelBundle(bundle.unet, bundle.vae, None, {**bundle.config, "identity": {"backend": "magic"}})
    for model, message in ((narrow, "width 16"), (lost, "do not go together"), (unknown, "'magic' is unknown")):
        with pytest.raises(UserError, match=message):
            save_model_folder(tmp_path / "model", model)
    assert not (tmp_path / "model").exists()
