"""What became of each file: one row, as JSON, Parquet and a page to look at."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from svfr.artifacts import atomic_write, write_json, write_text

Status = Literal["restored", "passed_through", "refused", "failed"]


@dataclass(frozen=True)
class FileReport:
    """One input. `refused`: its own fault, with a reason code; `failed`: ours, and tried again by the next run.

    `identity_distance`: mean Euclidean distance of face embeddings, input against result (0 = same), by the network
    `identity_backend`. `unsteadiness`: change between frames relative to the input's (1 = as steady as the input, more
    = flickers). `network_seconds`: the share of `seconds` spent in the network. `peak_memory_mib`: of the process so
    far; `peak_gpu_mib` of this file. `track_rows`: one a track. None where it does not apply.
    """

    input: str
    status: Status
    reason: str = ""
    message: str = ""
    warnings: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    output: str = ""
    input_sha256: str = ""
    output_sha256: str = ""
    model_sha256: str = ""
    model_family: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    frames: int = 0
    duration: float = 0.0
    faces: int = 0
    small_faces: int = 0
    tracks: int = 0
    persons: int = 0
    frames_with_faces: int = 0
    track_rows: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0
    network_seconds: float = 0.0
    peak_memory_mib: float = 0.0
    peak_gpu_mib: float = 0.0
    identity_distance: float | None = None
    identity_backend: str = ""
    unsteadiness: float | None = None
    skipped: bool = False  # done by an earlier run
    files: list[str] = field(default_factory=list)

    def row(self) -> dict[str, Any]:
        """The report as plain values."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> FileReport:
        """The inverse of `row`; unknown names are refused with `TypeError`."""
        return cls(**row)


TRACK = pa.struct(
    [
        ("track", pa.int32()),
        ("person", pa.int32()),
        ("first_frame", pa.int64()),
        ("frames", pa.int64()),
        ("face_px", pa.float64()),
        ("reference", pa.string()),
        ("identity_distance", pa.float64()),
        ("unsteadiness", pa.float64()),
    ]
)
RUN = pa.schema(
    [
        ("input", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("message", pa.string()),
        ("warnings", pa.list_(pa.string())),
        ("tasks", pa.list_(pa.string())),
        ("output", pa.string()),
        ("input_sha256", pa.string()),
        ("output_sha256", pa.string()),
        ("model_sha256", pa.string()),
        ("model_family", pa.string()),
        ("settings", pa.string()),  # JSON
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("frames", pa.int64()),
        ("duration", pa.float64()),
        ("faces", pa.int64()),
        ("small_faces", pa.int64()),
        ("tracks", pa.int64()),
        ("persons", pa.int64()),
        ("frames_with_faces", pa.int64()),
        ("track_rows", pa.list_(TRACK)),
        ("seconds", pa.float64()),
        ("network_seconds", pa.float64()),
        ("peak_memory_mib", pa.float64()),
        ("peak_gpu_mib", pa.float64()),
        ("identity_distance", pa.float64()),
        ("identity_backend", pa.string()),
        ("unsteadiness", pa.float64()),
        ("skipped", pa.bool_()),
        ("files", pa.list_(pa.string())),
    ]
)


def write_reports(folder: Path, reports: Sequence[FileReport], outputs: Path | None = None) -> Path:
    """Writes `report.json`, `report.parquet` and `report.html` into `folder`; returns the page.

    Rows are in order of the input's name. `outputs` is the folder with the restored files, if it is another one.
    """
    ordered = sorted(reports, key=lambda report: report.input)
    write_json(folder / "report.json", {"summary": summary(ordered), "files": [r.row() for r in ordered]})
    rows = [{**r.row(), "settings": json.dumps(r.settings, sort_keys=True)} for r in ordered]
    with atomic_write(folder / "report.parquet") as temporary:
        pq.write_table(pa.Table.from_pylist(rows, schema=RUN), temporary, compression="zstd")
    page = folder / "report.html"
    write_text(page, render(outputs or folder, ordered))
    return page


def summary(reports: Sequence[FileReport]) -> dict[str, int]:
    """How many files ended in which status."""
    counts = Counter(report.status for report in reports)
    return {status: counts[status] for status in ("restored", "passed_through", "refused", "failed")}


def render(folder: Path, reports: Sequence[FileReport]) -> str:
    """The page as HTML with its pictures inside; contact sheets are looked for below `folder`."""
    from jinja2 import Environment

    from svfr.restore.page import TEMPLATE

    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    sheets = {r.input: _sheet(folder, r) for r in reports}
    settings = next((r.settings for r in reports if r.settings), {})
    model = next((r.model_sha256 for r in reports if r.model_sha256), "")
    return environment.from_string(TEMPLATE).render(
        reports=reports,
        summary=summary(reports),
        sheets=sheets,
        settings=settings,
        model=model,
        backends=sorted({r.identity_backend for r in reports if r.identity_backend}),
    )


def _sheet(folder: Path, report: FileReport) -> str:
    """The report's contact sheet as a JPEG in a data URI, or nothing."""
    name = next((name for name in report.files if name.startswith("contact_sheets/")), "")
    path = folder / name
    if not name or not path.is_file():
        return ""
    import cv2

    picture = cv2.imread(str(path))
    if picture is None:
        return ""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 80])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()


def table(reports: Sequence[FileReport]) -> str:
    """The reports as lines of text: one a file, then the totals."""
    width = max((len(report.input) for report in reports), default=4)
    lines = [f"{'file':<{width}}  {'outcome':<26} {'frames':>6} {'tracks':>6} {'seconds':>8}  identity  unsteadiness"]
    for r in sorted(reports, key=lambda report: report.input):
        outcome = f"{r.status} ({r.reason})" if r.reason else r.status
        identity = "" if r.identity_distance is None else f"{r.identity_distance:.3f}"
        steady = "" if r.unsteadiness is None else f"{r.unsteadiness:.2f}"
        seconds = "earlier" if r.skipped else f"{r.seconds:.1f}"
        line = (
            f"{r.input:<{width}}  {outcome:<26} {r.frames:>6} {r.tracks:>6} {seconds:>8}  {identity:>8}  {steady:>12}"
        )
        lines.append(line.rstrip())
    warnings = [f"{r.input}: {text}" for r in sorted(reports, key=lambda r: r.input) for text in r.warnings]
    totals = ", ".join(f"{count} {status.replace('_', ' ')}" for status, count in summary(reports).items() if count)
    files = "file" if len(reports) == 1 else "files"
    return "\n".join([*lines, *(f"warning: {text}" for text in warnings), f"{len(reports)} {files}: {totals}"])
