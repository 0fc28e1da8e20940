"""Whole files through all three passes, with a tiny model."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest

from svfr.errors import ItemError, UserError
from svfr.restore import Restorer, restore_video
from svfr.restore.engine import options_with
from svfr.restore.media import open_media
from svfr.restore.names import Outputs
from svfr.restore.scan import scan
from svfr.video.decode import read_frames
from svfr.video.probe import probe


def stamps(path: Path) -> list[Fraction]:
    base = probe(path).time_base
    return [frame.pts * base for frame in read_frames(path)]


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size]


def test_a_face_is_restored_and_all_else_is_kept(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(20), audio=True)
    options = options_with(kit.options, side_by_side=True, contact_sheet=True)
    seen: list[tuple[int, int]] = []
    target = tmp_path / "out" / "new.mp4"
    report = restore_video(source, target, model=restorer, options=options, progress=lambda a, b: seen.append((a, b)))
    assert (report.status, report.frames, report.tracks, report.frames_with_faces) == ("restored", 20, 1, 20)
    before, after = probe(source), probe(target)
    assert (after.width, after.height, after.n_frames, after.fps) == (160, 144, 20, before.fps)
    assert after.pix_fmt == "yuv420p"
    assert stamps(target) == stamps(source)
    assert audio_packets(target) == audio_packets(source)
    pair = probe(Outputs(target).side_by_side)
    assert (pair.width, pair.height, pair.n_frames) == (320, 144, 20)
    assert cv2.imread(str(Outputs(target).contact_sheet)) is not None
    assert seen[-1][0] == seen[-1][1]
    assert all(a <= b for a, b in seen)
    assert report.identity_distance is not None
    assert report.unsteadiness is not None
    assert not (tmp_path / "out" / ".svfr" / "work").exists()


def test_pixels_outside_the_crop_are_the_inputs(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    wide = [np.concatenate([f, c], axis=1) for f, c in zip(kit.face_frames(8), kit.scenery(8), strict=True)]
    source = kit.write_video(tmp_path / "in.mkv", wide, codec="ffv1", pix_fmt="yuv444p")
    options = options_with(kit.options, codec="ffv1")
    restore_video(source, tmp_path / "new.mkv", model=restorer, options=options)
    media = open_media(source)
    region = scan(media, restorer.detector(options), options, 8, lambda _: None).regions[0]
    for old, new in zip(media.read(), read_frames(tmp_path / "new.mkv"), strict=True):
        right = int(np.ceil(region.crop(old.index)[2] * 320))
        error = np.abs(old.rgb.astype(int) - new.rgb)
        assert error[:, right:].max() <= 2  # RGB to YCbCr and back at 8 bits; nothing else
        assert error[:, :right].mean() > 10


def test_a_file_without_a_face_is_copied(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.scenery(6), audio=True)
    report = restore_video(source, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert (report.status, report.reason) == ("passed_through", "no_face")
    assert (tmp_path / "out.mp4").read_bytes() == source.read_bytes()
    report = restore_video(source, tmp_path / "out.mkv", model=restorer, options=kit.options)
    assert audio_packets(tmp_path / "out.mkv") == audio_packets(source)


def test_variable_frame_rate(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    times = [0, 20, 50, 110, 120, 150, 200]
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(7), times=times)
    restore_video(source, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert stamps(tmp_path / "out.mp4") == [Fraction(t, 600) for t in times]


def test_two_faces_are_two_tracks(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    two = [np.concatenate([f, f[:, ::-1]], axis=1) for f in kit.face_frames(6)]
    source = kit.write_video(tmp_path / "in.mp4", two)
    report = restore_video(source, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert (report.tracks, report.frames) == (2, 6)


def test_ten_bits_stay_ten_bits(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(6), pix_fmt="yuv420p10le")
    restore_video(source, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert probe(tmp_path / "out.mp4").pix_fmt == "yuv420p10le"


def test_a_run_that_was_stopped_goes_on_to_the_same_bytes(
    tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(40))
    whole = restore_video(source, tmp_path / "a" / "out.mp4", model=restorer, options=kit.options)

    for limit in (45, 60, 100):  # in the first segment, in the second, while the file is written

        def stop(done: int, total: int, limit: int = limit) -> None:
            if done >= limit:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            restore_video(source, tmp_path / "b" / "out.mp4", model=restorer, options=kit.options, progress=stop)
        assert not (tmp_path / "b" / "out.mp4").exists()
    again = restore_video(source, tmp_path / "b" / "out.mp4", model=restorer, options=kit.options)
    assert again.output_sha256 == whole.output_sha256
    assert again.identity_distance == whole.identity_distance


def test_pictures_and_folders_of_frames(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for i, frame in enumerate(kit.face_frames(4)):
        cv2.imwrite(str(folder / f"{i:03d}.png"), frame[..., ::-1])
    one = restore_video(folder / "000.png", tmp_path / "new.png", model=restorer, options=kit.options)
    assert (one.status, one.frames) == ("restored", 1)
    assert cv2.imread(str(tmp_path / "new.png")).shape == (144, 160, 3)
    many = restore_video(folder, tmp_path / "new", model=restorer, options=kit.options)
    assert (many.status, many.frames) == ("restored", 4)
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["000.png", "001.png", "002.png", "003.png"]


def test_holes_are_filled_and_known_pixels_stay(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    cv2.imwrite(str(tmp_path / "in.png"), kit.face_frames(1)[0][..., ::-1])
    options = options_with(kit.options, mask="box:60,50,90,80")
    restore_video(tmp_path / "in.png", tmp_path / "out.png", model=restorer, tasks=["inpaint"], options=options)
    old, new = (cv2.imread(str(tmp_path / name)) for name in ("in.png", "out.png"))
    hole = np.zeros((144, 160), bool)
    hole[50:80, 60:90] = True
    assert (old[~hole] == new[~hole]).all()
    assert (old[hole] != new[hole]).any(axis=1).mean() > 0.9


def test_a_photo_as_reference_changes_the_result(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    frames = kit.face_frames(10)
    cv2.imwrite(str(tmp_path / "photo.png"), frames[9][..., ::-1])
    source = kit.write_video(tmp_path / "in.mp4", frames[:6])
    own = restore_video(source, tmp_path / "own.mp4", model=restorer, options=kit.options)
    options = options_with(kit.options, reference=[str(tmp_path / "photo.png")])
    given = restore_video(source, tmp_path / "given.mp4", model=restorer, options=options)
    assert given.output_sha256 != own.output_sha256
    cv2.imwrite(str(tmp_path / "cup.png"), kit.scenery(1)[0])
    options = options_with(kit.options, reference=[str(tmp_path / "cup.png")])
    with pytest.raises(UserError, match="no face was found in it"):
        restore_video(source, tmp_path / "x.mp4", model=restorer, options=options)


def test_crop_only_and_whole_frame(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(7))
    restore_video(source, tmp_path / "c.mp4", model=restorer, options=options_with(kit.options, crop_only=True))
    assert (probe(tmp_path / "c.mp4").width, probe(tmp_path / "c.mp4").n_frames) == (kit.size, 7)
    scenery = kit.write_video(tmp_path / "s.mp4", kit.scenery(7))
    options = options_with(kit.options, region="frame", max_frames=5)
    report = restore_video(scenery, tmp_path / "w.mp4", model=restorer, tasks=["color"], options=options)
    assert (report.status, report.frames, report.identity_distance) == ("restored", 5, None)


def test_equal_calls_give_equal_bytes(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(6))
    a, b = (restore_video(source, tmp_path / n, model=restorer, options=kit.options) for n in ("a.mp4", "b.mp4"))
    other = restore_video(source, tmp_path / "c.mp4", model=restorer, options=options_with(kit.options, seed=1))
    assert a.output_sha256 == b.output_sha256 != other.output_sha256


@pytest.mark.parametrize(
    ("name", "message"),
    [("out.avi", "destination must be a name that ends in"), ("in.mp4", "input and output are the same")],
)
def test_bad_destinations(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace, name: str, message: str) -> None:
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(2))
    with pytest.raises(UserError, match=message):
        restore_video(source, tmp_path / name, model=restorer, options=kit.options)


def test_bad_inputs_are_named(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ItemError) as caught:
        restore_video(tmp_path / "text.mp4", tmp_path / "o.mp4", model=restorer, options=kit.options)
    assert caught.value.code == "unreadable"
    source = kit.write_video(tmp_path / "in.mp4", kit.face_frames(2))
    with pytest.raises(UserError, match="needs a mask"):
        restore_video(source, tmp_path / "o.mp4", model=restorer, tasks=["inpaint"], options=kit.options)
    with pytest.raises(UserError, match="option tasks"):
        restore_video(source, tmp_path / "o.mp4", model=restorer, tasks=["sharpen"], options=kit.options)
