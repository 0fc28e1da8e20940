"""A trainer's state into and out of the checkpoints of `svfr.training.checkpoint`; all ranks together."""

from __future__ import annotations

from pathlib import Path

from svfr.training import checkpoint as store
from svfr.training.stc.trainer import Trainer


def save(trainer: Trainer, folder: Path) -> None:
    """Writes the newest checkpoint and drops old ones."""
    store.save_checkpoint(folder, trainer.state, trainer.identity, trainer.tensors())
    if trainer.accelerator.is_main_process:
        store.prune(folder, trainer.params.keep_checkpoints, trainer.state.best_step)
    trainer.accelerator.wait_for_everyone()


def resume(trainer: Trainer, folder: Path) -> bool:
    """Loads the newest whole checkpoint in `folder`, if any. Raises `UserError` if it is damaged or a foreign one."""
    finished = store.complete_checkpoints(folder)
    if finished:
        trainer.state = store.load_checkpoint(finished[-1], trainer.identity, trainer.tensors())
    return bool(finished)
