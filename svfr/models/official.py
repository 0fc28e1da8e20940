"""From published checkpoints to a model folder: the released SVFR, and SVD-XT as the start of training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from svfr.artifacts import sha256_file
from svfr.errors import UserError
from svfr.models.folder import ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.iresnet import IResNet
from svfr.models.loading import load_strict, read_state
from svfr.models.unet import SVD_XT_CONFIG, build_unet, widen_conv_in
from svfr.models.vae import build_vae

_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


def import_official(
    unet: Path,
    id_linear: Path,
    arcface: Path,
    svd_folder: Path,
    out: Path,
    *,
    unet_config: Mapping[str, Any] = SVD_XT_CONFIG,
) -> dict[str, Any]:
    """Turns `unet.pth`, `id_linear.pth`, `insightface_glint360k.pth` and an SVD-XT folder into a model folder.

    Of the SVD-XT folder only `vae/` and `scheduler/` are read. Files are opened as tensors only; every key and shape
    must be the published network's; NaN is refused. Weights of U-Net and VAE keep their dtype. Returns the
    `model.json` written, with the digests of the files imported. Raises `UserError` for anything else.
    """
    sources = {"unet": unet, "id_linear": id_linear, "arcface": arcface}
    with torch.device("meta"):
        network = build_unet(unet_config)
    load_strict(network, read_state(unet), f"{unet} (U-Net)")
    projection = IdentityProjection.from_state(read_state(id_linear))
    face_network = IResNet.from_official(read_state(arcface))
    return _save(network, projection, face_network, unet_config, svd_folder, out, sources, "released SVFR")


def import_svd(
    svd_folder: Path,
    arcface: Path,
    out: Path,
    *,
    seed: int = 0,
    unet_config: Mapping[str, Any] = SVD_XT_CONFIG,
) -> dict[str, Any]:
    """The model folder from which SVFR's training starts: SVD-XT's U-Net widened to twelve channels.

    The four new input channels are zero; the identity projection is initialised from `seed`. Otherwise as
    `import_official`.
    """
    path = _one_of(svd_folder / "unet", _FILES)
    with torch.device("meta"):
        network = build_unet(unet_config)
    load_strict(network, widen_conv_in(read_state(path)), f"{path} (U-Net)")
    face_network = IResNet.from_official(read_state(arcface))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projection = IdentityProjection(512, int(unet_config["cross_attention_dim"]))
    sources = {"svd_unet": path, "arcface": arcface}
    return _save(network, projection, face_network, unet_config, svd_folder, out, sources, "SVD-XT, widened")


def _save(
    unet: Any,
    projection: IdentityProjection,
    arcface: IResNet,
    unet_config: Mapping[str, Any],
    svd_folder: Path,
    out: Path,
    sources: Mapping[str, Path],
    origin: str,
) -> dict[str, Any]:
    vae_config = _json(svd_folder / "vae" / "config.json")
    vae_path = _one_of(svd_folder / "vae", _FILES)
    with torch.device("meta"):
        vae = build_vae(vae_config)
    load_strict(vae, read_state(vae_path), f"{vae_path} (VAE)")
    digests = {name: sha256_file(path) for name, path in {**sources, "vae": vae_path}.items()}
    config = {
        "unet": dict(unet_config),
        "vae": {key: value for key, value in vae_config.items() if not key.startswith("_")},
        "scheduler": _json(svd_folder / "scheduler" / "scheduler_config.json"),
        "identity": {"backend": "arcface"},
        "trained": {"origin": origin, "imported": digests},
    }
    return save_model_folder(Path(out), ModelBundle(unet, vae, projection, config, arcface))


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} is missing: an SVD-XT folder has vae/ and scheduler/ with their configs") from error
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"{path} is no config")
    return value


def _one_of(folder: Path, names: tuple[str, ...]) -> Path:
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} holds neither {' nor '.join(names)}: fetch SVD-XT (`svfr weights list`)")
