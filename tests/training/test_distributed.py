"""Two ranks with half the batch each do what one rank does with the whole of it, ULR's negatives included."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from project_files import saved_tensors

from svfr.artifacts import sha256_file, write_json
from svfr.training.checkpoint import DIGESTS, STATE, complete_checkpoints
from svfr.training.config import TrainConfig
from svfr.training.history import read_history
from svfr.training.loop import train

# the prior is weighted down so that the clipped gradient is not the landmarks' alone
ONE_STEP = {
    "steps": 1,
    "ulr_tau": 0.5,
    "peak_tflops": 1e-3,
    "lambda_ulr": 1.0,
    "lambda_prior": 0.001,
    "reference_drop": 0.0,
}
_CHILD = """
import os, resource, signal, sys
from pathlib import Path
from svfr.errors import UserError
from svfr.params import TrainParams
from svfr.training.config import TrainConfig
from svfr.training.loop import train
config = TrainConfig.below(Path(sys.argv[1]), TrainParams.model_validate_json(sys.argv[2]))
if os.environ["RANK"] == os.environ.get("FULL_DISK_OF"):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    train(TrainConfig(**{**vars(config), "runs": Path(sys.argv[3])}))
except UserError as error:
    print(error)
    os._exit(2)
"""


def _first_moments(config: TrainConfig) -> dict[str, torch.Tensor]:
    """AdamW's first moments after one step: a tenth of the gradient, parameter by parameter."""
    (path,) = complete_checkpoints(config.run_dir() / "checkpoints")
    return {name: value for name, value in saved_tensors(path).items() if name.startswith("exp_avg.")}


def _on_two_ranks(config: TrainConfig, project: Path, folder: Path, **changes: str) -> str:
    script = folder / "child.py"
    script.write_text(_CHILD)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1", **changes}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    arguments = [str(script), str(project), config.params.model_dump_json(), str(config.runs)]
    done = subprocess.run(
        [*launcher, *arguments], env=environment, check=False, timeout=250, capture_output=True, text=True
    )
    assert (done.returncode == 0) == (not changes), done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_ranks_equal_one(
    configure: Callable[..., TrainConfig], project: Path, tmp_path: Path, strategy: str
) -> None:
    one = configure(batch_clips=4, **ONE_STEP)
    two = replace(configure(batch_clips=4, strategy=strategy, **ONE_STEP), runs=tmp_path / "two")
    train(one)
    _on_two_ranks(two, project, tmp_path)

    (whole,), (halves,) = read_history(one.run_dir()), read_history(two.run_dir())
    for name in ("loss", "noise", "ulr", "prior", "grad_norm", "cos_same", "cos_other"):
        assert halves[name] == pytest.approx(whole[name], rel=1e-5), name
    whole_flops, half_flops = (row["mfu"] * row["seconds"] for row in (whole, halves))
    assert 2 * half_flops == pytest.approx(whole_flops, rel=0.02)  # counted alike for copies, shards and one process
    # sums with cancellation (blending factors, biases) have rounding errors of the size of their terms
    expected, found = _first_moments(one), _first_moments(two)
    assert expected.keys() == found.keys()
    floor = 3e-7 * max(float(moment.norm()) for moment in expected.values())
    for name, a in expected.items():
        assert float((a - found[name]).norm()) < 1e-5 * float(a.norm()) + floor, name


@pytest.mark.slow
def test_two_ranks_with_shards_stop_and_one_without_goes_on(
    configure: Callable[..., TrainConfig], project: Path, tmp_path: Path
) -> None:
    """Elastic: the second half of a sharded run, done by another number of workers, ends where one worker ends."""
    common = {"batch_clips": 4, "lr": 1e-4, "lr_decay": "constant", "validate_every": 2, "preview_steps": 1}
    alone = configure(steps=4, **common)
    train(alone)
    elastic = replace(alone, runs=tmp_path / "elastic")
    first = replace(configure(steps=2, strategy="fsdp", **common), runs=tmp_path / "first")
    _on_two_ranks(first, project, tmp_path)
    (half,) = complete_checkpoints(first.run_dir() / "checkpoints")
    assert len(list(half.glob("shard-*"))) == 2
    assert list((first.run_dir() / "previews").iterdir())

    target = elastic.run_dir() / "checkpoints" / half.name
    shutil.copytree(half, target)
    state = json.loads((target / STATE).read_text())
    state["config"]["params"]["steps"] = 4
    write_json(target / STATE, state)
    write_json(target / DIGESTS, {f.name: sha256_file(f) for f in target.iterdir() if f.name.endswith(("ors", STATE))})
    train(elastic)
    rows, expected = read_history(elastic.run_dir()), read_history(alone.run_dir())
    assert [row["step"] for row in rows] == [3, 4]
    for row, other in zip(rows, expected[2:], strict=True):
        for name in ("loss", "noise", "ulr", "prior"):
            assert row[name] == pytest.approx(other[name], rel=1e-4), name
    assert rows[-1]["val_loss"] == pytest.approx(expected[-1]["val_loss"], rel=1e-4)


@pytest.mark.slow
def test_one_rank_with_a_full_disk_leaves_no_checkpoint_of_the_others(
    configure: Callable[..., TrainConfig], project: Path, tmp_path: Path
) -> None:
    config = replace(configure(batch_clips=2, **ONE_STEP), runs=tmp_path / "full")
    said = _on_two_ranks(config, project, tmp_path, FULL_DISK_OF="1")
    assert "step-00000001 cannot be written (" in said
    folder = config.run_dir() / "checkpoints"
    assert complete_checkpoints(folder) == []
    assert list(folder.iterdir()) == []
