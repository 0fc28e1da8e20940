"""Cut ranges decode to exactly the frames that the whole has there."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from svfr.errors import ItemError
from svfr.video.cut import Cutter
from svfr.video.decode import read_frames
from svfr.video.probe import probe

Maker = Callable[..., Path]
KINDS = {
    "b_frames.mp4": ("libx264", {"crf": "20", "g": "12", "bf": "3", "b-pyramid": "normal"}),
    "open_gop.mkv": ("libx264", {"crf": "20", "g": "12", "bf": "3", "x264-params": "open-gop=1"}),
    "stream.ts": ("libx264", {"crf": "20", "g": "12", "bf": "2"}),
    "vp9.webm": ("libvpx-vp9", {"crf": "30", "b": "0", "g": "12"}),
    "old.avi": ("mpeg4", {"g": "12"}),
}
RANGES = [(0.0, 0.48), (0.5, 1.3), (0.44, 0.48), (0.46, 0.9), (1.0, 99.0), (1.2, None)]


@pytest.mark.parametrize("name", KINDS)
def test_a_cut_holds_the_frames_of_its_range_and_no_other(make_video: Maker, tmp_path: Path, name: str) -> None:
    codec, options = KINDS[name]
    source = make_video(name, count=40, codec=codec, options=options)
    frames, base = list(read_frames(source)), probe(source).time_base
    cutter, part = Cutter(source), tmp_path / "part.mp4"
    for start, end in RANGES:
        cutter.cut(start, end, part)
        times = [(frame.pts - frames[0].pts) * base for frame in frames]
        stop = Fraction(10**6) if end is None else Fraction(str(end))
        wanted = [f.rgb.tobytes() for f, t in zip(frames, times, strict=True) if Fraction(str(start)) <= t < stop]
        assert len(wanted) > 0
        assert [frame.rgb.tobytes() for frame in read_frames(part)] == wanted
        info = probe(part)
        assert (info.n_frames, info.complete) == (len(wanted), True)
        data = part.read_bytes()
        cutter.cut(start, end, part)
        assert part.read_bytes() == data


def test_variable_rate_rotation_and_sound_are_kept(make_video: Maker, tmp_path: Path) -> None:
    stamps = [0, 3000, 9000, 12000, 30000, 33000, 60000, 61000, 90000]
    source = make_video(pts=stamps, audio=True, rotation=90)
    Cutter(source).cut(0.1, 0.7, tmp_path / "part.mp4")
    info, whole = probe(tmp_path / "part.mp4"), probe(source)
    assert (info.rotation, info.width, info.height, info.has_audio) == (90, whole.width, whole.height, True)
    pts = [Fraction(f.pts) * info.time_base * 90_000 for f in read_frames(tmp_path / "part.mp4")]
    assert pts == [stamp - 9000 for stamp in stamps[2:8]]


def test_what_cannot_be_cut_is_one_line(make_video: Maker, tmp_path: Path) -> None:
    part = tmp_path / "part.mp4"
    with pytest.raises(ItemError, match=r"no frame lies in the range 5 s to 6 s: the video lasts 0\.800 s") as caught:
        Cutter(make_video()).cut(5, 6, part)
    assert caught.value.code == "range_outside"
    with pytest.raises(ItemError, match="its vp8 stream does not go into MP4 or MOV") as caught:
        Cutter(make_video("v.webm", codec="libvpx", options={"b": "0"})).cut(0, 0.5, part)
    assert caught.value.code == "cannot_cut"
    assert not part.exists()
    (tmp_path / "no.mp4").write_text("hello, I am no video")
    with pytest.raises(ItemError):
        Cutter(tmp_path / "no.mp4")
