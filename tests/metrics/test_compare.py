"""Restored folders against true ones, with real files: everything that cannot be measured says why."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from skimage.data import astronaut

from svfr.errors import UserError
from svfr.metrics.compare import compare_videos
from svfr.metrics.frame import Psnr
from svfr.metrics.registry import Backends
from svfr.video.clip import decode_clip, encode_clip

DLIB = Backends(identity="dlib", landmarks="dlib68")


def _write(path: Path, frames: np.ndarray) -> np.ndarray:
    """Writes a clip and returns what a player would show of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_clip(frames, Fraction(25)))
    return decode_clip(path.read_bytes())


@pytest.fixture
def portrait() -> np.ndarray:
    return np.stack([astronaut()[:256, 100 + t : 356 + t] for t in range(4)])


def test_pairs_are_matched_by_name_and_the_rest_is_accounted_for(
    tmp_path: Path, portrait: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path / "weights"))
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    dark = portrait // 2
    a, b = _write(ours / "one.mp4", dark), _write(theirs / "one.mp4", portrait)
    _write(ours / "alone.mp4", dark)
    _write(ours / "small.mp4", dark[:, :128, :128])
    _write(theirs / "small.mp4", portrait)
    (ours / "broken.mp4").write_bytes(b"no video")
    _write(theirs / "broken.mp4", portrait)
    rows = compare_videos(ours, theirs, ["psnr", "lpips", "ids"], backends=DLIB, frames=3)
    found = {(row["video"], row["metric"]): row for row in rows}
    assert found["one", "psnr"]["value"] == pytest.approx(Psnr()(a[:3], b[:3]))
    assert found["one", "psnr"]["n_frames"] == 3
    assert 0.8 < found["one", "ids"]["value"] < 1
    assert found["all", "psnr"]["value"] == found["one", "psnr"]["value"]
    reasons = {row["video"]: row["reason"] for row in rows if row["value"] is None}
    assert "alexnet" in reasons["all"]
    assert "no truth" in reasons["alone"]
    assert "must be equal" in reasons["small"]
    assert "broken.mp4" in reasons["broken"]


def test_a_video_without_a_face_has_no_identity(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3)).astype(np.uint8)
    for name in ("a.mp4", "b.mp4"):
        _write(tmp_path / name, frames)
    rows = compare_videos(tmp_path / "a.mp4", tmp_path / "b.mp4", ["ids", "flicker"], backends=DLIB)
    by_metric = {row["metric"]: row for row in rows if row["video"] == "a"}
    assert by_metric["flicker"]["value"] == 0
    assert "no frame of the truth has landmarks" in by_metric["ids"]["reason"]


def test_bad_places_are_one_clear_line(tmp_path: Path, portrait: np.ndarray) -> None:
    _write(tmp_path / "x" / "one.mp4", portrait)
    _write(tmp_path / "y" / "two.mp4", portrait)
    with pytest.raises(UserError, match="does not exist"):
        compare_videos(tmp_path / "z", tmp_path / "y", ["psnr"])
    with pytest.raises(UserError, match="share no video name"):
        compare_videos(tmp_path / "x", tmp_path / "y", ["psnr"])
    with pytest.raises(UserError, match="a file and a folder"):
        compare_videos(tmp_path / "x" / "one.mp4", tmp_path / "y", ["psnr"])
    with pytest.raises(UserError, match="unknown metric"):
        compare_videos(tmp_path / "x" / "one.mp4", tmp_path / "y" / "two.mp4", ["psnnr"])
