"""`dvc exp run -S train....` on this repository's own `dvc.yaml`: a sweep of the two lambdas, each an experiment."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "training"))
from project_files import write_project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
SECTIONS = ("engine", "download", "faces", "score", "degrade", "base", "encode", "evaluate", "restore")
TRAIN = {"steps": 1, "workers": 1, "batch_clips": 2, "frames": 1, "ulr_dim": 16, "ulr_depth": 1}


def _run(command: str, root: Path) -> str:
    words = command.split()
    tool = [str(Path(sys.executable).parent / "dvc")] if words[0] == "dvc" else [words[0]]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    environment = {**os.environ, "PYTHONPATH": str(root), "PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*tool, *words[1:]], cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """The code and `dvc.yaml` of this checkout, committed, over a small project's data."""
    root = tmp_path / "repository"
    for name in ("svfr", "stages"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / ".gitignore", root)
    train = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"]
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": train}}))
    write_project(root, clips=3)
    committed = yaml.safe_load((ROOT / "params.yaml").read_text())["train"]
    sections = {name: {} for name in SECTIONS} | {"train": committed | TRAIN}
    (root / "params.yaml").write_text(yaml.safe_dump(sections | {"register": {"tracking_uri": "sqlite:///mlflow.db"}}))
    for command in (
        "git init -q",
        "git config user.email a@example.com",
        "git config user.name a",
        "dvc init -q",
        "dvc config core.analytics false",
        "git add -A",
        "git commit -q -m code",
    ):
        _run(command, root)
    return root


def test_a_sweep_of_the_lambdas_is_a_list_of_experiments(repository: Path) -> None:
    for value in ("0.1", "0"):
        _run(f"dvc exp run -q -n ulr-{value} -S train.lambda_ulr={value} -S train.lambda_prior=0.05 train", repository)
    shown = json.loads(_run("dvc exp show --json", repository))
    found = {}
    for revision in shown:
        for experiment in revision.get("experiments") or []:
            for state in experiment["revs"]:
                data = state["data"]
                params = data["params"]["params.yaml"]["data"]["train"]
                metrics = data["metrics"]["reports/train/metrics.json"]["data"]
                found[state["name"]] = (
                    params["lambda_ulr"],
                    params["lambda_prior"],
                    metrics["steps"],
                    "ulr" in metrics,
                )
    assert found == {"ulr-0.1": (0.1, 0.05, 1, True), "ulr-0": (0, 0.05, 1, False)}
