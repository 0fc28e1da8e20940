"""Training without Ray: `python -m svfr.training.stc.launch vqgan`, then `predictor`; also under `torchrun`.

Reads `params.yaml` in the current folder and the tables below it; SIGTERM saves and exits with status 143.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from svfr.errors import UserError
from svfr.params import load_params
from svfr.training.stc.config import STCTrainConfig
from svfr.training.stc.export import export_model
from svfr.training.stc.loop import frame_side, train


def main() -> None:
    """Trains one stage and, on rank 0 of a finished run, writes its model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["vqgan", "predictor"])
    stage = parser.parse_args().stage
    asked: list[int] = []

    def note(number: int, frame: Any) -> None:
        asked.append(number)

    signal.signal(signal.SIGTERM, note)
    try:
        config = STCTrainConfig.below(Path(), load_params().stc, stage)
        torch.set_num_threads(config.params.threads)
        summary = train(config, should_stop=lambda: bool(asked))
        main_rank = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        if summary.finished and main_rank:
            export_model(config, summary.checkpoint, frame_side(config))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    if not summary.finished:
        print(f"stopped at step {summary.step}, saved in {summary.checkpoint}: run again to go on", file=sys.stderr)
        sys.exit(143)


if __name__ == "__main__":
    main()
