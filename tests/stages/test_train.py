"""The training stage on two real Ray workers: a worker killed in mid-run, an MLflow server that is down."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from project_files import write_project

from stages.train import final_figures
from svfr.models.folder import verify_model_folder
from svfr.params import TrainParams
from svfr.training.history import read_history

SECTIONS = ("engine", "download", "faces", "score", "degrade", "base", "encode", "evaluate", "restore")
TRAIN = {
    "steps": 30,
    "workers": 2,
    "batch_clips": 2,
    "frames": 1,
    "lr": 1e-3,
    "ulr_dim": 16,
    "ulr_depth": 1,
    "checkpoint_every": 5,
    "validate_every": 30,
    "validation_pairs": 1,
}


def _kill_one_worker(parent: int) -> None:
    """SIGKILL to one training worker of Ray below process `parent`."""
    workers = [p for p in psutil.Process(parent).children(recursive=True) if "RayTrainWorker" in p.name()]
    if not workers:  # the title of the process carries the actor's name
        workers = [
            p for p in psutil.Process(parent).children(recursive=True) if "RayTrainWorker" in " ".join(p.cmdline())
        ]
    os.kill(workers[0].pid, signal.SIGKILL)


@pytest.mark.slow
def test_a_killed_worker_costs_no_step_and_a_dead_mlflow_no_figure(tmp_path: Path) -> None:
    write_project(tmp_path, clips=3)
    sections = {name: {} for name in SECTIONS} | {"train": TRAIN}
    sections |= {"register": {"tracking_uri": "http://127.0.0.1:9"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(sections))
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    stage = subprocess.Popen(
        [sys.executable, "-m", "stages.train"], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    )
    runs = tmp_path / "cache" / "train"
    deadline = time.monotonic() + 200
    while not any(read_history(run) and read_history(run)[-1]["step"] >= 8 for run in runs.glob("*")):
        assert stage.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    _kill_one_worker(stage.pid)
    _, said = stage.communicate(timeout=250)
    assert stage.returncode == 0, said

    (run,) = runs.iterdir()
    assert [row["step"] for row in read_history(run)] == list(range(1, 31))
    config = verify_model_folder(tmp_path / "models" / "svfr")
    assert config["trained"]["steps"] == 30
    figures = json.loads((tmp_path / "reports" / "train" / "metrics.json").read_text())
    assert figures["steps"] == 30
    with (tmp_path / "reports" / "train" / "history.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == [str(step) for step in range(1, 31)]
    assert said.count("training does not need it and goes on") >= 1
    assert "send them with `python -m stages.train_log`" in said


def test_final_figures_are_the_means_of_the_last_tenth() -> None:
    rows = [{"step": i + 1.0, "loss": float(i), "seconds": 0.5, "memory_mb": 10.0, "skipped": 0.0} for i in range(20)]
    rows[9]["val_loss"] = 3.0
    figures = final_figures(rows, TrainParams(workers=2, batch_clips=3))
    assert figures["loss"] == 18.5
    assert figures["val_loss"] == 3.0
    assert figures["steps_per_second"] == 2.0
    assert figures["views_per_second"] == 12.0
