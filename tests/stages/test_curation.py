"""`reports/curation.html` on tables whose funnel is known."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from eval_project import clip_row, empty_row, eval_params

from stages import curation
from stages.curation_figures import funnel, histograms
from stages.layout import Layout
from svfr.params import FaceParams, ScoreParams
from svfr.tables import VIDEOS, reject


def clip(number: int, reason: str = "", **columns: Any) -> dict[str, Any]:
    row = clip_row(f"c{number}", "", 0, 0) | {"video_id": "v0", "reason": reason, "blur": 10.0 * number}
    return row | {"status": "rejected" if reason else "kept", **columns}


CLIPS = [clip(0), clip(1, "text"), clip(2, "small_face", blur=None), clip(3), clip(4, "text")]
REJECTS = {
    "videos": [reject("download", "a", "missing", "m"), reject("download", "b", "unreadable", "m")],
    "clips": [reject("faces", "v1", "no_face", "m"), *(reject("faces", f"c{n}", "text", "m") for n in (1, 2, 4))],
    "scores": [reject("score", "c3", "low_quality", "m")],
}
SCORES = [{"clip_id": f"c{n}", "metric": "piqe", "mean": 40.0 + n, "kept": n == 0} for n in (0, 3)]


def test_the_funnel_counts_everything_once() -> None:
    steps = [(step.stage, step.reason, step.fell, step.left) for step in funnel(4, REJECTS, CLIPS, SCORES)]
    assert steps == [
        ("download", "missing", 1, 3),
        ("download", "unreadable", 1, 2),
        ("download", "", 0, 2),
        ("faces", "no_face", 1, 1),
        ("faces", "", 0, 5),
        ("faces", "small_face", 1, 4),
        ("faces", "text", 2, 2),
        ("score", "low_quality", 1, 1),
    ]


def test_histograms_hold_every_measured_clip_and_the_limits() -> None:
    limits = {"faces": FaceParams(min_blur=12.0), "score": ScoreParams(metric="piqe", threshold=42.0)}
    params = eval_params(Path()).model_copy(update=limits)
    drawn = {h.column: h for h in histograms(CLIPS, SCORES, params)}
    blur = drawn["blur"]
    assert blur.count == 4
    assert blur.low == pytest.approx((12 - blur.first) / (blur.last - blur.first))
    assert blur.limits == "at least 12"
    assert sum(bar.label.count(": 1 kept") for bar in blur.bars) == 2
    assert max(bar.kept + bar.refused for bar in blur.bars) == 1
    assert drawn["mean"].limits == "at most 42"  # piqe is better when it is lower


def test_the_page_shows_reasons_and_leaves_out_pictures_of_lost_media(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.sources.parent.mkdir()
    layout.sources.write_text("uri,sha256,licence,source_dataset\n" + "".join(f"{n}.mp4,,,\n" for n in "abcd"))
    media = tmp_path / "cache" / "media" / "ab" / "ab1"
    media.parent.mkdir(parents=True)
    media.write_bytes(b"no video")
    video = empty_row(VIDEOS) | {"video_id": "v0", "uri": "c.mp4", "sha256": "ab1", "bytes": 8}
    layout.write("videos", [video | {"vfr": False, "has_audio": False}], REJECTS["videos"])
    layout.write("clips", CLIPS, REJECTS["clips"])
    curation.run(eval_params(tmp_path), tmp_path)
    html = (tmp_path / "reports" / "curation.html").read_text()
    assert html.count("<figure>") == 5
    assert html.count('class="none"') == 5
    assert "small face" in html
    assert "<svg" in html
    assert "<script" not in html
