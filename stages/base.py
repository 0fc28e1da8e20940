"""Stage 5: the model folder that training starts from.

`svd-xt`: SVD-XT's own weights, its U-Net widened from 8 to 12 input channels with zeros. `tiny`: small networks that
start as the identity, for the sample profile. Both get a fresh identity projection.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from stages.entry import main
from stages.layout import Layout
from svfr.errors import UserError
from svfr.models.folder import DEFAULT_SCHEDULER, ModelBundle, save_model_folder
from svfr.models.identity import IdentityProjection
from svfr.models.identity_start import start_unet, start_vae
from svfr.models.iresnet import IResNet
from svfr.models.loading import read_state
from svfr.models.unet import build_unet, load_official, widen_conv_in
from svfr.models.vae import build_vae
from svfr.params import BaseParams, Params
from svfr.weights import require


def run(params: Params, root: Path) -> None:
    """Writes `models/base/`. Raises `UserError` if SVD-XT's folder or a weight file is missing or does not fit."""
    torch.manual_seed(params.base.seed)
    unet, vae, scheduler = (_svd_xt if params.base.kind == "svd-xt" else _tiny)(params.base)
    identity = params.base.identity
    arcface = IResNet.from_official(read_state(require("arcface"))) if identity.backend == "arcface" else None
    bundle = ModelBundle(
        unet,
        vae,
        IdentityProjection(identity.channels, unet.config.cross_attention_dim),
        {
            "unet": _config(unet, params.base.unet),
            "vae": _config(vae, params.base.vae),
            "scheduler": scheduler,
            "identity": {"backend": identity.backend},
            "image_size": params.faces.size,
            "window": params.train.frames,
            "sampler": {"steps": params.base.steps, "guidance": [params.base.guidance] * 2},
            "trained": {"base": params.base.kind},
        },
        arcface,
    )
    save_model_folder(Layout(root).base_model, bundle)
    count = sum(p.numel() for p in unet.parameters())
    print(f"base: {params.base.kind}, U-Net of {count / 1e6:.1f} M parameters")


def _tiny(params: BaseParams) -> tuple[Any, Any, dict[str, Any]]:
    unet, vae = build_unet(params.unet), build_vae(params.vae)
    start_vae(vae)
    start_unet(unet, float(vae.config["scaling_factor"]))
    return unet, vae, {**DEFAULT_SCHEDULER, **params.scheduler}


def _svd_xt(params: BaseParams) -> tuple[Any, Any, dict[str, Any]]:
    folder = Path(params.svd_folder)
    unet_config, vae_config = _read_config(folder / "unet/config.json"), _read_config(folder / "vae/config.json")
    scheduler = _read_config(folder / "scheduler/scheduler_config.json")
    unet, vae = build_unet(unet_config, widen=True), build_vae(vae_config)
    load_official(unet, widen_conv_in(read_state(_weights(folder / "unet"))))
    vae.load_state_dict({key: value.float() for key, value in read_state(_weights(folder / "vae")).items()})
    return unet, vae, {key: value for key, value in scheduler.items() if not key.startswith("_")}


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(
            f"{path} is missing: set base.svd_folder to the folder of stable-video-diffusion-img2vid-xt "
            "('svfr weights list' says where it comes from)"
        )
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _weights(folder: Path) -> Path:
    names = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.fp16.safetensors")
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise UserError(f"{folder} holds neither {names[0]} nor {names[1]}: fetch SVD-XT's weights ('svfr weights list')")


def _config(network: Any, given: dict[str, Any]) -> dict[str, Any]:
    """The constructor arguments that rebuild `network`."""
    own = {key: value for key, value in dict(network.config).items() if not key.startswith("_")}
    return {**own, **{key: value for key, value in given.items() if key in ("norm_groups", "mid_attention")}}


if __name__ == "__main__":
    main(run)
