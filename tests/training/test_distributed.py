"""Two ranks with half the batch each do what one rank does with the whole of it, ULR's negatives included."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from svfr.training.checkpoint import OPTIMISER, complete_checkpoints
from svfr.training.config import TrainConfig
from svfr.training.history import read_history
from svfr.training.loop import train

# the prior is weighted down so that the clipped gradient is not the landmarks' alone
ONE_STEP = {"steps": 1, "lambda_ulr": 1.0, "lambda_prior": 0.001, "reference_drop": 0.0}
_CHILD = """
import sys
from pathlib import Path
from svfr.params import TrainParams
from svfr.training.config import TrainConfig
from svfr.training.loop import train
config = TrainConfig.below(Path(sys.argv[1]), TrainParams.model_validate_json(sys.argv[2]))
train(TrainConfig(**{**vars(config), "runs": Path(sys.argv[3])}))
"""


def _first_moments(config: TrainConfig) -> list[torch.Tensor]:
    """AdamW's first moments after one step: a tenth of the gradient, parameter by parameter."""
    (path,) = complete_checkpoints(config.run_dir() / "checkpoints")
    state = torch.load(path / OPTIMISER, weights_only=True)["state"]
    return [state[number]["exp_avg"] for number in sorted(state)]


@pytest.mark.slow
def test_two_ranks_equal_one(configure: Callable[..., TrainConfig], project: Path, tmp_path: Path) -> None:
    one, two = configure(batch_clips=4, **ONE_STEP), configure(batch_clips=2, **ONE_STEP)
    train(one)
    script = tmp_path / "child.py"
    script.write_text(_CHILD)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(script), str(project), two.params.model_dump_json(), str(two.runs)]
    subprocess.run([*launcher, *arguments], env=environment, check=True, timeout=200)

    (whole,), (halves,) = read_history(one.run_dir()), read_history(two.run_dir())
    for name in ("loss", "noise", "ulr", "prior", "grad_norm"):
        assert halves[name] == pytest.approx(whole[name], rel=1e-5), name
    # scalars such as the blending factors are sums with cancellation: their rounding error follows the terms' size
    floor = 1e-7 * max(float(moment.norm()) for moment in _first_moments(one))
    for a, b in zip(_first_moments(one), _first_moments(two), strict=True):
        assert float((a - b).norm()) < 1e-5 * float(a.norm()) + floor
