"""From published checkpoints to a model folder: the released SVFR, and SVD-XT as the start of training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from svfr.artifacts import sha256_file
from svfr.errors import UserError
from svfr.models.folder import DEFAULT_SCHEDULER, ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.iresnet import IResNet
from svfr.models.loading import State, check_state, load_strict, read_state, shapes_of
from svfr.models.unet import SVD_XT_CONFIG, build_unet, widen_conv_in
from svfr.models.vae import SVD_VAE_CONFIG, build_vae

_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")


@dataclass(frozen=True)
class Networks:
    """The networks whose keys and shapes imported files must have, neither more nor less.

    The defaults are the published ones: 1,428 tensors of the U-Net, 374 of the VAE, 925 of ArcFace (blocks a stage:
    iResNet-100), 3 of the identity projection.
    """

    unet: Mapping[str, Any] = field(default_factory=lambda: SVD_XT_CONFIG)
    vae: Mapping[str, Any] = field(default_factory=lambda: SVD_VAE_CONFIG)
    arcface: tuple[int, ...] = (3, 13, 30, 3)


PUBLISHED = Networks()


def import_official(
    unet: Path,
    id_linear: Path,
    arcface: Path,
    svd_folder: Path,
    out: Path,
    *,
    networks: Networks = PUBLISHED,
) -> dict[str, Any]:
    """Turns `unet.pth`, `id_linear.pth`, `insightface_glint360k.pth` and an SVD-XT folder into a model folder.

    Of the SVD-XT folder only `vae/` and `scheduler/` are read. Files are opened as tensors only; every key and shape
    must be the published network's; NaN is refused. Weights of U-Net and VAE keep their dtype. Returns the
    `model.json` written, with the digests of the files imported. Raises `UserError` for anything else.
    """
    sources = {"unet": unet, "id_linear": id_linear, "arcface": arcface}
    with torch.device("meta"):
        network = build_unet(networks.unet)
    load_strict(network, read_state(unet), f"{unet} (U-Net)")
    projection_state = read_state(id_linear)
    with torch.device("meta"):
        wanted = shapes_of(IdentityProjection(512, _token_width(networks)))
    check_state(projection_state, wanted, f"{id_linear} (identity projection)")
    projection, face_network = IdentityProjection.from_state(projection_state), _arcface(arcface, networks)
    return _save(network, projection, face_network, networks, svd_folder, out, sources, "released SVFR")


def import_svd(
    svd_folder: Path,
    arcface: Path,
    out: Path,
    *,
    seed: int = 0,
    networks: Networks = PUBLISHED,
) -> dict[str, Any]:
    """The model folder from which SVFR's training starts: SVD-XT's U-Net widened to twelve channels.

    The four new input channels are zero; the identity projection is initialised from `seed`. Otherwise as
    `import_official`.
    """
    path = _one_of(svd_folder / "unet", _FILES)
    with torch.device("meta"):
        network = build_unet(networks.unet)
    load_strict(network, widen_conv_in(read_state(path)), f"{path} (U-Net)")
    face_network = _arcface(arcface, networks)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        projection = IdentityProjection(512, _token_width(networks))
    sources = {"svd_unet": path, "arcface": arcface}
    return _save(network, projection, face_network, networks, svd_folder, out, sources, "SVD-XT, widened")


def _save(
    unet: Any,
    projection: IdentityProjection,
    arcface: IResNet,
    networks: Networks,
    svd_folder: Path,
    out: Path,
    sources: Mapping[str, Path],
    origin: str,
) -> dict[str, Any]:
    vae_config = _json(svd_folder / "vae" / "config.json")
    vae_path = _one_of(svd_folder / "vae", _FILES)
    with torch.device("meta"):
        vae, published = build_vae(vae_config), build_vae(networks.vae)
    state = read_state(vae_path)
    check_state(state, shapes_of(published), f"{vae_path} (VAE)")
    load_strict(vae, state, f"{vae_path} (VAE of {vae_path.with_name('config.json')})")
    digests = {name: sha256_file(path) for name, path in {**sources, "vae": vae_path}.items()}
    config = {
        "unet": dict(networks.unet),
        "vae": {key: value for key, value in vae_config.items() if not key.startswith("_")},
        "scheduler": _scheduler(svd_folder / "scheduler" / "scheduler_config.json"),
        "identity": {"backend": "arcface"},
        "trained": {"origin": origin, "imported": digests},
    }
    return save_model_folder(Path(out), ModelBundle(unet, vae, projection, config, arcface))


def _arcface(path: Path, networks: Networks) -> IResNet:
    state: State = read_state(path)
    with torch.device("meta"):
        wanted = shapes_of(IResNet(networks.arcface))
    check_state(state, wanted, f"{path} (ArcFace)")
    return IResNet.from_official(state)


def _token_width(networks: Networks) -> int:
    return int(networks.unet["cross_attention_dim"])


def _scheduler(path: Path) -> dict[str, Any]:
    """SVD-XT's scheduler config, whose noise levels and parametrisation are those SVFR was trained for."""
    config = _json(path)
    for key, value in DEFAULT_SCHEDULER.items():
        if config.get(key, value) != value:
            raise UserError(f"{path} has {key} {config[key]!r}, not SVD-XT's {value!r}")
    return config


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
