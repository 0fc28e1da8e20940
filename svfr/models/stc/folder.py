"""The model folder of the STC family: `model.json` and `stc.safetensors`.

`model.json`: {"format": 1, "family": "stc", "stc": {sizes of `build_stc`}, "tasks": ["bfr"] or ["deflicker"], or []
for stage I, "image_size": S, "window": 24, "sampler": {"steps": 1, "overlap": 8}, "digests": {file: sha256},
"trained": {...}}.
"""

from __future__ import annotations

from math import isqrt
from pathlib import Path
from typing import Any

import torch

from svfr.artifacts import sha256_file
from svfr.errors import UserError
from svfr.models.folder import FORMAT, STC, verify_model_folder, write_model_folder
from svfr.models.loading import load_strict, read_checkpoint, read_state
from svfr.models.stc.network import VQGAN, build_stc, config_of
from svfr.models.stc.official import layers_in, tensors_of, variant_of

WEIGHTS_FILE = "stc.safetensors"
WINDOW = 24  # frames that the released networks were trained with
_TASKS = {"bfvr": ["bfr"], "deflicker": ["deflicker"], "stage1": []}


def save_stc_folder(folder: Path, network: VQGAN, *, window: int, trained: dict[str, Any]) -> dict[str, Any]:
    """Writes the network as a model folder, which appears whole or not at all; returns the `model.json` written.

    `window`: frames of one forward pass, an even number. Raises `UserError` for a network whose frames are no square.
    """
    config = network.config
    side = isqrt(config.tokens)
    if side * side != config.tokens or window < 2 or window % 2:
        raise UserError(f"a model folder needs square frames and an even window, got {config.tokens} latents, {window}")
    values = {
        "format": FORMAT,
        "family": STC,
        "stc": config_of(network),
        "tasks": _TASKS[config.variant],
        "image_size": config.space * side,
        "window": window,
        "sampler": {"steps": 1, "overlap": window // 3},
        "trained": trained,
    }
    return write_model_folder(folder, values, {WEIGHTS_FILE: network})


def load_stc_folder(
    folder: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> tuple[VQGAN, dict[str, Any]]:
    """The network, in eval mode and without gradients, and its `model.json`; digests first, then strict keys.

    Raises `UserError` for a changed, incomplete or foreign folder.
    """
    folder = Path(folder)
    config = verify_model_folder(folder, (STC,))
    state = {name: value.to(dtype) for name, value in read_state(folder / WEIGHTS_FILE).items()}
    with torch.device("meta"):
        network = build_stc(**config["stc"])
    load_strict(network, state, f"{folder / WEIGHTS_FILE}")
    return network.to(device).eval().requires_grad_(False), config


def import_stc(checkpoint: Path, out: Path) -> dict[str, Any]:
    """Turns a released checkpoint (`ckpt-bfvr.pth`, `ckpt-defilcker.pth`, `ckpt-deflickersd.pth`) into a model folder.

    The variant follows from the number of layers, the frame size from the position embeddings. The file is opened as
    tensors only. Returns the `model.json` written. Raises `UserError` for anything but the released networks.
    """
    held = read_checkpoint(checkpoint)
    state = tensors_of(held)
    variant = variant_of(layers_in(state), str(checkpoint))
    positions = state.get("position_emb_s", torch.empty(4096, 0))
    with torch.device("meta"):
        network = build_stc(variant, tokens=max(1, len(positions)))
    network.load_official(held)
    trained = {"origin": f"released BFVR-STC, {variant}", "imported": {"checkpoint": sha256_file(checkpoint)}}
    return save_stc_folder(out, network, window=WINDOW, trained=trained)
