"""Training without Ray: `python -m svfr.training.launch`, under `accelerate launch` or `torchrun` for several ranks.

Reads `params.yaml` in the current folder and the tables below it; SIGTERM saves and exits with status 143.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from svfr.errors import UserError
from svfr.params import load_params
from svfr.progress import Progress
from svfr.training.config import TrainConfig
from svfr.training.export import export_model
from svfr.training.history import Row
from svfr.training.loop import Summary, train
from svfr.training.ranks import rank_and_world


def as_program(job: Callable[[Callable[[], bool]], Summary]) -> None:
    """Runs `job(should_stop)` and exits as the module's text says; a `UserError` is one line and status 2."""
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, note)
    try:
        summary = job(lambda: bool(asked))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if not summary.finished:
        print(f"stopped at step {summary.step}, saved in {summary.checkpoint}: run again to go on", file=sys.stderr)
        sys.exit(143)


def run(should_stop: Callable[[], bool]) -> Summary:
    """Trains and, on rank 0 of a finished run, writes `models/svfr`."""
    params = load_params().train
    torch.set_num_threads(params.threads)
    config = TrainConfig.below(Path(), params)
    with Progress("train", params.steps, "steps") as progress:
        summary = train(config, should_stop=should_stop, on_step=partial(_show, progress))
    if summary.finished and rank_and_world()[0] == 0:
        export_model(config, summary.checkpoint, Path("models") / "svfr")
    return summary


def _show(progress: Progress, row: Row) -> None:
    progress.advance(int(row["step"]) - progress.done, note=f"loss {row['loss']:.4f}")


if __name__ == "__main__":
    as_program(run)
