"""Bad input of training: each kind gives one clear line, and no half-written checkpoint is ever loaded."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from project_files import saved_tensors, write_latents, write_project

from stages.layout import Layout
from svfr.errors import UserError
from svfr.models.folder import load_model_folder
from svfr.params import TrainParams
from svfr.training.checkpoint import complete_checkpoints
from svfr.training.config import TrainConfig
from svfr.training.history import History, read_history
from svfr.training.index import check_batch, read_index
from svfr.training.loop import train
from svfr.training.pairs import PairDataset

Configure = Callable[..., TrainConfig]


@pytest.fixture
def own(project: Path, tmp_path: Path) -> Layout:
    """A copy of the project that a test may damage."""
    shutil.copytree(project, tmp_path / "own")
    return Layout(tmp_path / "own")


def _config(layout: Layout, configure: Configure, **changes: object) -> TrainConfig:
    return TrainConfig.below(layout.root, configure(**changes).params)


def test_a_corrupt_latent_shard_is_named(own: Layout, configure: Configure) -> None:
    shard = next(own.shards("latents").iterdir())
    shard.write_bytes(shard.read_bytes()[:3000])
    data = PairDataset(read_index(_config(own, configure)).train, _config(own, configure))
    with pytest.raises(
        UserError, match=r"latents of clip c\d in .*latents-000000.tar are damaged .* run the encode stage"
    ):
        data[0]


def test_a_corrupt_clip_shard_is_named(own: Layout, configure: Configure) -> None:
    shard = next(own.shards("clips").iterdir())
    shard.write_bytes(b"\0" * shard.stat().st_size)
    with pytest.raises(UserError, match=r"clip c\d: a stored clip of \d+ bytes cannot be decoded"):
        train(_config(own, configure))


def test_a_missing_latent_is_named(own: Layout, configure: Configure) -> None:
    own.write("latents", own.read("latents")[1:], [])
    with pytest.raises(UserError, match=r"clip c0 has no latents in .*: run the encode stage again"):
        read_index(_config(own, configure))


def test_a_clip_that_encode_rejected_is_left_out(own: Layout, configure: Configure) -> None:
    row = {"stage": "encode", "item_id": "c0", "reason": "no_identity", "message": ""}
    own.write("latents", own.read("latents")[1:], [row])
    assert [clip.row["clip_id"] for clip in read_index(_config(own, configure)).train] == ["c1", "c2", "c3"]


def test_latents_of_another_vae_are_refused(own: Layout, configure: Configure) -> None:
    bundle = load_model_folder(own.base_model)
    bundle.config["digests"]["vae.safetensors"] = "0" * 64
    write_latents(own, bundle, [])
    with pytest.raises(UserError, match="were made by another VAE"):
        read_index(_config(own, configure))


def test_a_table_without_landmarks_needs_the_prior_switched_off(own: Layout, configure: Configure) -> None:
    own.write("clips", [{**row, "points68": []} for row in own.read("clips")], [])
    with pytest.raises(UserError, match=r"no 68-point landmarks.*train.lambda_prior to 0"):
        train(_config(own, configure))
    train(_config(own, configure, lambda_prior=0.0, steps=1, frames=1))


def test_a_missing_stage_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training needs .*model.json.*: run the stages that make them first"):
        train(TrainConfig.below(tmp_path, TrainParams()))


def test_one_clip_a_step_has_no_negatives_for_ulr(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"ULR compares clips.*raise train.batch_clips"):
        train(configure(batch_clips=1))
    train(configure(batch_clips=1, lambda_ulr=0.0, steps=1, frames=1))


def test_more_workers_than_clips_are_refused(configure: Configure) -> None:
    with pytest.raises(UserError, match=r"train.batch_clips 6 asks for .* the training split has 4: lower it, with"):
        check_batch(4, 6, configure(batch_clips=6))
    with pytest.raises(UserError, match=r"train.batch_clips 2 cannot be shared by 3 workers: make it a multiple of 3"):
        check_batch(4, 3, configure())


def test_a_single_view_of_a_clip_is_refused(tmp_path: Path, configure: Configure) -> None:
    write_project(tmp_path, clips=2, views=1)
    with pytest.raises(UserError, match=r"clip c0 has 1 degraded view, 2 are needed"):
        read_index(_config(Layout(tmp_path), configure))


def test_a_gradient_that_is_not_finite_changes_no_weight_and_ends_training(own: Layout, configure: Configure) -> None:
    broken = {"frames": 1, "lambda_prior": 1e38, "lambda_ulr": 0.0, "wing_epsilon": 1e-30}
    summary = train(_config(own, configure, steps=3, **broken))
    base = {f"model.unet.{name}": value for name, value in load_model_folder(own.base_model).unet.state_dict().items()}
    trained = saved_tensors(summary.checkpoint)
    assert all(torch.equal(trained[name], value) for name, value in base.items())

    config = _config(own, configure, steps=30, **broken)
    with pytest.raises(UserError, match=r"not finite in 10 successive steps up to step 10"):
        train(config)
    assert read_history(config.run_dir())[-1]["skipped"] == 9
    assert complete_checkpoints(config.run_dir() / "checkpoints") == []


_CHILD = """
import resource, signal, sys
from pathlib import Path
from svfr.params import TrainParams
from svfr.training.config import TrainConfig
from svfr.training.loop import train
from svfr.errors import UserError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    train(TrainConfig.below(Path(sys.argv[1]), TrainParams.model_validate_json(sys.argv[2])))
except UserError as error:
    print(error)
    sys.exit(2)
"""


@pytest.mark.slow
def test_a_disk_that_takes_no_more_leaves_no_checkpoint(own: Layout, configure: Configure) -> None:
    config = _config(own, configure, steps=1, frames=1)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "1"}
    arguments = [sys.executable, "-c", _CHILD, str(own.root), config.params.model_dump_json()]
    done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "step-00000001 cannot be written (" in done.stdout
    assert len(done.stdout.splitlines()) == 1
    folder = config.run_dir() / "checkpoints"
    assert complete_checkpoints(folder) == []
    assert list(folder.iterdir()) == []
    assert train(config).step == 1


def test_history_leaves_out_what_is_not_finite_and_what_a_checkpoint_has_not_seen(tmp_path: Path) -> None:
    history = History(tmp_path, 0)
    for step in (1.0, 2.0, 3.0):
        history.append({"step": step, "loss": math.nan if step == 2 else step})
    with history.path.open("a") as file:
        file.write('{"step": 4.0, "lo')
    assert [row["step"] for row in read_history(tmp_path)] == [1, 2, 3]
    assert "loss" not in read_history(tmp_path)[1]
    assert [row["step"] for row in read_history(History(tmp_path, 2).path.parent)] == [1, 2]
