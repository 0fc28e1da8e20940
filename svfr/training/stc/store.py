"""A trainer's state into and out of the checkpoints of `svfr.training.checkpoint`."""

from __future__ import annotations

from pathlib import Path

import torch

from svfr.errors import UserError
from svfr.training import checkpoint as store
from svfr.training.stc.trainer import Trainer


def save(trainer: Trainer, folder: Path) -> None:
    """Writes the newest checkpoint and drops old ones; called on one rank."""
    store.save_checkpoint(folder, store.Checkpoint(trainer.state, trainer.identity, trainer.tensors(), {}, {}))
    store.prune(folder, trainer.params.keep_checkpoints, trainer.state.best_step)


@torch.no_grad()
def resume(trainer: Trainer, folder: Path) -> bool:
    """Loads the newest whole checkpoint in `folder`, if any. Raises `UserError` if it is damaged or a foreign one."""
    finished = store.complete_checkpoints(folder)
    if not finished:
        return False
    saved = store.load_checkpoint(finished[-1], trainer.identity)
    own = trainer.tensors()
    if own.keys() != saved.model.keys():
        raise UserError(f"checkpoint {finished[-1]} does not fit this model: delete it to start anew")
    for name, value in own.items():
        value.copy_(saved.model[name])
    trainer.state = saved.state
    return True
