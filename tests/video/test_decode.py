"""Decoding: the right frames, upright, the same every time; damage is told apart from the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest

from svfr.errors import ItemError
from svfr.video.decode import Frame, read_frames, read_shown
from svfr.video.probe import Limits

Maker = Callable[..., Path]


def _all(path: Path, **options: object) -> list[Frame]:
    return list(read_frames(path, **options))  # type: ignore[arg-type]


def test_indices_and_time_stamps(make_video: Maker) -> None:
    stamps = [0, 3000, 9000, 12_000, 30_000, 30_001]
    frames = _all(make_video(pts=stamps))
    assert [f.index for f in frames] == list(range(6))
    assert [f.pts for f in frames] == stamps
    assert frames[0].rgb.shape == (48, 64, 3)
    assert frames[0].rgb.dtype == np.uint8


@pytest.mark.parametrize(
    ("start", "stop", "stride"),
    [(0, None, 1), (1, 2, 1), (7, 30, 3), (8, 9, 1), (9, 40, 1), (33, None, 5), (40, 50, 1)],
)
def test_a_part_has_the_pixels_of_the_whole(make_video: Maker, start: int, stop: int | None, stride: int) -> None:
    path = make_video(count=40)
    whole = _all(path)
    part = _all(path, start=start, stop=stop, stride=stride)
    expected = whole[start:stop:stride]
    assert [f.index for f in part] == [f.index for f in expected]
    for got, want in zip(part, expected, strict=True):
        assert got.pts == want.pts
        assert np.array_equal(got.rgb, want.rgb)


def _take_all(path: Path, into: list[Frame]) -> None:
    for frame in read_frames(path):
        into.append(frame)  # so that what came before an error remains


@pytest.mark.parametrize("rotation", [90, 180, 270])
def test_frames_come_upright(make_video: Maker, rotation: int) -> None:
    plain = _all(make_video("plain.mp4", count=3))
    turned = _all(make_video("turned.mp4", count=3, rotation=rotation))
    for a, b in zip(plain, turned, strict=True):
        assert np.array_equal(np.rot90(a.rgb, -rotation // 90), b.rgb)
        assert b.rgb.flags.c_contiguous


def test_sixteen_bits_agree_with_eight(make_video: Maker) -> None:
    path = make_video(count=2)
    for a, b in zip(_all(path), _all(path, bits=16), strict=True):
        assert b.rgb.dtype == np.uint16
        assert np.abs(b.rgb / 257 - a.rgb).max() < 1.5


def test_large_frames_are_shrunk_on_request_and_small_ones_are_not(make_video: Maker) -> None:
    path = make_video()
    (whole,) = read_frames(path, stop=1)
    side = max(whole.rgb.shape)
    (shown,) = read_shown(path, stop=1)
    small = shown.rgb(side // 2)
    assert max(small.shape) == side // 2
    shrunk = whole.rgb.reshape(whole.rgb.shape[0] // 2, 2, whole.rgb.shape[1] // 2, 2, 3).mean((1, 3))
    assert np.abs(small - shrunk).mean() < 4
    assert np.array_equal(shown.rgb(side), whole.rgb)
    assert np.array_equal(shown.rgb(side // 2), small)


def test_an_early_end_comes_after_the_good_frames(make_video: Maker, tmp_path: Path) -> None:
    source = make_video("whole.mp4", count=40, container_options={"movflags": "faststart"})
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(source.read_bytes()[: source.stat().st_size * 2 // 3])
    good = _all(source)
    seen: list[Frame] = []
    with pytest.raises(ItemError) as caught:
        _take_all(cut, seen)
    assert caught.value.code in ("truncated", "corrupt")
    assert len(seen) >= 8
    assert len(_all(cut, strict=False)) == len(seen) < 40
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(seen[:-1], good, strict=False))


def test_damaged_packets_are_reported(make_video: Maker, tmp_path: Path) -> None:
    data = bytearray(make_video("whole.mp4", count=40, container_options={"movflags": "faststart"}).read_bytes())
    start, count = len(data) // 2, 2500  # several packets: noise within one may pass for a picture, headers cannot
    data[start : start + count] = np.random.default_rng(0).bytes(count)
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(data)
    with pytest.raises(ItemError) as caught:
        _all(bad)
    assert caught.value.code == "corrupt"
    assert len(_all(bad, strict=False)) < 40


def test_limits_hold_before_decoding(make_video: Maker) -> None:
    with pytest.raises(ItemError, match="64 x 48"):
        _all(make_video(), limits=Limits(max_pixels=1000))


def test_impossible_ranges_are_refused(make_video: Maker) -> None:
    path = make_video()
    for options in ({"start": -1}, {"stride": 0}):
        with pytest.raises(ValueError, match=r"start|stride"):
            _all(path, **options)


_X264 = {"crf": "18", "g": "8", "bf": "2"}


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.ts", "libx264", _X264),
        ("a.h264", "libx264", _X264),
        ("a.mpg", "mpeg2video", {"b": "800000", "g": "8", "bf": "2"}),
        ("open.mp4", "libx264", {**_X264, "x264-params": "open-gop=1"}),
        ("open.ts", "libx264", {**_X264, "x264-params": "open-gop=1"}),
        ("refresh.mp4", "libx264", {**_X264, "x264-params": "intra-refresh=1"}),
        ("hidden.webm", "libvpx-vp9", {"b": "200000", "auto-alt-ref": "1", "lag-in-frames": "16"}),
    ],
)
def test_no_frame_is_lost_wherever_reading_starts(
    make_video: Maker, name: str, codec: str, options: dict[str, str]
) -> None:
    path = make_video(name, count=40, codec=codec, options=options)
    whole = _all(path)
    assert [frame.index for frame in whole] == list(range(40))
    for start in (1, 9, 22, 39):
        part = _all(path, start=start)
        assert [(f.index, f.pts) for f in part] == [(f.index, f.pts) for f in whole[start:]]
        assert np.array_equal(part[0].rgb, whole[start].rgb)


def _code(path: Path) -> str:
    with pytest.raises(ItemError) as caught:
        _all(path)
    assert "\n" not in str(caught.value)
    return caught.value.code


def test_damage_that_the_decoder_only_logs_is_refused(make_video: Maker) -> None:
    path = make_video("sums.mkv", count=12, codec="ffv1", options={"level": "3", "slicecrc": "1", "g": "1"})
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1  # one bit of one picture, in which every slice has a checksum
    path.write_bytes(data)
    assert _code(path) == "corrupt"
    assert 0 < len(_all(path, strict=False)) < 12
    assert av.logging.get_level() is None  # ffmpeg's log is off again


def test_a_packet_without_its_frame_is_refused(make_video: Maker) -> None:
    path = make_video("gone.mp4", count=12, options={"crf": "18", "g": "1", "x264-params": "sei=0:aud=0"})
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.size]
    place, size = places[6]
    data[place : place + size] = (size - 4).to_bytes(4, "big") + b"\x0c" + b"\xff" * (size - 5)  # filler data, legal
    path.write_bytes(data)
    assert _code(path) == "corrupt"
