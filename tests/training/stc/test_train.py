"""Both stages on a small project: they learn, resume bit for bit after kill -9, refuse what does not fit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from project_files import saved_tensors

from svfr.degrade.sample import frame_recipe
from svfr.errors import UserError, WeightsMissing
from svfr.models.stc.folder import load_stc_folder
from svfr.params import STCParams
from svfr.training.checkpoint import complete_checkpoints
from svfr.training.history import TIMING, read_history
from svfr.training.order import generator_for
from svfr.training.stc.config import STCTrainConfig
from svfr.training.stc.data import WindowDataset, read_clips
from svfr.training.stc.export import export_model
from svfr.training.stc.loop import train

Configure = Callable[..., STCTrainConfig]
SECTIONS = ("engine", "download", "faces", "score", "degrade", "base", "encode", "train", "evaluate", "register")


@pytest.fixture
def vqgan(stc: Configure) -> STCTrainConfig:
    """A trained and exported stage I."""
    config = stc("vqgan")
    export_model(config, train(config).checkpoint, 32)
    return config


def test_both_stages_run_and_leave_a_restorer(stc: Configure) -> None:
    first = stc("vqgan", steps=12, adversarial="patch", adversarial_from=6, codes_from_data=True, validate_every=6)
    export_model(first, train(first).checkpoint, 32)
    rows = read_history(first.run_dir())
    assert rows[-1]["l1"] < rows[0]["l1"] * 1.2
    assert "critic" in rows[-1]
    assert "critic" not in rows[0]
    assert {"used_s", "used_t", "perplexity_s", "perplexity_t", "val_l1"} <= set(rows[-1])
    assert sorted(path.name for path in (first.run_dir() / "previews").iterdir()) == [
        "step-00000006.png",
        "step-00000012.png",
    ]
    second = stc("predictor", steps=12, frames=4)
    export_model(second, train(second).checkpoint, 32)
    rows = read_history(second.run_dir())
    assert rows[-1]["ce_s"] < rows[0]["ce_s"]
    network, config = load_stc_folder(second.out)
    assert (config["image_size"], config["window"], config["tasks"]) == (32, 4, ["bfr"])
    assert config["trained"]["steps"] == 12
    stage_one, _ = load_stc_folder(second.vqgan)
    assert torch.equal(network.quantize.embedding_s.weight, stage_one.quantize.embedding_s.weight)
    assert torch.equal(network.generator.blocks[0].weight, stage_one.generator.blocks[0].weight)
    assert not torch.equal(network.encoder.blocks[0].weight, stage_one.encoder.blocks[0].weight)


def test_deflicker_draws_flicker_from_every_clip(stc: Configure, vqgan: STCTrainConfig) -> None:
    config = stc("predictor", network={"variant": "deflicker"}, steps=2, frames=6)
    batch = WindowDataset(read_clips(config, "train"), config)[0]
    ratio = (batch.lq.mean((1, 3, 4)) / batch.hq.mean((1, 3, 4))).flatten()
    assert float(ratio.max() - ratio.min()) > 0.1
    export_model(config, train(config).checkpoint, 32)
    assert load_stc_folder(config.out)[1]["tasks"] == ["deflicker"]


def test_the_incremental_schedule_shows_noise_later(stc: Configure) -> None:
    config = stc("predictor", noise_free_clips=3)
    data = WindowDataset(read_clips(config, "train"), config)
    quiet, full = (data._recipe(0, position, generator_for("x")) for position in (2, 3))
    assert (quiet.noise_kind, quiet.schedule) == ("none", "noise_free")
    assert full.noise_kind != "none"
    assert quiet.blur_sigma_x == full.blur_sigma_x


def test_degradation_may_change_from_frame_to_frame(stc: Configure) -> None:
    config = stc("predictor", vary="frame", noise_free_clips=3)
    data = WindowDataset(read_clips(config, "train"), config)
    quiet, full = (data._recipe(0, position, generator_for("x")) for position in (2, 3))
    assert (quiet.vary, quiet.noise_kind, full.vary) == ("frame", "none", "frame")
    assert {frame_recipe(quiet, index).noise_kind for index in range(4)} == {"none"}
    assert len({frame_recipe(full, index).blur_sigma_x for index in range(4)}) > 1


def test_items_depend_on_their_position_alone(stc: Configure, vqgan: STCTrainConfig) -> None:
    config = stc("predictor", size=16)
    a, b = (WindowDataset(read_clips(config, "train"), config) for _ in range(2))
    b[0], b[3]
    assert torch.equal(a[5].lq, b[5].lq)
    assert a[5].hq.shape == (1, 3, 2, 16, 16)
    assert not torch.equal(a[5].lq, a[5].hq)


@pytest.mark.parametrize(
    ("stage", "changes", "message"),
    [
        ("predictor", {}, "training needs .*stc-vqgan/model.json: run the stages"),
        ("vqgan", {"frames": 100}, "leaves no clip of 100 frames"),
    ],
)
def test_unusable_inputs_are_named(stc: Configure, stage: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        train(stc(stage, **changes))


@pytest.mark.parametrize(("size", "own", "asked"), [("codes", 32, 64), ("space", 8, 4)])
def test_another_stage_one_is_refused(stc: Configure, vqgan: STCTrainConfig, size: str, own: int, asked: int) -> None:
    with pytest.raises(UserError, match=rf"stage I was trained with {size} {own}, stc\.network asks for {asked}"):
        train(stc("predictor", network={size: asked}))


def test_networks_that_are_absent_end_the_run(stc: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path / "none"))
    with pytest.raises(WeightsMissing, match="svfr weights get dinov2-vits14"):
        train(stc("vqgan", adversarial="dinov2"))


def test_asked_to_stop_it_saves_and_goes_on(stc: Configure) -> None:
    config = stc("vqgan", steps=6, adversarial="patch", adversarial_from=1)
    whole = train(config)
    figures = [{k: v for k, v in row.items() if k not in TIMING} for row in read_history(config.run_dir())]
    shutil.rmtree(config.run_dir())
    calls: list[int] = []

    def third() -> bool:
        calls.append(1)
        return len(calls) == 3

    stopped = train(config, should_stop=third)
    assert (stopped.step, stopped.finished) == (3, False)
    resumed = train(config)
    assert resumed.finished
    assert resumed.checkpoint == whole.checkpoint
    assert figures == [{k: v for k, v in row.items() if k not in TIMING} for row in read_history(config.run_dir())]


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["vqgan", "predictor"])
def test_a_killed_run_ends_bit_for_bit_like_one_that_was_not(
    stc: Configure, vqgan: STCTrainConfig, project: Path, tmp_path: Path, stage: str
) -> None:
    lean = {"steps": 60, "checkpoint_every": 20}
    config = stc(stage, **lean, **({"adversarial": "patch", "adversarial_from": 10} if stage == "vqgan" else {}))
    whole = train(config)

    folder = tmp_path / "killed"
    shutil.copytree(project / "data", folder / "data")
    shutil.copytree(vqgan.out, folder / "models" / "stc-vqgan")
    params = STCParams(network=config.network, **{stage: config.params})  # type: ignore[arg-type]
    sections: dict[str, Any] = {name: {} for name in (*SECTIONS, "restore")}
    sections["stc"] = params.model_dump()
    (folder / "params.yaml").write_text(yaml.safe_dump(sections))
    run = STCTrainConfig.below(folder, params, stage).run_dir()  # type: ignore[arg-type]
    child = _launch(folder, stage)
    deadline = time.monotonic() + 200
    while not (rows := read_history(run)) or rows[-1]["step"] < 24:
        assert child.poll() is None, "the child ended early"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    left = [path.name for path in complete_checkpoints(run / "checkpoints")]
    assert left in (["step-00000020"], ["step-00000020", "step-00000040"])
    assert _launch(folder, stage).wait() == 0
    resumed = run / "checkpoints" / "step-00000060"
    first, second = saved_tensors(whole.checkpoint), saved_tensors(resumed)
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def _launch(folder: Path, stage: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "1"}
    return subprocess.Popen([sys.executable, "-m", "svfr.training.stc.launch", stage], cwd=folder, env=environment)
