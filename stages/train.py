"""Stage 6: trains the restorer on Ray Train workers with Accelerate inside, then writes it as a model folder.

Checkpoints live in `cache/train/<digest of the configuration>/`, which is no output of the stage, so a stage that was
killed goes on where it stopped. A dead worker is replaced and the group resumes from the newest whole checkpoint.
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

from stages.engine import start_ray
from stages.entry import main
from stages.layout import Layout
from stages.train_follow import Follower
from stages.train_log import MlflowLog
from svfr.artifacts import write_json, write_text
from svfr.errors import UserError
from svfr.params import Params, TrainParams
from svfr.training.checkpoint import complete_checkpoints, load_state
from svfr.training.config import TrainConfig
from svfr.training.export import export_model
from svfr.training.history import TIMING, Row, history_csv, read_history
from svfr.training.index import VIEWS
from svfr.training.loop import train

_ERROR, _STOP = "error.txt", "stop"


def run(params: Params, root: Path) -> None:
    """Writes `models/svfr/`, `reports/train/metrics.json` and `history.csv`.

    Raises `UserError` for unusable inputs or a run that failed for good; exits with status 143, everything saved,
    when it is asked to stop by SIGTERM.
    """
    layout = Layout(root.resolve())
    config = TrainConfig.below(layout.root, params.train)
    folder = config.run_dir()
    prepare(folder)
    if not any(pair["split"] == "val" for pair in layout.read("pairs")):
        print("train: no pair is of split val (degrade.val_share), so there is no held-out loss", file=sys.stderr)
    log = MlflowLog(params.register_, params.train.model_dump(), folder, layout.root)
    with Follower(folder, params.train.steps, log.send):
        if steps_done(folder) < params.train.steps:
            fit(config, folder, train)
    if steps_done(folder) < params.train.steps:
        print(f"train: stopped at step {steps_done(folder)} and saved; run again to go on", file=sys.stderr)
        log.finish("KILLED", [])
        sys.exit(143)
    export_model(config, complete_checkpoints(folder / "checkpoints")[-1], layout.model)
    _report(folder, layout.reports / "train", params.train)
    log.finish("FINISHED", [layout.reports / "train"])


def steps_done(folder: Path) -> int:
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


def prepare(folder: Path) -> None:
    """Makes a run's folder ready for another attempt."""
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in (_ERROR, _STOP):
        (folder / leftover).unlink(missing_ok=True)


def fit(config: Any, folder: Path, train: Callable[..., Any]) -> None:
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


def _report(folder: Path, reports: Path, params: TrainParams) -> None:
    """Final figures (means of the last tenth of the steps, the last held-out losses, speed) and the whole history."""
    rows = read_history(folder)
    write_text(reports / "history.csv", history_csv(rows))
    write_json(reports / "metrics.json", final_figures(rows, params))


def final_figures(rows: list[Row], params: TrainParams) -> dict[str, float]:
    """The figures of a finished run by name; `views` counts degraded windows over all workers."""
    last = rows[-max(1, len(rows) // 10) :]
    names = {name for row in last for name in row} - {"step", "lr", "skipped", *TIMING}
    figures = {name: fmean(row[name] for row in last if name in row) for name in names}
    figures |= {n: v for row in rows for n, v in row.items() if n.startswith("val_")}
    seconds = median(row["seconds"] for row in rows)
    views = VIEWS * params.batch_clips * params.accumulate
    figures |= {"steps": rows[-1]["step"], "skipped": rows[-1].get("skipped", 0.0), "steps_per_second": 1 / seconds}
    figures |= {"views_per_second": views / seconds, "memory_mb": max(row["memory_mb"] for row in rows)}
    figures |= {"mfu": median(row.get("mfu", 0.0) for row in rows)}
    return {name: float(f"{value:.6g}") for name, value in figures.items()}


if __name__ == "__main__":
    main(run)
