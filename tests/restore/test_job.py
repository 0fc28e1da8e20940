"""What a job decides by itself: tasks, disk, references on drift, further outputs, and that it is alone."""

from __future__ import annotations

import fcntl
from collections import namedtuple
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from svfr.errors import UserError
from svfr.restore import Restorer, restore_video
from svfr.restore.engine import options_with
from svfr.restore.grey import Chroma
from svfr.restore.ledger import job_key, media_digest, settings_of
from svfr.restore.names import Outputs
from svfr.restore.scan import Region


def test_grey_and_tinted_pictures_have_no_colour(kit: SimpleNamespace) -> None:
    colour = kit.face_frames(1)[0]
    y = colour.mean(2, keepdims=True)
    sepia = np.clip(y * [1.0, 0.85, 0.65] + 5, 0, 255).astype(np.uint8)
    for picture, grey in ((colour, False), (np.repeat(y, 3, 2).astype(np.uint8), True), (sepia, True)):
        chroma = Chroma()
        chroma.add(picture)
        assert chroma.grey == grey, chroma.colourfulness
    assert not Chroma().grey


def test_auto_colours_what_is_grey_and_fills_what_is_masked(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    grey = [np.repeat(frame[..., 1:2], 3, axis=2) for frame in kit.face_frames(4)]
    source = kit.write_video(tmp_path / "grey.mp4", grey)
    plain = restore_video(source, tmp_path / "p.mp4", model=restorer, options=kit.options)
    assert "has no colour" in plain.warnings[0]
    auto = restore_video(
        source, tmp_path / "a.mp4", model=restorer, options=options_with(kit.options, auto=True, steps=1)
    )
    assert (auto.tasks, auto.warnings) == (["bfr", "color"], [])
    colour = kit.write_video(tmp_path / "colour.mp4", kit.face_frames(4))
    options = options_with(kit.options, auto=True, steps=1, mask="box:0,0,20,20")
    report = restore_video(colour, tmp_path / "c.mp4", model=restorer, options=options)
    assert report.tasks == ["bfr", "inpaint"]


def test_a_mask_beside_the_faces_is_named(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    wide = [np.concatenate([f, c], axis=1) for f, c in zip(kit.face_frames(4), kit.scenery(4), strict=True)]
    source = kit.write_video(tmp_path / "in.mp4", wide)
    options = options_with(kit.options, mask="box:250,60,300,100", tasks=["inpaint"])
    report = restore_video(source, tmp_path / "out.mp4", model=restorer, options=options)
    assert "100 % of the mask lies outside the restored faces" in report.warnings[0]


def test_png_frames_are_the_restored_ones(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mkv", kit.face_frames(4), codec="ffv1", pix_fmt="yuv444p10le")
    options = options_with(kit.options, png_frames=True, codec="ffv1")
    report = restore_video(source, tmp_path / "out.mkv", model=restorer, options=options)
    folder = Outputs(tmp_path / "out.mkv").png_frames
    assert report.files == ["out.mkv", "frames/out.mkv"]
    assert sorted(path.name for path in folder.iterdir()) == [f"{i:06d}.png" for i in range(4)]
    assert cv2.imread(str(folder / "000000.png"), cv2.IMREAD_UNCHANGED).dtype == np.uint16


def test_drift_takes_a_new_reference(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(8))
    made = {}
    for limit in (0.0, 1e-6, 1e6):
        options = options_with(kit.options, steps=1, drift_limit=limit)
        made[limit] = restore_video(source, tmp_path / f"{limit}.mp4", model=restorer, options=options).output_sha256
    assert made[0.0] == made[1e6] != made[1e-6]


def test_a_disk_that_is_too_full_is_said_before_the_work(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(4))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(0, 0, 1 << 20))
    with pytest.raises(UserError, match="disk too full"):
        restore_video(source, tmp_path / "out.mp4", model=restorer, options=kit.options)


def test_a_container_that_cannot_hold_the_sound_is_said_before_the_work(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(4), audio=True)
    with pytest.raises(UserError, match=r"cannot hold the source's audio stream \(aac\)"):
        restore_video(source, tmp_path / "out.webm", model=restorer, options=kit.options)
    assert not (tmp_path / ".svfr").exists()


def test_two_processes_do_not_work_at_one_job(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(2))
    target = tmp_path / "out.mp4"
    key = job_key(media_digest(source), restorer.digest, settings_of(kit.options))
    work = Outputs(target).work(key)
    work.mkdir(parents=True)
    with (work / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another process is restoring it"):
            restore_video(source, target, model=restorer, options=kit.options)
    assert restore_video(source, target, model=restorer, options=kit.options).status == "restored"


def test_a_region_fades_in_and_out() -> None:
    region = Region(0, 10, np.zeros((6, 4)), np.zeros((6, 4)), 12, fade_in=2, fade_out=1)
    assert [round(region.opacity(frame), 2) for frame in range(10, 16)] == [0.33, 0.67, 1, 1, 1, 0.5]
    assert replace(region, fade_in=0, fade_out=0).opacity(10) == 1


def test_a_vp8_video_with_hidden_frames_keeps_its_count(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    path = tmp_path / "in.webm"
    frames = kit.face_frames(30)
    with av.open(str(path), "w") as container:
        options = {"auto-alt-ref": "1", "lag-in-frames": "12", "arnr-maxframes": "5", "b": "200k"}
        stream = container.add_stream("libvpx", rate=24, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    report = restore_video(path, tmp_path / "out.mkv", model=restorer, options=options_with(kit.options, steps=1))
    assert (report.status, report.frames, report.warnings) == ("restored", 30, [])
