"""Encoding: exact time stamps, kept sizes and tags, equal bytes, and nothing half-written."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.errors import ItemError, UserError
from svfr.video.clip import decode_clip, encode_clip
from svfr.video.decode import read_frames
from svfr.video.encode import VideoWriter
from svfr.video.probe import Colour, probe

BT709 = Colour(primaries=1, transfer=1, matrix=1, range=1)


def _frames(count: int = 6, size: tuple[int, int] = (96, 64)) -> np.ndarray:
    photo = skimage.data.astronaut()
    width, height = size
    return np.stack([photo[:height, 150 + i : 150 + i + width] for i in range(count)])


def _write(path: Path, frames: np.ndarray, stamps: list[int], clock: int = 90_000, **options: object) -> VideoWriter:
    height, width = frames.shape[1:3]
    unit = Fraction(1, clock)
    with VideoWriter(path, width, height, time_base=unit, fps=Fraction(25), **options) as writer:  # type: ignore[arg-type]
        for frame, stamp in zip(frames, stamps, strict=True):
            writer.write(frame, stamp)
    return writer


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 20_000), min_size=1, max_size=8), st.sampled_from([".mp4", ".mov"]))
def test_every_time_stamp_is_kept(tmp_path_factory: pytest.TempPathFactory, gaps: list[int], suffix: str) -> None:
    path = tmp_path_factory.mktemp("pts") / f"a{suffix}"
    stamps = np.cumsum([0, *gaps]).tolist()
    _write(path, _frames(len(stamps), (32, 32)), stamps)
    unit = probe(path).time_base
    assert [frame.pts * unit for frame in read_frames(path)] == [Fraction(s, 90_000) for s in stamps]


@pytest.mark.parametrize(
    ("name", "options", "least"),
    [
        ("a.mp4", {"crf": 8}, 36),
        ("a.mp4", {"crf": 8, "colour": BT709, "pix_fmt": "yuv444p"}, 42),
        ("a.mp4", {"crf": 8, "codec": "libx265", "pix_fmt": "yuv420p10le", "colour": Colour(9, 16, 9, 1)}, 36),
        ("a.webm", {"crf": 8, "codec": "libvpx-vp9", "colour": BT709}, 36),
        ("a.mkv", {"codec": "ffv1", "pix_fmt": "yuv444p", "colour": BT709}, 50),
        ("a.mov", {"crf": 8, "colour": Colour(6, 6, 6, 1)}, 36),
    ],
)
def test_pixels_and_tags_come_back_and_bytes_repeat(
    tmp_path: Path, name: str, options: dict[str, object], least: float
) -> None:
    frames = _frames()
    stamps = [i * 3600 for i in range(6)]
    for folder in ("one", "two"):
        _write(tmp_path / folder / name, frames, stamps, **options)
    first, second = tmp_path / "one" / name, tmp_path / "two" / name
    assert first.read_bytes() == second.read_bytes()
    assert _psnr(np.stack([f.rgb for f in read_frames(first)]), frames) > least
    info = probe(first)
    assert info.colour == options.get("colour", Colour())
    assert info.fps == 25
    assert info.pix_fmt == options.get("pix_fmt", "yuv420p")


def test_odd_sizes_are_kept(tmp_path: Path) -> None:
    frames = _frames(3, (45, 33))
    writer = _write(tmp_path / "odd.mp4", frames, [0, 1, 2], 25, crf=4)
    info = probe(tmp_path / "odd.mp4")
    assert (info.width, info.height, info.pix_fmt, writer.pix_fmt) == (45, 33, "yuv444p", "yuv444p")
    assert _psnr(next(read_frames(tmp_path / "odd.mp4")).rgb, frames[0]) > 40


def test_sixteen_bit_frames(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).reshape(64, 64, 1).repeat(3, 2).astype(np.uint16)
    _write(tmp_path / "deep.mkv", ramp[None], [0], codec="ffv1", pix_fmt="yuv444p10le", colour=BT709)
    back = next(read_frames(tmp_path / "deep.mkv", bits=16)).rgb
    assert len(np.unique(back[..., 0])) > 600  # 256 would mean that eight bits were all that got through
    assert np.abs(back.astype(int) - ramp).max() < 256


def _stopped_half_way(path: Path) -> None:
    with VideoWriter(path, 32, 32, time_base=Fraction(1, 25), fps=Fraction(25)) as writer:
        writer.write(np.zeros((32, 32, 3), np.uint8), 0)
        raise InterruptedError


def test_nothing_remains_after_an_exception(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"the old file")
    with pytest.raises(InterruptedError):
        _stopped_half_way(path)
    assert path.read_bytes() == b"the old file"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_system_that_refuses_bytes_is_one_clear_error(tmp_path: Path) -> None:
    script = f"""
import resource, numpy as np
from fractions import Fraction
from pathlib import Path
from svfr.errors import UserError
from svfr.video.encode import VideoWriter
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
noise = np.random.default_rng(0)
try:
    path, rate = Path({str(tmp_path)!r}) / "a.mp4", Fraction(25)
    with VideoWriter(path, 256, 256, time_base=1 / rate, fps=rate) as writer:
        for i in range(40):
            writer.write(noise.integers(0, 255, (256, 256, 3), np.uint8), i)
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith("disk full while writing")
    assert "/a.mp4" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "options", "word"),
    [
        ("a.mp4", {"codec": "mpeg4"}, "libx264"),
        ("a.avi", {}, ".mkv"),
        ("a.webm", {"codec": "libx264"}, "a.webm"),
        ("a.mp4", {"pix_fmt": "yuv999"}, "yuv999"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, name: str, options: dict[str, object], word: str) -> None:
    with pytest.raises(UserError, match=word):
        _write(tmp_path / name, _frames(2), [0, 1], 25, **options)
    assert list(tmp_path.iterdir()) == []


def test_frames_must_fit_and_follow(tmp_path: Path) -> None:
    for frames, stamps in ((_frames(2), [1, 1]), (_frames(1)[:0], [])):
        with pytest.raises(UserError):
            _write(tmp_path / "a.mp4", frames, stamps)
    with (
        pytest.raises(UserError, match="shape"),
        VideoWriter(tmp_path / "a.mp4", 32, 32, time_base=Fraction(1, 25), fps=Fraction(25)) as writer,
    ):
        writer.write(np.zeros((16, 32, 3), np.uint8), 0)
    assert list(tmp_path.iterdir()) == []


def test_clips_are_nearly_lossless_and_repeat() -> None:
    frames = _frames(8, (128, 128))
    data = encode_clip(frames, Fraction(30000, 1001))
    assert data == encode_clip(frames, Fraction(30000, 1001))
    back = decode_clip(data)
    assert back.shape == frames.shape
    assert _psnr(back, frames) > 45
    assert len(encode_clip(frames, Fraction(25), crf=20)) < len(data)


def test_a_damaged_clip_is_refused() -> None:
    data = encode_clip(_frames(4), Fraction(25))
    for bad in (b"", b"nothing", data[: len(data) // 2]):
        with pytest.raises(ItemError):
            decode_clip(bad)
