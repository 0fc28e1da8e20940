"""Training without Ray: `python -m svfr.training.stc.launch vqgan`, then `predictor`; also under `torchrun`.

Reads `params.yaml` in the current folder and the tables below it; SIGTERM saves and exits with status 143.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from svfr.params import load_params
from svfr.training.launch import as_program
from svfr.training.loop import Summary
from svfr.training.ranks import rank_and_world
from svfr.training.stc.config import Stage, STCTrainConfig
from svfr.training.stc.export import export_model
from svfr.training.stc.loop import frame_side, train


def run(stage: Stage, should_stop: Callable[[], bool]) -> Summary:
    """Trains one stage and, on rank 0 of a finished run, writes its model folder."""
    config = STCTrainConfig.below(Path(), load_params().stc, stage)
    torch.set_num_threads(config.params.threads)
    summary = train(config, should_stop=should_stop)
    if summary.finished and rank_and_world()[0] == 0:
        export_model(config, summary.checkpoint, frame_side(config))
    return summary


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["vqgan", "predictor"])
    as_program(partial(run, parser.parse_args().stage))
