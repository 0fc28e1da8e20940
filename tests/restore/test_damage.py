"""Damaged videos are restored as a player shows them; hopeless ones are refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from svfr.errors import ItemError
from svfr.restore import Restorer, restore_video
from svfr.restore.media import open_media
from svfr.video.probe import examine, probe
from svfr.video.tolerant import read_tolerant


def break_packet(path: Path, number: int) -> None:
    """Overwrites the inside of one coded frame."""
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][number]
        place, size = packet.pos, packet.size
    with path.open("r+b") as file:
        file.seek(place + size // 4)
        file.write(b"\x5a" * (size // 2))


@pytest.fixture
def broken(tmp_path: Path, kit: SimpleNamespace) -> Path:
    path = kit.write_video(tmp_path / "broken.mp4", kit.face_frames(14), audio=True)
    break_packet(path, 6)
    return path


def test_a_broken_frame_is_concealed_and_the_count_kept(broken: Path) -> None:
    with pytest.raises(ItemError, match="cannot be decoded"):
        list(open_media(broken).read())
    _, index = examine(broken, strict=False)
    frames = [shown.frame() for shown in read_tolerant(broken, index)]
    assert [frame.index for frame in frames] == list(range(14))
    assert any(frame.damaged for frame in frames)
    assert not frames[0].damaged
    late = [shown.frame() for shown in read_tolerant(broken, index, start=9, stop=12)]
    assert [frame.index for frame in late] == [9, 10, 11]
    assert all((a.rgb == b.rgb).all() for a, b in zip(late, frames[9:12], strict=True))


def test_it_is_restored_with_a_warning(broken: Path, tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    report = restore_video(broken, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert (report.status, report.frames) == ("restored", 14)
    assert "restored as a player would show it" in report.warnings[0]
    assert probe(tmp_path / "out.mp4").n_frames == 14


def test_a_run_over_a_damaged_file_goes_on_too(
    broken: Path, tmp_path: Path, restorer: Restorer, kit: SimpleNamespace
) -> None:
    whole = restore_video(broken, tmp_path / "a.mp4", model=restorer, options=kit.options)

    def stop(done: int, total: int) -> None:
        if done > 28:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restore_video(broken, tmp_path / "b.mp4", model=restorer, options=kit.options, progress=stop)
    again = restore_video(broken, tmp_path / "b.mp4", model=restorer, options=kit.options)
    assert (again.output_sha256, again.warnings) == (whole.output_sha256, whole.warnings)


def test_a_file_that_ends_early(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    times = [200 * i for i in range(14)]
    source = kit.write_video(tmp_path / "whole.mkv", kit.face_frames(14), times=times, codec="ffv1", pix_fmt="yuv444p")
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(source.read_bytes()[: int(source.stat().st_size * 0.7)])
    report = restore_video(cut, tmp_path / "out.mkv", model=restorer, options=kit.options)
    assert report.status == "restored"
    assert 0 < report.frames < 14
    assert report.warnings


def test_what_no_player_shows_is_refused(tmp_path: Path, restorer: Restorer, kit: SimpleNamespace) -> None:
    path = kit.write_video(tmp_path / "dead.mp4", kit.face_frames(2))
    for number in range(2):
        with av.open(str(path)) as container:
            packet = [p for p in container.demux(video=0) if p.size][number]
        with path.open("r+b") as file:
            file.seek(packet.pos)
            file.write(bytes(packet.size))
    with pytest.raises(ItemError) as caught:
        restore_video(path, tmp_path / "out.mp4", model=restorer, options=kit.options)
    assert caught.value.code in ("unreadable", "zero_frames")
    assert not (tmp_path / "out.mp4").exists()


def test_a_frame_that_cannot_be_decoded_repeats_the_one_before(tmp_path: Path, kit: SimpleNamespace) -> None:
    frames = [np.full((64, 64, 3), 20 * i, np.uint8) for i in range(6)]
    path = kit.write_video(tmp_path / "v.mov", frames, codec="mjpeg", pix_fmt="yuvj420p")
    with av.open(str(path)) as container:
        packet = [p for p in container.demux(video=0) if p.size][3]
    with path.open("r+b") as file:
        file.seek(packet.pos)
        file.write(bytes(packet.size))
    _, index = examine(path, strict=False)
    shown = list(read_tolerant(path, index))
    assert [frame.damaged for frame in shown] == [False, False, False, True, False, False]
    assert [int(frame.rgb()[9, 9, 0]) for frame in shown] == pytest.approx([0, 20, 40, 40, 80, 100], abs=3)
