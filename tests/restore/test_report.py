"""The report in its three forms."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from svfr.restore.report import FileReport, table, write_reports

REPORTS = [
    FileReport(
        input="b.mp4",
        status="restored",
        output="b.mp4",
        model_sha256="ab" * 32,
        settings={"tasks": ["bfr"], "steps": 2, "guidance": 2.0, "seed": 77},
        frames=48,
        tracks=1,
        seconds=3.25,
        identity_distance=0.125,
        unsteadiness=1.5,
        files=["b.mp4", "contact_sheets/b.mp4.png"],
    ),
    FileReport(input="<a>.mp4", status="refused", reason="unreadable", message="<a>.mp4: damaged"),
]


def test_all_three_forms(tmp_path: Path) -> None:
    (tmp_path / "contact_sheets").mkdir()
    cv2.imwrite(str(tmp_path / "contact_sheets" / "b.mp4.png"), np.zeros((8, 8, 3), np.uint8))
    page = write_reports(tmp_path, REPORTS).read_text()
    stored = json.loads((tmp_path / "report.json").read_text())
    assert stored["summary"] == {"restored": 1, "passed_through": 0, "refused": 1, "failed": 0}
    assert [FileReport.from_row(row) for row in stored["files"]] == [REPORTS[1], REPORTS[0]]
    rows = pq.read_table(tmp_path / "report.parquet").to_pylist()
    assert [row["input"] for row in rows] == ["<a>.mp4", "b.mp4"]
    assert rows[0]["identity_distance"] is None
    assert json.loads(rows[1]["settings"])["steps"] == 2
    assert "&lt;a&gt;.mp4: damaged" in page
    assert "<a>" not in page
    assert "data:image/jpeg;base64," in page
    assert "0.125" in page
    assert "http" not in page.replace("http-equiv", "")


def test_table_ends_with_the_totals() -> None:
    lines = table(REPORTS).splitlines()
    assert lines[1].startswith("<a>.mp4  refused (unreadable)")
    assert "0.125" in lines[2]
    assert lines[-1] == "2 files: 1 restored, 1 refused"
