"""Where the first pass finds faces, and the crops it lays out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from svfr.restore.media import open_media
from svfr.restore.model import Restorer
from svfr.restore.scan import Scan, load_scan, save_scan, scan


def scanned(path: Path, restorer: Restorer, kit: SimpleNamespace, frames: int) -> Scan:
    seen: list[int] = []
    result = scan(open_media(path), restorer.detector(kit.options), kit.options, frames, seen.append)
    assert sum(seen) == frames
    return result


def test_a_panning_face_is_one_region_of_every_frame(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    result = scanned(kit.write_video(tmp_path / "v.mp4", kit.face_frames(23)), restorer, kit, 23)
    assert len(result.regions) == 1
    region = result.regions[0]
    assert (region.start, region.stop) == (0, 23)
    assert (region.crops >= 0).all()
    assert (region.crops <= 1).all()
    sides = (region.crops[:, 2:] - region.crops[:, :2]) * [160, 144]
    np.testing.assert_allclose(sides[:, 0], sides[:, 1])
    left, top, right, bottom = region.face_in_crop(11, 160, 144, 32)
    assert 0 <= left < right <= 32
    assert bottom - top > 16


def test_tracks_end_at_a_cut(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    faces = kit.face_frames(26)
    frames = [*faces[:12], *kit.scenery(6), *faces[18:]]
    result = scanned(kit.write_video(tmp_path / "v.mp4", frames), restorer, kit, 26)
    assert [(r.region_id, r.start, r.stop) for r in result.regions] == [(0, 0, 12), (1, 18, 26)]


def test_no_face(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    assert scanned(kit.write_video(tmp_path / "v.mp4", kit.scenery(7)), restorer, kit, 7).regions == ()


def test_faces_that_are_too_small_are_counted_and_left(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    path = kit.write_video(tmp_path / "v.mp4", kit.face_frames(6))
    options = kit.options.model_copy(update={"min_face": 200})
    result = scan(open_media(path), restorer.detector(options), options, 6, lambda _: None)
    assert (result.regions, result.small) == ((), 1)


def test_a_scan_survives_the_disk_exactly(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    result = scanned(kit.write_video(tmp_path / "v.mp4", kit.face_frames(6)), restorer, kit, 6)
    save_scan(tmp_path / "scan.json", result)
    again = load_scan(tmp_path / "scan.json")
    assert (again.regions[0].crops == result.regions[0].crops).all()
    assert (again.regions[0].faces == result.regions[0].faces).all()
    assert again.regions[0].best == result.regions[0].best
