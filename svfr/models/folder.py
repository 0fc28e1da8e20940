"""The model folder: one trained model as plain files, and nothing that can run code. Of the family "svfr":

    model.json               format, configs of every part, sampler defaults, digests, free notes of the training
    unet.safetensors         the 12-channel U-Net
    vae.safetensors          the temporal autoencoder
    id_linear.safetensors    identity projection (absent if the identity backend is "none")
    arcface.safetensors      ArcFace iResNet (present if the identity backend is "arcface")

`model.json`: {"format": 1, "family": "svfr", "unet": {...}, "vae": {...}, "scheduler": {...},
"identity": {"backend": "arcface" | "dlib" | "none", "in_channels": C, "dim": D}, "image_size": S, "window": F,
"sampler": {"steps": 30, "guidance": [2.0, 2.0], ...}, "digests": {file: sha256}, "trained": {...}}.
The family "stc" shares the frame of it and holds other files: see `svfr.models.stc.folder`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers.models.autoencoders.autoencoder_kl_temporal_decoder import AutoencoderKLTemporalDecoder
from diffusers.models.unets.unet_spatio_temporal_condition import UNetSpatioTemporalConditionModel
from safetensors.torch import save_file
from torch import Tensor, nn

from svfr.artifacts import atomic_dir, sha256_file, write_json
from svfr.errors import UserError
from svfr.models.identity import IdentityEncoder, IdentityProjection
from svfr.models.iresnet import IResNet
from svfr.models.loading import load_strict, read_state
from svfr.models.unet import build_unet
from svfr.models.vae import build_vae

FORMAT = 1
CONFIG_FILE = "model.json"
BACKENDS = ("arcface", "dlib", "none")
SVFR, STC = "svfr", "stc"
SVFR_TASKS = frozenset(("bfr", "color", "inpaint"))
# of each family: what `model.json` must hold beside the digests, and the weight files without which it is no model
FAMILIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    SVFR: (("unet", "vae", "scheduler", "identity"), ("unet.safetensors", "vae.safetensors")),
    STC: (("stc", "image_size", "window", "tasks"), ("stc.safetensors",)),
}
DEFAULT_SCHEDULER: dict[str, Any] = {
    "prediction_type": "v_prediction",
    "timestep_type": "continuous",
    "use_karras_sigmas": True,
    "sigma_min": 0.002,
    "sigma_max": 700.0,
}


@dataclass
class ModelBundle:
    """Everything one SVFR model consists of. `config` is the contents of `model.json`; see the module's text.

    `config` needs "unet", "vae" and "identity"; "scheduler", "image_size", "window", "sampler" and "trained" get
    defaults; "format", "family" and "digests" are written by `save_model_folder`.
    """

    unet: UNetSpatioTemporalConditionModel
    vae: AutoencoderKLTemporalDecoder
    identity_projection: IdentityProjection | None
    config: dict[str, Any] = field(default_factory=dict)
    arcface: IResNet | None = None

    @property
    def identity_encoder(self) -> IdentityEncoder | None:
        """RGB crops (B,3,112,112) -> tokens, if the backend is ArcFace; for other backends use the projection."""
        if self.arcface is None or self.identity_projection is None:
            return None
        return IdentityEncoder(self.arcface, self.identity_projection)


def save_model_folder(folder: Path, model: ModelBundle) -> dict[str, Any]:
    """Writes the bundle to `folder`, which appears whole or not at all; returns the `model.json` written.

    Weights keep their dtype. Equal bundles give byte-identical folders. Raises `UserError` if the parts do not
    belong together, for example a projection whose width is not the U-Net's cross-attention width.
    """
    config = _completed(model)
    parts: dict[str, nn.Module | None] = {
        "unet.safetensors": model.unet,
        "vae.safetensors": model.vae,
        "id_linear.safetensors": model.identity_projection,
        "arcface.safetensors": model.arcface,
    }
    return write_model_folder(folder, config, parts)


def write_model_folder(folder: Path, config: dict[str, Any], parts: Mapping[str, nn.Module | None]) -> dict[str, Any]:
    """Writes weight files (name -> module) and `config`, with their digests, as a folder; returns the `model.json`."""
    with atomic_dir(Path(folder)) as temporary:
        digests = {}
        for name, module in parts.items():
            if module is not None:
                state = {key: value.detach().cpu().contiguous() for key, value in module.state_dict().items()}
                save_file(state, temporary / name)
                (temporary / name).chmod(0o644)  # safetensors makes it private
                digests[name] = sha256_file(temporary / name)
        config = {**config, "digests": digests}
        write_json(temporary / CONFIG_FILE, config)
    return config


def read_model_config(folder: Path, families: Sequence[str] = (SVFR,)) -> dict[str, Any]:
    """The checked `model.json` of a folder. Raises `UserError` if it is absent, damaged or of none of `families`."""
    path = Path(folder) / CONFIG_FILE
    if not path.is_file():
        raise UserError(f"{folder} is no model folder: {CONFIG_FILE} is missing")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is damaged: {error}") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT or config.get("family") not in families:
        wanted = " or ".join(family.upper() for family in families)
        raise UserError(f"{path} is not an {wanted} model of format {FORMAT}: export or import the model again")
    missing = [key for key in (*FAMILIES[config["family"]][0], "digests") if key not in config]
    if missing:
        raise UserError(f"{path} lacks {', '.join(missing)}: export or import the model again")
    return config


def verify_model_folder(folder: Path, families: Sequence[str] = tuple(FAMILIES)) -> dict[str, Any]:
    """`read_model_config` after comparing every weight file with its recorded SHA-256; raises `UserError`."""
    config = read_model_config(folder, families)
    names = set(config["digests"])
    if not names.issuperset(FAMILIES[config["family"]][1]) or any(Path(name).name != name for name in names):
        raise UserError(f"{folder}: digests in {CONFIG_FILE} do not name the files of a model folder")
    for name, digest in sorted(config["digests"].items()):
        path = Path(folder) / name
        if not path.is_file():
            raise UserError(f"{folder} is incomplete: {name} is missing")
        if sha256_file(path) != digest:
            raise UserError(f"{path} does not match the SHA-256 in {CONFIG_FILE}: it was changed or damaged")
    return config


def load_model_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> ModelBundle:
    """Loads a model folder for inference: digests first, then strict keys and shapes; eval mode, no gradients.

    Every part goes to `device` and `dtype`. Raises `UserError` for a changed, incomplete or foreign folder.
    """
    folder = Path(folder)
    config = verify_model_folder(folder, (SVFR,))

    def state(name: str) -> dict[str, Tensor]:
        return {k: v.to(dtype) if v.is_floating_point() else v for k, v in read_state(folder / name).items()}

    with torch.device("meta"):
        unet, vae = build_unet(config["unet"]), build_vae(config["vae"])
    load_strict(unet, state("unet.safetensors"), "U-Net")
    load_strict(vae, state("vae.safetensors"), "VAE")
    projection, arcface = None, None
    if "id_linear.safetensors" in config["digests"]:
        projection = IdentityProjection.from_state(state("id_linear.safetensors")).to(dtype)
    if "arcface.safetensors" in config["digests"]:
        arcface = IResNet.from_official(state("arcface.safetensors")).to(dtype)
    modules: list[nn.Module | None] = [unet, vae, projection, arcface]
    for module in modules:
        if module is not None:
            module.to(device).eval().requires_grad_(False)
    bundle = ModelBundle(unet, vae, projection, config, arcface)
    _check_parts(bundle, config["identity"])
    return bundle


def _completed(model: ModelBundle) -> dict[str, Any]:
    """`model.config` with defaults filled in and the parts checked against it."""
    missing = [key for key in ("unet", "vae", "identity") if key not in model.config]
    if missing:
        raise UserError(f"model config lacks {', '.join(missing)}")
    defaults = {
        "scheduler": DEFAULT_SCHEDULER,
        "image_size": 512,
        "window": 16,
        "sampler": {"steps": 30, "guidance": [2.0, 2.0]},
        "trained": {},
    }
    config: dict[str, Any] = {**defaults, **model.config, "format": FORMAT, "family": SVFR}
    identity = dict(config["identity"])
    if model.identity_projection is not None:
        identity |= {"in_channels": model.identity_projection.in_channels, "dim": model.identity_projection.dim}
    config["identity"] = identity
    _check_parts(model, identity)
    return config


def _check_parts(model: ModelBundle, identity: dict[str, Any]) -> None:
    backend = identity.get("backend")
    if backend not in BACKENDS:
        raise UserError(f"identity backend '{backend}' is unknown: choose among {', '.join(BACKENDS)}")
    if (model.identity_projection is None) != (backend == "none"):
        raise UserError(f"identity backend '{backend}' and the identity projection do not go together")
    if (model.arcface is None) == (backend == "arcface"):
        raise UserError(f"identity backend '{backend}' and the ArcFace network do not go together")
    width = model.unet.config["cross_attention_dim"]
    if model.identity_projection is not None and model.identity_projection.dim != width:
        raise UserError(
            f"identity tokens have width {model.identity_projection.dim}, the U-Net's cross-attention {width}"
        )
