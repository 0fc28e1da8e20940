"""Stream copy: sound and subtitles come through bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from svfr.errors import ItemError, UserError
from svfr.video.decode import read_frames
from svfr.video.encode import VideoWriter
from svfr.video.mux import copy_streams
from svfr.video.probe import probe

Maker = Callable[..., Path]


def _packets(path: Path, kind: str) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        streams = [s for s in container.streams if s.type == kind]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(streams) if p.size] if streams else []


def _inverted(source: Path, target: Path) -> None:
    info = probe(source)
    with VideoWriter(target, info.width, info.height, time_base=info.time_base, fps=info.fps) as writer:
        for frame in read_frames(source):
            writer.write(255 - frame.rgb, frame.pts)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_everything_but_the_picture_is_kept(make_video: Maker, tmp_path: Path, suffix: str) -> None:
    source = make_video("source.mp4", pts=[0, 3000, 9000, 30_000, 31_000], audio=True, subtitles=True, rotation=90)
    _inverted(source, tmp_path / "new.mp4")
    target = tmp_path / f"out{suffix}"
    copy_streams(source, tmp_path / "new.mp4", target)
    assert _packets(target, "audio") == _packets(source, "audio")
    assert _packets(target, "subtitle") == _packets(source, "subtitle")
    assert len(_packets(source, "audio")) > 10
    a, b = probe(source), probe(target)
    assert (b.width, b.height, b.rotation, b.n_frames, b.has_audio) == (a.width, a.height, 0, a.n_frames, True)
    stamps = [[f.pts * i.time_base for f in read_frames(p)] for p, i in ((source, a), (target, b))]
    assert stamps[0] == stamps[1]
    assert np.abs(next(read_frames(target)).rgb.astype(int) + next(read_frames(source)).rgb - 255).mean() < 6
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "a title"


def test_matroska_keeps_packets_and_rounds_stamps_to_milliseconds(make_video: Maker, tmp_path: Path) -> None:
    source = make_video("source.mp4", audio=True)
    _inverted(source, tmp_path / "new.mkv")
    copy_streams(source, tmp_path / "new.mkv", tmp_path / "out.mkv")
    old, new = _packets(source, "audio"), _packets(tmp_path / "out.mkv", "audio")
    assert [data for data, _ in old] == [data for data, _ in new]
    shifts = [float(b[1] - a[1]) for a, b in zip(old, new, strict=True)]
    assert max(shifts) - min(shifts) <= 0.001


def test_copies_repeat_and_end_where_asked(make_video: Maker, tmp_path: Path) -> None:
    source = make_video("source.mp4", audio=True)
    _inverted(source, tmp_path / "new.mp4")
    for name in ("a.mp4", "b.mp4"):
        copy_streams(source, tmp_path / "new.mp4", tmp_path / name, until=Fraction(1, 4))
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
    kept = _packets(tmp_path / "a.mp4", "audio")
    assert kept == [packet for packet in _packets(source, "audio") if packet[1] < Fraction(1, 4)]


def test_a_container_that_cannot_hold_a_stream_is_named(make_video: Maker, tmp_path: Path) -> None:
    source = make_video("source.mp4", audio=True)
    with VideoWriter(
        tmp_path / "new.webm", 64, 48, time_base=Fraction(1, 25), fps=Fraction(25), codec="libvpx-vp9"
    ) as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8), 0)
    with pytest.raises(UserError, match=r"out\.webm.*aac.*ends in \.mp4"):
        copy_streams(source, tmp_path / "new.webm", tmp_path / "out.webm")
    assert not (tmp_path / "out.webm").exists()


def test_an_unreadable_source_leaves_nothing(make_video: Maker, tmp_path: Path) -> None:
    video = make_video("new.mp4")
    with pytest.raises(ItemError):
        copy_streams(tmp_path / "absent.mp4", video, tmp_path / "out.mp4")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new.mp4"]
