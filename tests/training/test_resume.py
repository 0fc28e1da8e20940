"""40 steps equal 20 + kill -9 + 20, bit for bit; SIGTERM saves; foreign and torn checkpoints are refused."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from project_files import saved_tensors

from svfr.errors import UserError
from svfr.training.checkpoint import MARKER, check_config, complete_checkpoints, load_state, prune
from svfr.training.config import TrainConfig
from svfr.training.history import TIMING, read_history
from svfr.training.loop import train

LEAN = {"steps": 40, "frames": 1, "checkpoint_every": 20, "warmup": 5}
SECTIONS = ("engine", "download", "faces", "score", "degrade", "base", "encode", "evaluate", "register", "restore")


def _folder(project: Path, target: Path, config: TrainConfig) -> Path:
    """A project folder of its own for a child process."""
    for name in ("data", "models"):
        shutil.copytree(project / name, target / name)
    sections = {name: {} for name in SECTIONS} | {"train": config.params.model_dump()}
    (target / "params.yaml").write_text(yaml.safe_dump(sections))
    return target


def _launch(folder: Path) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    return subprocess.Popen([sys.executable, "-m", "svfr.training.launch"], cwd=folder, env=environment)


def _wait_for_step(run: Path, step: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 200
    while not (rows := read_history(run)) or rows[-1]["step"] < step:
        assert process.poll() is None, "the child ended early"
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _rows(run: Path) -> list[dict[str, float]]:
    return [{k: v for k, v in row.items() if k not in TIMING} for row in read_history(run)]


@pytest.mark.slow
def test_a_killed_run_ends_bit_for_bit_like_one_that_was_not(
    configure: Callable[..., TrainConfig], project: Path, tmp_path: Path
) -> None:
    config = configure(**LEAN)
    whole = train(config)

    folder = _folder(project, tmp_path / "killed", config)
    run = TrainConfig.below(folder, config.params).run_dir()
    child = _launch(folder)
    _wait_for_step(run, 24, child)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert [p.name for p in complete_checkpoints(run / "checkpoints")] == ["step-00000020"]
    assert _launch(folder).wait() == 0

    resumed = run / "checkpoints" / "step-00000040"
    expected, found = saved_tensors(whole.checkpoint), saved_tensors(resumed)
    assert expected.keys() == found.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())
    assert _rows(run) == _rows(config.run_dir())
    assert (folder / "models" / "svfr" / "model.json").exists()


@pytest.mark.slow
def test_sigterm_saves_and_exits_cleanly(configure: Callable[..., TrainConfig], project: Path, tmp_path: Path) -> None:
    config = configure(**{**LEAN, "steps": 10_000, "checkpoint_every": 10_000})
    folder = _folder(project, tmp_path / "stopped", config)
    run = TrainConfig.below(folder, config.params).run_dir()
    child = _launch(folder)
    _wait_for_step(run, 2, child)
    child.terminate()
    assert child.wait(60) == 143
    (saved,) = complete_checkpoints(run / "checkpoints")
    check_config(saved, config.identity())
    assert load_state(saved).step == read_history(run)[-1]["step"]


def test_another_configuration_is_refused_by_name(configure: Callable[..., TrainConfig]) -> None:
    config = configure(steps=1, frames=1)
    saved = train(config).checkpoint
    with pytest.raises(UserError, match=r"another configuration \(params.lr: saved 0.001, now 0.5\)"):
        check_config(saved, configure(steps=1, frames=1, lr=0.5).identity())
    check_config(saved, configure(steps=1, frames=1, workers=7).identity())


def test_a_changed_checkpoint_is_not_loaded(configure: Callable[..., TrainConfig]) -> None:
    config = configure(steps=1, frames=1)
    saved = train(config).checkpoint
    (shard,) = saved.glob("*.safetensors")
    with shard.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    with pytest.raises(UserError, match=r"shard-00001.* changed since it was written"):
        train(config)


def test_unfinished_checkpoints_do_not_count_and_old_ones_go(tmp_path: Path) -> None:
    for step in (1, 2, 3, 4):
        path = tmp_path / f"step-{step:08d}"
        path.mkdir()
        (path / MARKER).touch()
    (tmp_path / "step-00000004" / MARKER).unlink()
    (tmp_path / ".step-00000005.abc").mkdir()
    assert [p.name[-1] for p in complete_checkpoints(tmp_path)] == ["1", "2", "3"]
    prune(tmp_path, keep=1, best_step=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000001", "step-00000003"]
