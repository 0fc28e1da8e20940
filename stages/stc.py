"""Stage II of BFVR-STC: degraded clips -> code predictors on stage I, a restorer in `models/stc/`."""

from __future__ import annotations

from pathlib import Path

from stages.entry import main
from stages.stc_training import run_stage
from svfr.params import Params


def run(params: Params, root: Path) -> None:
    """See `stages.stc_training.run_stage`."""
    run_stage(params, root, "predictor")


if __name__ == "__main__":
    main(run)
