"""The flows over a real DVC project whose stages only leave a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import yaml

from flows.dataset import STAGES, dataset
from flows.train import STAGES as MODEL_STAGES
from flows.train import train
from svfr.errors import UserError

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module", autouse=True)
def server() -> Iterator[str]:
    """The address of a Prefect server that lives as long as this module's tests."""
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=120):
        yield PREFECT_API_URL.value()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Every stage appends its name to `log`, fails if `fail` holds its name and then touches its out."""
    root = tmp_path / "project"
    root.mkdir()
    before, stages = "data/sources.csv", {}
    for name in (*STAGES, *MODEL_STAGES):
        script = f"echo {name} >> log; if grep -qx {name} fail; then exit 3; fi; cat {before} > out-{name}"
        stages[name] = {"cmd": script, "deps": [before], "outs": [f"out-{name}"]}
        before = f"out-{name}"
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}))
    (root / "fail").write_text("none\n")
    (root / "in").mkdir()
    (root / "in" / "a.mp4").write_bytes(b"a")
    dvc = str(Path(sys.executable).parent / "dvc")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([dvc, "init", "-q", "--no-scm"], cwd=root, check=True)
    subprocess.run([dvc, "config", "core.analytics", "false"], cwd=root, check=True)
    return root


def log(root: Path) -> list[str]:
    return (root / "log").read_text().split() if (root / "log").exists() else []


def test_stages_run_in_order_once_and_again_only_what_changed(project: Path) -> None:
    assert dataset("in", str(project)) == 1
    assert log(project) == list(STAGES)
    assert STAGES[:5] == ("download", "faces", "score", "curation", "degrade")
    assert dataset("in", str(project)) == 1
    assert log(project) == list(STAGES)
    (project / "in" / "b.mp4").write_bytes(b"b")
    assert dataset("in", str(project)) == 2
    assert log(project) == [*STAGES, *STAGES]


def test_a_model_is_made_from_a_finished_data_set(project: Path) -> None:
    (project / "data").mkdir()
    (project / "data" / "sources.csv").touch()
    (project / f"out-{STAGES[-1]}").touch()
    train(str(project))
    assert log(project) == list(MODEL_STAGES)


def test_a_failing_stage_ends_the_flow_and_the_next_run_goes_on_from_it(project: Path) -> None:
    (project / "fail").write_text("score\n")
    state = dataset("in", str(project), return_state=True)
    assert state.is_failed()
    with pytest.raises(UserError, match="--single-item score' failed with status"):
        state.result()
    assert log(project) == ["download", "faces", "score"]
    (project / "fail").write_text("none\n")
    dataset("in", str(project))
    assert log(project) == ["download", "faces", "score", *STAGES[STAGES.index("score") :]]


def test_a_folder_without_a_pipeline_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds no dvc\.yaml: run from the project's root"):
        train(str(tmp_path))


def _environment(server: str) -> dict[str, str]:
    """Of a flow on the Prefect server at that address, or on one of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PREFECT_API_URL": server}
    return environment if server else {k: v for k, v in environment.items() if not k.startswith("PREFECT_")}


def test_bad_sources_on_the_command_line_end_with_one_line(project: Path, server: str) -> None:
    command = [sys.executable, "-m", "flows.dataset", "--sources", "missing"]
    done = subprocess.run(command, cwd=project, env=_environment(server), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == (
        "error: no sources at 'missing': name a folder of videos, a .csv or .txt list, a video, "
        "hf://datasets/OWNER/NAME, or one of vfhq:PATH, celebvtext:PATH, voxceleb2:PATH"
    )
    assert log(project) == []


def _in_the_middle(project: Path, environment: dict[str, str]) -> tuple[subprocess.Popen[bytes], Path]:
    """A flow whose faces stage is at work, and that stage's process below /proc."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text())
    stages["stages"]["faces"]["cmd"] = "echo $$ > pid; sleep 300; touch out-faces"
    (project / "dvc.yaml").write_text(yaml.safe_dump(stages))
    command = [sys.executable, "-m", "flows.dataset", "--sources", "in"]
    flow = subprocess.Popen(command, cwd=project, env=environment, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 120
    while not ((project / "pid").exists() and (project / "pid").read_text()) and time.monotonic() < until:
        assert flow.poll() is None
        time.sleep(0.05)
    shell = Path("/proc") / (project / "pid").read_text().strip()
    assert shell.exists()
    return flow, shell


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_ended_flow_leaves_no_stage_running(project: Path, server: str, number: int) -> None:
    flow, shell = _in_the_middle(project, _environment(server))
    flow.send_signal(number)
    flow.wait(60)
    until = time.monotonic() + 60
    while shell.exists() and "Z" not in shell.joinpath("stat").read_text().split()[2] and time.monotonic() < until:
        time.sleep(0.05)
    assert not shell.exists() or shell.joinpath("stat").read_text().split()[2] == "Z"
    assert "faces" not in log(project)


def test_a_terminated_flow_stops_the_server_that_it_started(project: Path, tmp_path: Path) -> None:
    environment = _environment("") | {"PREFECT_HOME": str(tmp_path / "prefect")}
    flow, _ = _in_the_middle(project, environment)
    below = psutil.Process(flow.pid).children(recursive=True)
    assert any("uvicorn" in " ".join(process.cmdline()) for process in below)
    flow.terminate()
    assert flow.wait(60) == 143
    assert not psutil.wait_procs(below, timeout=30)[1]
