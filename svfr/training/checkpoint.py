"""Checkpoints that exist whole or not at all: written aside, digests listed, marker last, then renamed.

<run>/checkpoints/step-00000500/  shard-00001-*.safetensors ...  state.json  digests.json  COMPLETE

Tensors: `model.<parameter>`, `ema.<parameter>`, `exp_avg.<parameter>`, `exp_avg_sq.<parameter>` of what is trained;
what is not trained lies in the base model, whose digest is part of the configuration.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from torch import Tensor

from svfr.artifacts import atomic_dir, sha256_file, write_json, write_text
from svfr.errors import UserError
from svfr.training.ranks import first_on_all, rank_and_world, together
from svfr.training.shards import PATTERN, read_tensors, write_tensors

MARKER, DIGESTS, STATE = "COMPLETE", "digests.json", "state.json"


@dataclass
class State:
    """Where a run stands: optimiser steps done, clips consumed over all ranks, and the best so far."""

    step: int = 0
    position: int = 0
    skipped: int = 0  # steps left out because the gradient was not finite
    best_step: int = -1
    best_loss: float | None = None  # held-out loss


def save_checkpoint(folder: Path, state: State, config: dict[str, Any], tensors: Mapping[str, Tensor]) -> Path:
    """Writes `folder/step-XXXXXXXX` by all ranks together, each its own part; `folder` must be one for all.

    Raises `UserError` on every rank if one of them cannot write, as on a full disk, and torch's `RuntimeError` if one
    of them is lost, which another attempt may survive; then nothing of it is left.
    """
    path = folder / f"step-{state.step:08d}"
    rank, _ = rank_and_world()
    try:
        with atomic_dir(path) if rank == 0 else nullcontext() as own:
            temporary: Path = first_on_all(own)
            write_tensors(temporary, tensors)
            shards = sorted(temporary.glob(PATTERN))
            digests = _digests(shards)
            together(lambda: _describe(temporary, state, config, digests) if rank == 0 else None)
        together(lambda: None)  # renamed: from here on every rank sees it
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"checkpoint {path} cannot be written ({reason}): free some space and run again; "
            "training goes on from the last whole checkpoint"
        ) from error
    return path


def _digests(files: list[Path]) -> dict[str, str]:
    """SHA-256 of every file by name; each rank reads its share of them."""
    rank, world = rank_and_world()
    parts = together(lambda: {file.name: sha256_file(file) for file in files[rank::world]})
    return {name: digest for part in parts for name, digest in part.items()}


def _describe(folder: Path, state: State, config: dict[str, Any], digests: dict[str, str]) -> None:
    write_json(folder / STATE, {**asdict(state), "config": config})
    write_json(folder / DIGESTS, {**digests, STATE: sha256_file(folder / STATE)})
    write_text(folder / MARKER, "")


def complete_checkpoints(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first; folders without the marker do not count."""
    return sorted(p for p in folder.glob("step-*") if (p / MARKER).is_file())


def load_state(path: Path) -> State:
    """Only the state of a finished checkpoint. Raises `UserError` if it is damaged."""
    saved = _read_json(path, STATE)
    saved.pop("config", None)
    try:
        return State(**saved)
    except TypeError as error:
        raise _damaged(path, error) from error


def check_config(path: Path, config: dict[str, Any]) -> None:
    """Raises `UserError` naming every value in which the checkpoint's configuration differs from `config`."""
    differing = sorted(_differences(_read_json(path, STATE).get("config"), config))
    if differing:
        raise UserError(
            f"checkpoint {path} belongs to another configuration ({'; '.join(differing)}): "
            "restore those values, or delete the checkpoint to start anew"
        )


def load_checkpoint(path: Path, config: dict[str, Any], tensors: Mapping[str, Tensor], alone: bool = False) -> State:
    """Overwrites the values of `tensors` after comparing digests and configuration; all ranks together, or `alone`.

    The number of ranks may differ from the one that wrote it. Raises `UserError` for a checkpoint that is damaged,
    belongs to another configuration, or lacks one of `tensors`, and torch's `RuntimeError` if a rank is lost.
    """
    digests = _read_json(path, DIGESTS)
    rank, world = (0, 1) if alone else rank_and_world()

    def changed_here() -> list[str]:
        return [name for name in sorted(digests)[rank::world] if sha256_file(path / name) != digests[name]]

    try:
        parts = [changed_here()] if alone else together(changed_here)
    except OSError as error:
        raise _damaged(path, error) from error
    changed = sorted(name for part in parts for name in part)
    if changed:
        raise UserError(f"checkpoint {path}: {', '.join(changed)} changed since it was written: delete the checkpoint")
    check_config(path, config)
    try:
        read_tensors(path, tensors, alone)
    except (ValueError, SafetensorError) as error:
        raise UserError(f"checkpoint {path} does not fit this model: {error}") from error
    return load_state(path)


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


def _read_json(path: Path, name: str) -> dict[str, Any]:
    try:
        return dict(json.loads((path / name).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> UserError:
    return UserError(f"checkpoint {path} is damaged ({error}): delete it to resume from the one before")


def _differences(saved: Any, now: Any, name: str = "") -> list[str]:
    """`params.lr: saved 0.1, now 0.2` for every leaf that differs."""
    if isinstance(saved, dict) and isinstance(now, dict):
        keys = sorted({*saved, *now})
        return [d for key in keys for d in _differences(saved.get(key), now.get(key), f"{name}.{key}".lstrip("."))]
    return [] if saved == now else [f"{name}: saved {saved}, now {now}"]
