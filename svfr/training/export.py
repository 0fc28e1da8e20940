"""From a checkpoint to a model folder: averaged weights, without the heads that only training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from svfr.artifacts import digest_of
from svfr.models.folder import load_model_folder, save_model_folder
from svfr.models.loading import load_strict
from svfr.training.checkpoint import load_checkpoint
from svfr.training.config import TrainConfig


def export_model(config: TrainConfig, checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Writes the running average of `checkpoint` as a model folder and returns its `model.json`.

    Raises `UserError` for a checkpoint that is damaged or belongs to another configuration.
    """
    identity = config.identity()
    saved = load_checkpoint(checkpoint, identity)
    bundle = load_model_folder(config.base)
    load_strict(bundle.unet, _below("unet.", saved.ema), "exported U-Net")
    if bundle.identity_projection is not None:
        load_strict(bundle.identity_projection, _below("projection.", saved.ema), "exported identity projection")
    bundle.config = {
        **bundle.config,
        "window": config.params.frames,
        "trained": {"steps": saved.state.step, "run": digest_of(identity)[:16], **identity},
    }
    return save_model_folder(folder, bundle)


def _below(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
