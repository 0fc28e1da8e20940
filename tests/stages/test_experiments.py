"""`dvc exp run -S train....` on this repository's own train stage, with a command that only leaves figures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
_TRACE = """
import json, pathlib, yaml
params = yaml.safe_load(open("params.yaml"))["train"]
for folder in ("models/svfr", "reports/train"):
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
pathlib.Path("models/svfr/model.json").write_text(json.dumps(params))
pathlib.Path("reports/train/history.csv").write_text("step,loss\\n1,2\\n")
pathlib.Path("reports/train/metrics.json").write_text(json.dumps({"loss": 1 + params["lambda_ulr"]}))
"""


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
    """This checkout's train stage, parameters and ignored paths, committed; every dependency is a small file."""
    root = tmp_path / "repository"
    root.mkdir()
    train = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["train"] | {"cmd": "python trace.py"}
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": train}}))
    (root / "trace.py").write_text(_TRACE)
    for name in ("params.yaml", ".gitignore", ".dvcignore"):
        (root / name).write_text((ROOT / name).read_text())
    for name in train["deps"]:
        file = root / name if Path(name).suffix else root / name / "file"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("")
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


def test_a_sweep_of_the_lambdas_is_a_list_of_experiments_with_their_figures(repository: Path) -> None:
    for value in ("0.1", "0.0"):
        _run(f"dvc exp run -q -n ulr-{value} -S train.lambda_ulr={value} -S train.lambda_prior=0.05 train", repository)
    found = {}
    for revision in json.loads(_run("dvc exp show --json", repository)):
        for experiment in revision.get("experiments") or []:
            for state in experiment["revs"]:
                params = state["data"]["params"]["params.yaml"]["data"]["train"]
                metrics = state["data"]["metrics"]["reports/train/metrics.json"]["data"]
                found[state["name"]] = (params["lambda_ulr"], params["lambda_prior"], metrics["loss"])
    assert found == {"ulr-0.1": (0.1, 0.05, 1.1), "ulr-0.0": (0.0, 0.05, 1.0)}


def test_bytecode_makes_no_stage_stale(repository: Path) -> None:
    _run("dvc repro -q", repository)
    written = repository / "svfr" / "training" / "__pycache__" / "loop.cpython-311.pyc"
    written.parent.mkdir()
    written.write_bytes(b"code")
    assert "up to date" in _run("dvc status", repository)
