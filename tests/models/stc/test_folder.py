"""The STC model folder: written, read, refused; the released checkpoints imported, by the command line too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from svfr.cli import main
from svfr.errors import UserError
from svfr.models.folder import load_model_folder, verify_model_folder
from svfr.models.loading import shapes_of
from svfr.models.stc import build_stc
from svfr.models.stc.folder import import_stc, load_stc_folder, save_stc_folder


def test_a_folder_gives_back_the_network(tmp_path: Path, tiny: Any) -> None:
    network = build_stc("bfvr", **tiny, legacy_residual=False)
    written = save_stc_folder(tmp_path / "a", network, window=8, trained={"steps": 3})
    save_stc_folder(tmp_path / "b", network, window=8, trained={"steps": 3})
    assert (tmp_path / "a" / "model.json").read_bytes() == (tmp_path / "b" / "model.json").read_bytes()
    loaded, config = load_stc_folder(tmp_path / "a")
    assert config == written == verify_model_folder(tmp_path / "a")
    assert (config["image_size"], config["window"], config["tasks"]) == (32, 8, ["bfr"])
    video = torch.rand(1, 3, 4, 32, 32)
    with torch.no_grad():
        assert torch.equal(loaded(video).video, network(video).video)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    half, _ = load_stc_folder(tmp_path / "a", dtype=torch.bfloat16)
    assert half.codebook.dtype == torch.bfloat16


def test_folders_of_the_other_family_and_damage_are_refused(tmp_path: Path, tiny: Any) -> None:
    folder = tmp_path / "stc"
    save_stc_folder(folder, build_stc("deflicker", **tiny), window=8, trained={})
    with pytest.raises(UserError, match="is not an SVFR model"):
        load_model_folder(folder)
    with pytest.raises(UserError, match="an even window"):
        save_stc_folder(folder, build_stc("deflicker", **tiny), window=7, trained={})
    weights = folder / "stc.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(UserError, match="was changed or damaged"):
        load_stc_folder(folder)


@pytest.mark.parametrize(("variant", "name"), [("bfvr", "ckpt-bfvr.pth"), ("deflicker", "ckpt-defilcker.pth")])
def test_released_checkpoints_become_folders(
    tmp_path: Path, values: Any, monkeypatch: pytest.MonkeyPatch, variant: Any, name: str
) -> None:
    with torch.device("meta"):
        shapes = shapes_of(build_stc(variant, tokens=16, unused=True))
    state = values(shapes, 2)
    torch.save({"params": {}, "params_ema": state}, tmp_path / name)
    out = tmp_path / "model"
    monkeypatch.setattr(sys, "argv", ["svfr", "weights", "import", str(tmp_path / name), str(out)])
    with pytest.raises(SystemExit) as left:
        main()
    assert not left.value.code
    network, config = load_stc_folder(out)
    assert config["window"] == 24
    assert config["stc"]["variant"] == variant
    assert config["stc"]["legacy_residual"] is True
    assert torch.equal(network.quantize.embedding_t.weight, state["quantize.embedding_t.weight"])


def test_other_files_are_refused(tmp_path: Path, tiny: Any) -> None:
    path = tmp_path / "own.pth"
    torch.save(build_stc("bfvr", **tiny).state_dict(), path)
    with pytest.raises(UserError, match="transformers of 2 layers, the released ones have"):
        import_stc(path, tmp_path / "out")
    torch.save({"params_ema": [1, 2]}, path)
    with pytest.raises(UserError, match="no checkpoint of BFVR-STC"):
        import_stc(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
