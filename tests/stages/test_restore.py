"""A folder restored on Ray actors."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.restore import run
from svfr.errors import UserError, WeightsMissing
from svfr.params import EngineParams, RestoreParams

KIT: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[1] / "restore" / "conftest.py"))
PARAMS = RestoreParams(steps=2, detector="mtcnn", segment=16)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    KIT["save_tiny_model"](root / "model")
    (root / "in").mkdir()
    KIT["write_video"](root / "in" / "face.mp4", KIT["face_frames"](6), audio=True)
    KIT["write_video"](root / "in" / "cup.mp4", KIT["scenery"](4))
    (root / "in" / "bad.mp4").write_text("no video")
    return root


def test_every_file_is_a_row_and_a_second_run_starts_nothing(project: Path) -> None:
    out = project / "out"
    reports = run(project / "in", out, project / "model", PARAMS, EngineParams(workers=1))
    assert {r.input: (r.status, r.reason) for r in reports} == {
        "bad.mp4": ("refused", "unreadable"),
        "cup.mp4": ("passed_through", "no_face"),
        "face.mp4": ("restored", ""),
    }
    for name in ("face.mp4", "side_by_side/face.mp4", "contact_sheets/face.mp4.png", "report.html", "report.parquet"):
        assert (out / name).stat().st_size > 0
    assert json.loads((out / "report.json").read_text())["summary"]["restored"] == 1
    before = (out / "face.mp4").stat().st_mtime_ns
    code = (
        "import sys; from pathlib import Path; from stages.restore import run\n"
        "from svfr.params import EngineParams, RestoreParams\n"
        "root = Path(sys.argv[1]); params = RestoreParams(steps=2, detector='mtcnn', segment=16)\n"
        "reports = run(root / 'in', root / 'out', root / 'model', params, EngineParams())\n"
        "print(sum(r.skipped for r in reports), [m for m in ('ray', 'torch') if m in sys.modules])\n"
    )
    second = subprocess.run([sys.executable, "-c", code, str(project)], capture_output=True, text=True, check=True)
    assert second.stdout.strip() == "3 []"
    assert (out / "face.mp4").stat().st_mtime_ns == before


def test_what_ends_a_run_before_it_begins(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = EngineParams(workers=1)
    (project / "empty").mkdir(exist_ok=True)
    with pytest.raises(UserError, match="holds no video"):
        run(project / "empty", project / "o", project / "model", PARAMS, engine)
    with pytest.raises(UserError, match="same folder"):
        run(project / "in", project / "in", project / "model", PARAMS, engine)
    with pytest.raises(UserError, match="no model folder"):
        run(project / "in", project / "o", project / "in", PARAMS, engine)


def test_missing_weights_end_the_run_with_their_command(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    params = PARAMS.model_copy(update={"detector": "yunet"})
    monkeypatch.setenv("SVFR_WEIGHTS", str(project / "none"))
    with pytest.raises(WeightsMissing, match="svfr weights get yunet"):
        run(project / "in", project / "o", project / "model", params, EngineParams(workers=1))


@pytest.mark.data
@pytest.mark.slow
def test_real_clips(shared: Path, project: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("wangzhiyaoo-lq1.mp4", "KwaiVGI-d18.mp4"):
        (tmp_path / "in" / name).symlink_to(shared / "data" / "clips" / name)
    params = PARAMS.model_copy(update={"max_frames": 12})
    reports = run(tmp_path / "in", tmp_path / "out", project / "model", params, EngineParams(workers=1))
    assert [(r.status, r.frames) for r in reports] == [("restored", 12)] * 2
