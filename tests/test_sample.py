"""The sample set: every kind of source that it claims to hold, made the same wherever it is made."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from svfr.artifacts import sha256_file
from svfr.errors import ItemError
from svfr.faces.detect import build_detector
from svfr.sample import write, write_old, write_samples
from svfr.sample.portraits import collins, hopper, mirrored
from svfr.video.decode import read_frames
from svfr.video.probe import probe


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    write_samples(folder)
    return folder


@pytest.mark.slow
def test_the_set_is_what_its_names_say(sample: Path) -> None:
    with (sample / "sources.csv").open() as file:
        rows = {row["uri"]: row for row in csv.DictReader(file)}
    assert set(rows) == {path.name for path in sample.glob("*.mp4")}
    assert all(row["licence"] and row["source_dataset"] == "sample" for row in rows.values())
    with pytest.raises(ItemError) as caught:
        probe(sample / "truncated_file.mp4")
    assert caught.value.code == "unreadable"
    readable = [name for name in rows if name != "truncated_file.mp4"]
    info = {name.removesuffix(".mp4"): probe(sample / name) for name in readable}
    assert all(video.complete and video.n_frames >= 32 for video in info.values())
    assert {name for name, video in info.items() if video.vfr} == {"collins_vfr"}
    assert {name for name, video in info.items() if video.has_audio} == {"collins_warm_audio"}
    assert len({video.fps for video in info.values()}) >= 3
    for name in readable:
        assert sum(1 for _ in read_frames(sample / name)) == info[name.removesuffix(".mp4")].n_frames


@pytest.mark.slow
def test_faces_are_where_they_should_be_and_move(sample: Path) -> None:
    detect = build_detector("mtcnn")
    expected = {"collins_close": 1, "hopper_close": 1, "two_faces": 2, "coffee_no_face": 0}
    for name, count in expected.items():
        frames = [frame.rgb for frame in read_frames(sample / f"{name}.mp4")]
        found = [[face for face in faces if face.score > 0.95] for faces in detect(frames[::16])]
        assert [len(faces) for faces in found] == [count] * len(found), name
        steps = [np.abs(b.astype(int) - a).mean() for a, b in pairwise(frames)]
        assert min(steps) > 0.1, name


@pytest.mark.slow
def test_a_second_call_writes_nothing_and_a_lost_file_only(sample: Path) -> None:
    def state() -> dict[str, tuple[int, str]]:
        return {path.name: (path.stat().st_ino, sha256_file(path)) for path in sample.glob("*.mp4")}

    before = state()
    (sample / "coffee_no_face.mp4").unlink()
    write_samples(sample)
    after = state()
    assert after.pop("coffee_no_face.mp4")[1] == before.pop("coffee_no_face.mp4")[1]
    assert after == before
    assert len({path.stat().st_mtime for path in sample.glob("*.mp4")}) == 1


@pytest.mark.slow
def test_equal_bytes_every_time(sample: Path, tmp_path: Path) -> None:
    scenes = write._scenes()
    for name in ("hopper_close.mp4", "collins_vfr.mp4", "truncated_file.mp4"):
        (tmp_path / name).write_bytes(scenes[name]())
        assert sha256_file(tmp_path / name) == sha256_file(sample / name)


@pytest.mark.slow
def test_old_videos_are_small_noisy_and_real(tmp_path: Path) -> None:
    paths = write_old(tmp_path)
    assert sorted(path.name for path in paths) == sorted(path.name for path in tmp_path.glob("*.mp4"))
    info = {path.name: probe(path) for path in paths}
    assert info["hopper_tape_audio.mp4"].has_audio
    assert all(video.height <= 288 and video.n_frames >= 32 for video in info.values())


def test_a_mirrored_portrait_keeps_the_numbering_of_its_landmarks() -> None:
    for portrait in (collins(), hopper()):
        flipped = mirrored(portrait)
        for points in (portrait.points, flipped.points):
            assert points[36, 0] < points[39, 0] < points[42, 0] < points[45, 0]  # eye corners, left to right
            assert points[0, 0] < points[8, 0] < points[16, 0]
            assert points[48, 0] < points[54, 0]
            assert points[60, 0] < points[64, 0]
        again = mirrored(flipped)
        np.testing.assert_array_equal(again.points, portrait.points)
        np.testing.assert_array_equal(again.image, portrait.image)
