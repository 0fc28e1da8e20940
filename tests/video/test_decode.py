"""Decoding: the right frames, upright, the same every time; damage is told apart from the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from svfr.errors import ItemError
from svfr.video.decode import Frame, read_frames
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
