"""Checkpoints that exist whole or not at all: written aside, digests listed, marker last, then renamed.

<run>/checkpoints/step-00000500/  model.safetensors  ema.safetensors  optimizer.pt  state.json  digests.json  COMPLETE
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from svfr.artifacts import atomic_dir, sha256_file, write_json, write_text
from svfr.errors import UserError

MARKER, DIGESTS, STATE = "COMPLETE", "digests.json", "state.json"
MODEL, EMA, OPTIMISER = "model.safetensors", "ema.safetensors", "optimizer.pt"


@dataclass
class State:
    """Where a run stands: optimiser steps done, clips consumed over all ranks, EMA updates, and the best so far."""

    step: int = 0
    position: int = 0
    ema_step: int = 0
    skipped: int = 0  # steps left out because the gradient was not finite
    best_step: int = -1
    best_loss: float | None = None  # held-out loss


@dataclass(frozen=True)
class Checkpoint:
    """The tensors and the state of a run, as they are saved and loaded."""

    state: State
    config: dict[str, Any]
    model: dict[str, Tensor]
    ema: dict[str, Tensor]
    optimiser: dict[str, Any]


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Writes `folder/step-XXXXXXXX`. Raises `UserError` if the disk is full; then nothing of it is left."""
    path = folder / f"step-{checkpoint.state.step:08d}"
    try:
        with atomic_dir(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in checkpoint.model.items()}, temporary / MODEL)
            save_file({k: v.detach().cpu().contiguous() for k, v in checkpoint.ema.items()}, temporary / EMA)
            torch.save(checkpoint.optimiser, temporary / OPTIMISER)
            write_json(temporary / STATE, {**asdict(checkpoint.state), "config": checkpoint.config})
            names = (MODEL, EMA, OPTIMISER, STATE)
            write_json(temporary / DIGESTS, {name: sha256_file(temporary / name) for name in names})
            write_text(temporary / MARKER, "")
    except UserError:
        raise
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"checkpoint {path} cannot be written ({reason}): free some space and run again; "
            "training goes on from the last whole checkpoint"
        ) from error
    return path


def complete_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first; folders without the marker do not count."""
    return sorted(p for p in folder.glob("step-*") if (p / MARKER).is_file())


def load_state(path: Path) -> State:
    """Only the state of a finished checkpoint. Raises `UserError` if it is damaged."""
    try:
        saved = json.loads((path / STATE).read_text(encoding="utf-8"))
        return State(**{key: value for key, value in saved.items() if key != "config"})
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"checkpoint {path} is damaged ({error}): delete it to resume from the one before") from error


def load_checkpoint(path: Path, config: dict[str, Any]) -> Checkpoint:
    """Reads a checkpoint after comparing every digest, and refuses one of another configuration (`UserError`)."""
    try:
        digests = json.loads((path / DIGESTS).read_text(encoding="utf-8"))
        changed = [name for name, digest in digests.items() if sha256_file(path / name) != digest]
        saved = json.loads((path / STATE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"checkpoint {path} is damaged ({error}): delete it to resume from the one before") from error
    if changed:
        raise UserError(f"checkpoint {path}: {', '.join(changed)} changed since it was written: delete the checkpoint")
    differing = sorted(_differences(saved.pop("config"), config))
    if differing:
        raise UserError(
            f"checkpoint {path} belongs to another configuration ({'; '.join(differing)}): "
            "restore those values, or delete the checkpoint to start anew"
        )
    optimiser = torch.load(path / OPTIMISER, map_location="cpu", weights_only=True)
    return Checkpoint(State(**saved), config, load_file(path / MODEL), load_file(path / EMA), optimiser)


def prune(folder: Path, keep: int, best_step: int) -> None:
    """Deletes all but the `keep` newest checkpoints and the one of `best_step`, and what a killed run left aside."""
    for path in complete_checkpoints(folder)[:-keep]:
        if path.name != f"step-{best_step:08d}":
            (path / MARKER).unlink()  # from here on it is no checkpoint, even if the deletion is cut short
            shutil.rmtree(path)
    whole = set(complete_checkpoints(folder))
    for path in _entries(folder):
        if path not in whole:
            shutil.rmtree(path, ignore_errors=True)


def _entries(folder: Path) -> Iterable[Path]:
    return [p for p in folder.iterdir() if p.is_dir()] if folder.is_dir() else []


def _differences(saved: Any, now: Any, name: str = "") -> list[str]:
    """`params.lr: saved 0.1, now 0.2` for every leaf that differs."""
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = sorted({*saved, *now})
        return [d for key in keys for d in _differences(saved.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if saved == now else [f"{name}: saved {saved}, now {now}"]
