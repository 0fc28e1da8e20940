"""What the web page's buttons do, without the page."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from svfr.errors import UserError
from svfr.restore import Restorer
from svfr.restore.serve import ServeLimits
from svfr.restore.webjob import Cancelled, WebJobs, Wish, frame_of, painted_mask, sentence

WISH = Wish(("bfr",), auto=False, mask="", reference="", steps=1, seed=7)


@pytest.fixture
def jobs(tmp_path: Path, restorer: Restorer, tiny_model: Path) -> WebJobs:
    (tmp_path / "served").mkdir()
    return WebJobs(restorer, tiny_model, tmp_path / "served", ServeLimits(max_seconds=2.0), "mtcnn")


def test_an_upload_is_restored_below_the_folder(jobs: WebJobs, tmp_path: Path, kit: SimpleNamespace) -> None:
    (jobs.folder / "old").mkdir()
    os.utime(jobs.folder / "old", (0, time.time() - 25 * 3600))
    upload = kit.write_video(tmp_path / "in.mp4", kit.face_frames(4))
    shares: list[float] = []
    target, report = jobs.restore("me", upload, WISH, shares.append)
    assert target.is_relative_to(jobs.folder)
    assert report.settings["steps"] == 1
    assert json.loads(target.with_suffix(".json").read_text())["output_sha256"] == report.output_sha256
    assert shares[-1] == 1.0
    assert frame_of(target, 1.0).shape == (144, 160, 3)
    assert "Face tracks: **1**, frames: **4**" in sentence(report)
    assert not (jobs.folder / "old").exists()


def test_cancel_stops_at_the_next_frame_and_leaves_nothing(jobs: WebJobs, tmp_path: Path, kit: SimpleNamespace) -> None:
    upload = kit.write_video(tmp_path / "in.mp4", kit.face_frames(4))
    assert not jobs.cancel("me")

    def show(share: float) -> None:
        assert jobs.cancel("me") or share > 0
        assert not jobs.cancel("someone else")

    with pytest.raises(Cancelled):
        jobs.restore("me", upload, WISH, show)
    assert list(jobs.folder.iterdir()) == []


def test_uploads_that_are_too_long_or_no_video(jobs: WebJobs, tmp_path: Path, kit: SimpleNamespace) -> None:
    long = kit.write_video(tmp_path / "long.mp4", kit.scenery(3), times=[0, 600, 1800])
    with pytest.raises(UserError, match="2 s are allowed here"):
        jobs.check(long)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match="cannot be opened as video"):
        jobs.check(tmp_path / "text.mp4")


def test_what_is_painted_becomes_a_mask(tmp_path: Path) -> None:
    layer = np.zeros((20, 30, 4), np.uint8)
    assert not painted_mask(None, tmp_path / "m.png")
    assert not painted_mask({"layers": [layer]}, tmp_path / "m.png")
    layer[5:9, 4:8] = (255, 59, 48, 200)
    assert painted_mask({"layers": [np.zeros_like(layer), layer]}, tmp_path / "m.png")
    mask = cv2.imread(str(tmp_path / "m.png"), cv2.IMREAD_GRAYSCALE)
    assert (mask == np.where(layer[..., 3] > 0, 255, 0)).all()
