"""From a checkpoint to a model folder: averaged weights, without the heads that only training needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from svfr.artifacts import digest_of
from svfr.models.folder import load_model_folder, save_model_folder
from svfr.training.checkpoint import load_checkpoint
from svfr.training.config import TrainConfig
from svfr.training.model import TrainingModel


def export_model(config: TrainConfig, checkpoint: Path, folder: Path) -> dict[str, Any]:
    """Writes the running average of `checkpoint` as a model folder and returns its `model.json`.

    Low-rank changes are merged, so every folder holds a stock U-Net. Raises `UserError` for a checkpoint that is
    damaged or belongs to another configuration.
    """
    identity = config.identity()
    bundle = load_model_folder(config.base)
    without_heads = config.params.model_copy(update={"lambda_ulr": 0.0})
    model = TrainingModel(bundle, without_heads, shape_mean=None)
    averaged = {f"ema.{name}": parameter.detach() for name, parameter in model.exported().items()}
    state = load_checkpoint(checkpoint, identity, averaged, alone=True)
    model.merge()
    bundle.config = {
        **bundle.config,
        "window": config.params.frames,
        "trained": {"steps": state.step, "run": digest_of(identity)[:16], **identity},
    }
    return save_model_folder(folder, bundle)
