"""From a checkpoint to a model folder: the averaged weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from svfr.artifacts import digest_of
from svfr.models.stc import build_stc
from svfr.models.stc.folder import save_stc_folder
from svfr.training.checkpoint import load_checkpoint
from svfr.training.stc.config import STCTrainConfig
from svfr.training.stc.model import stc_config


def export_model(config: STCTrainConfig, checkpoint: Path, side: int) -> dict[str, Any]:
    """Writes the running average of `checkpoint` to `config.out` for frames of `side` pixels; returns its `model.json`.

    Raises `UserError` for a checkpoint that is damaged or belongs to another configuration.
    """
    identity = config.identity()
    sizes = stc_config(config.network, side, stage1=config.stage == "vqgan")
    network = build_stc(**{name: getattr(sizes, name) for name in sizes.__dataclass_fields__})
    average = {f"ema.{name}": parameter.detach() for name, parameter in network.named_parameters()}
    state = load_checkpoint(checkpoint, identity, average, alone=True)
    trained = {"steps": state.step, "run": digest_of(identity)[:16], **identity}
    return save_stc_folder(config.out, network, window=config.params.frames, trained=trained)
