"""A face that leaves and returns, and photos for persons."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from svfr.errors import UserError
from svfr.restore import Restorer, restore_video
from svfr.restore.engine import options_with
from svfr.restore.persons import group
from svfr.restore.scan import Region

NEAR, FAR = np.zeros(4, np.float32), np.ones(4, np.float32)


def region(start: int, stop: int) -> Region:
    return Region(0, start, np.zeros((stop - start, 4)), np.zeros((stop - start, 4)), start)


def test_groups_share_no_frame_and_every_pair_is_close() -> None:
    regions = [region(0, 10), region(5, 15), region(20, 30), region(40, 50)]
    assert group(regions, [NEAR, NEAR, NEAR, FAR], 0.5) == [0, 1, 0, 2]
    chain = [NEAR, NEAR + 0.2, NEAR + 0.4]  # neighbours 0.4 apart, ends 0.8
    assert group([region(10 * i, 10 * i + 5) for i in range(3)], chain, 0.5) == [0, 0, 1]
    assert group([region(0, 5), region(10, 15)], [FAR, NEAR], 0.5) == [0, 1]


def test_a_face_that_returns_has_the_same_reference(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    faces = kit.face_frames(26)
    source = kit.write_video(tmp_path / "v.mp4", [*faces[:8], *kit.scenery(6), *faces[18:]])
    report = restore_video(source, tmp_path / "o.mp4", model=restorer, options=kit.options)
    assert (report.tracks, report.persons, report.frames) == (2, 1, 22)
    assert len({row["reference"] for row in report.track_rows}) == 1
    assert report.track_rows[0]["reference"].startswith("frame ")
    options = options_with(kit.options, link_faces=False)
    apart = restore_video(source, tmp_path / "p.mp4", model=restorer, options=options)
    assert apart.persons == 2
    assert len({row["reference"] for row in apart.track_rows}) == 2


@pytest.fixture
def two(tmp_path: Path, kit: SimpleNamespace) -> tuple[Path, Path]:
    """A video of a face beside its darker mirror image, and a photo of it."""
    frames = [np.concatenate([frame, frame[:, ::-1] // 2 + 40], axis=1) for frame in kit.face_frames(5)]
    cv2.imwrite(str(tmp_path / "her.png"), kit.face_frames(9)[8][..., ::-1])
    return kit.write_video(tmp_path / "two.mp4", frames), tmp_path / "her.png"


def test_photos_go_to_the_persons_they_are_named_for(
    two: tuple[Path, Path], tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    video, photo = two
    options = options_with(kit.options, reference=[f"1={photo}"])
    report = restore_video(video, tmp_path / "o.mp4", model=restorer, options=options)
    sources = {row["person"]: row["reference"] for row in report.track_rows}
    assert sources[1] == "photo her.png"
    assert sources[0].startswith("frame ")
    nearest = options_with(kit.options, reference=[str(photo)])
    report = restore_video(video, tmp_path / "n.mp4", model=restorer, options=nearest)
    assert [row["reference"] for row in report.track_rows].count("photo her.png") == 1


def test_photos_for_nobody_or_for_one_twice(
    two: tuple[Path, Path], tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    video, photo = two
    nobody = options_with(kit.options, reference=[f"7={photo}"])
    with pytest.raises(UserError, match="persons 0 to 1"):
        restore_video(video, tmp_path / "o.mp4", model=restorer, options=nobody)
    twice = options_with(kit.options, reference=[f"0={photo}", f"0={photo}"])
    with pytest.raises(UserError, match="both for person 0"):
        restore_video(video, tmp_path / "o.mp4", model=restorer, options=twice)
