"""A rank that dies while all write or read a checkpoint is a lost worker, not bad input: the group starts anew."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from svfr.training.checkpoint import complete_checkpoints

_CHILD = """
import os, signal, sys
from pathlib import Path
import torch
import torch.distributed as dist
from svfr.errors import UserError
from svfr.training import checkpoint
from svfr.training.checkpoint import State, load_checkpoint, save_checkpoint

def die(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

folder, rank, doing = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
tensors = {"x": torch.ones(4)}
whole = save_checkpoint(folder / "checkpoints", State(step=1), {}, tensors)
if rank == 1:
    setattr(checkpoint, doing, die)
try:
    if doing == "write_tensors":
        save_checkpoint(folder / "checkpoints", State(step=2), {}, tensors)
    else:
        load_checkpoint(whole, {}, tensors)
except UserError as error:
    print("refused:", error)
except RuntimeError as error:
    print("lost:", error)
os._exit(0)
"""


@pytest.mark.slow
@pytest.mark.parametrize("doing", ["write_tensors", "read_tensors"])
def test_the_others_do_not_take_it_for_a_full_disk_or_a_foreign_checkpoint(tmp_path: Path, doing: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", _CHILD, str(tmp_path), str(rank), doing],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for rank in (0, 1)
    ]
    said = [process.communicate(timeout=120)[0] for process in ranks]
    assert ranks[1].returncode == -9
    assert said[0].startswith("lost:"), said[0]
    assert [path.name for path in complete_checkpoints(tmp_path / "checkpoints")] == ["step-00000001"]
