"""Runs a training of any model family on Ray Train workers, to the end or to where SIGTERM asks it to stop.

Checkpoints live in the run's own folder in the cache, which is no output of a stage, so a stage that was killed goes on
where it stopped. A dead worker is replaced and the group resumes from the newest whole checkpoint.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

from stages.cluster import start_ray
from stages.train_follow import Follower
from stages.train_log import MlflowLog
from svfr.artifacts import write_text
from svfr.errors import UserError
from svfr.training.checkpoint import complete_checkpoints, load_state
from svfr.training.history import TIMING, Row

_ERROR, _STOP = "error.txt", "stop"


def run_to_end(name: str, config: Any, train: Callable[..., Any], log: MlflowLog) -> Path:
    """Trains by `train(config, should_stop=...)` on `config.params.workers` workers; returns the last checkpoint.

    `name` is shown with the progress. Raises `UserError` for unusable inputs or a run that failed for good; exits with
    status 143, everything saved, when it is asked to stop by SIGTERM.
    """
    folder, steps = config.run_dir(), config.params.steps
    _prepare(folder)
    with Follower(name, folder, steps, log.send):
        if _steps_done(folder) < steps:
            _fit(config, folder, train)
    if _steps_done(folder) < steps:
        print(f"{name}: stopped at step {_steps_done(folder)} and saved; run again to go on", file=sys.stderr)
        log.finish("KILLED", [])
        sys.exit(143)
    return complete_checkpoints(folder / "checkpoints")[-1]


def last_figures(rows: list[Row]) -> dict[str, float]:
    """The figures of a finished run: means of the last tenth of its steps, the last held-out losses, speed, memory."""
    last = rows[-max(1, len(rows) // 10) :]
    names = {name for row in last for name in row} - {"step", "lr", "skipped", *TIMING}
    figures = {name: fmean(row[name] for row in last if name in row) for name in names}
    figures |= {name: value for row in rows for name, value in row.items() if name.startswith("val_")}
    figures |= {"steps": rows[-1]["step"], "skipped": rows[-1].get("skipped", 0.0)}
    figures |= {"steps_per_second": 1 / median(row["seconds"] for row in rows)}
    return figures | {"memory_mb": max(row["memory_mb"] for row in rows)}


def _steps_done(folder: Path) -> int:
    """Optimiser steps of the newest whole checkpoint."""
    finished = complete_checkpoints(folder / "checkpoints")
    return load_state(finished[-1]).step if finished else 0


@dataclass(frozen=True)
class _Task:
    """What a worker is told."""

    config: Any
    folder: Path
    train: Callable[..., Any]  # (config, should_stop=...)


def _work(told: dict[str, Any]) -> None:
    """One rank. An error that another attempt would meet again is left in a file, so that none is made."""
    import torch

    task: _Task = told["task"]
    if (task.folder / _ERROR).exists():
        return
    torch.set_num_threads(task.config.params.threads)
    if not task.config.params.gpus_per_worker:
        os.environ["ACCELERATE_USE_CPU"] = "1"
    try:
        task.train(task.config, should_stop=(task.folder / _STOP).exists)
    except UserError as error:
        write_text(task.folder / _ERROR, str(error))
        raise


def _prepare(folder: Path) -> None:
    """Makes a run's folder ready for another attempt."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (_ERROR, _STOP):
        (folder / leftover).unlink(missing_ok=True)


def _fit(config: Any, folder: Path, train: Callable[..., Any]) -> None:
    """Runs the workers of any model family to the end, each by `train(config, should_stop=...)`.

    Raises `UserError` with their own message, or when too many of them died.
    """
    params = config.params
    os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
    start_ray(params.workers)
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchConfig, TorchTrainer

    storage = folder / "ray"
    shutil.rmtree(storage, ignore_errors=True)
    trainer = TorchTrainer(
        _work,
        train_loop_config={"task": _Task(config, folder, train)},
        torch_config=TorchConfig(backend="nccl" if params.gpus_per_worker else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=params.workers,
            use_gpu=params.gpus_per_worker > 0,
            resources_per_worker={"CPU": 1, **({"GPU": params.gpus_per_worker} if params.gpus_per_worker else {})},
        ),
        run_config=RunConfig(
            name="svfr",
            storage_path=str(storage),
            failure_config=FailureConfig(max_failures=params.max_failures),
        ),
    )
    error = folder / _ERROR
    with _sigterm_touches(folder / _STOP):
        try:
            trainer.fit()
        except Exception as failure:
            if not error.exists():
                reason = str(failure).strip().splitlines()
                raise UserError(
                    f"training failed after {params.max_failures} restarts ({reason[-1] if reason else failure}); "
                    f"run again to resume from {folder / 'checkpoints'}"
                ) from failure
    shutil.rmtree(storage, ignore_errors=True)
    if error.exists():
        raise UserError(error.read_text(encoding="utf-8"))


@contextmanager
def _sigterm_touches(path: Path) -> Iterator[None]:
    """SIGTERM creates `path`, which every worker looks for between steps."""
    before = signal.signal(signal.SIGTERM, lambda number, frame: path.touch())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
