"""Writes the sample set: every kind of source that the pipeline must cope with, in a dozen short videos."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import atomic_write, digest_of, write_text
from svfr.degrade import apply_recipe, sample_recipe
from svfr.progress import Progress
from svfr.sample import portraits
from svfr.sample.motion import Shot, frames
from svfr.sample.portraits import Image

VERSION = "4"
_DATE = 1_767_225_600  # 2026-01-01, the files' modification time: equal tables wherever the set is made
_CLOCK = 90_000  # ticks a second, of every file's time stamps
_X264 = {"crf": "14", "preset": "medium", "x264-params": "cpu-independent=1"}  # the last for equal bytes everywhere
_WIDE, _SQUARE = (384, 288), (288, 288)


def write_samples(folder: Path) -> list[Path]:
    """Writes the sample videos and `sources.csv` into `folder`; files that are already there stay as they are.

    Returns the videos' paths. Raises `UserError` if the folder cannot be written.
    """
    scenes = _scenes()
    paths = _write(folder, scenes)
    rows = io.StringIO()
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(["uri", "licence", "source_dataset"])
    table.writerows([name, _LICENCE[name.split("_")[0]], "sample"] for name in scenes)
    write_text(folder / "sources.csv", rows.getvalue())
    return paths


def write_old(folder: Path) -> list[Path]:
    """Writes a few small, noisy videos to restore, of the person whom the sample set holds out; see `write_samples`."""
    return _write(folder, _old_scenes())


def _write(folder: Path, scenes: dict[str, Callable[[], bytes]]) -> list[Path]:
    marker = folder / ".version"
    current = marker.exists() and marker.read_text() == _digest(scenes)
    with Progress("sample", len(scenes), "videos") as progress:
        for name, make in scenes.items():
            path = folder / name
            if not (current and path.exists()):
                with atomic_write(path) as temporary:
                    temporary.write_bytes(make())
            os.utime(path, (_DATE, _DATE))
            progress.advance(note=name)
    write_text(marker, _digest(scenes))
    return [folder / name for name in scenes]


_LICENCE = {
    "collins": "public domain (NASA)",
    "hopper": "public domain (US Navy)",
    "two": "public domain (NASA, US Navy)",
    "coffee": "CC0",
    "truncated": "public domain (NASA)",
}


def _digest(scenes: Iterable[str]) -> str:
    return digest_of([VERSION, *scenes])


def _scenes() -> dict[str, Callable[[], bytes]]:
    def collins() -> portraits.Portrait:
        return portraits.collins()

    def collins_flipped() -> portraits.Portrait:
        return portraits.mirrored(portraits.collins())

    def hopper() -> portraits.Portrait:
        return portraits.hopper()

    def film(
        who: Callable[[], portraits.Portrait], shot: Shot, *, fps: int = 24, count: int = 48, audio: bool = False
    ) -> Callable[[], bytes]:
        times = np.arange(count) / fps
        return lambda: _encode(frames(who(), shot, times), times, fps, audio=audio)

    close = Shot(_SQUARE, zoom=2.0)
    warm = Shot(_WIDE, zoom=2.6, gain=(1.1, 1.0, 0.85), tint=0.3, shade=0.3, phase=1.0)
    cool = Shot(_SQUARE, zoom=2.2, gain=(0.85, 0.95, 1.1), tint=0.4, shade=-0.4, phase=2.0, turn=1.5)
    dim = Shot(_SQUARE, zoom=1.9, gain=(0.7, 0.7, 0.75), tint=0.35, phase=3.0, drift=0.25, roll=5.0)
    stage = Shot(_SQUARE, zoom=2.1, tint=0.55, phase=0.7, shade=0.5)
    sunset = Shot(_SQUARE, zoom=1.8, gain=(0.95, 0.85, 0.8), tint=0.5, phase=4.0, roll=4.0)
    return {
        "collins_close.mp4": film(collins, close),
        "collins_warm_audio.mp4": film(collins, warm, audio=True),
        "collins_cool.mp4": film(collins_flipped, cool),
        "collins_dim.mp4": film(collins_flipped, dim, fps=30, count=60),
        "collins_stage.mp4": film(collins, stage),
        "collins_sunset.mp4": film(collins_flipped, sunset),
        "collins_vfr.mp4": lambda: _variable_rate(collins(), close),
        "collins_text.mp4": lambda: _captioned(collins(), close),
        "hopper_close.mp4": film(hopper, close, fps=25, count=50),
        "hopper_warm.mp4": film(hopper, replace(warm, tint=0.0)),
        "two_faces.mp4": lambda: _side_by_side(collins(), hopper()),
        "coffee_no_face.mp4": _still_life,
        "truncated_file.mp4": lambda: film(collins, cool)()[:20_000],
    }


def _old_scenes() -> dict[str, Callable[[], bytes]]:
    def tape(picture: portraits.Portrait, shot: Shot, seed: int, *, audio: bool = False) -> bytes:
        times = np.arange(40) / 25
        clean_THWC = np.stack(list(frames(picture, shot, times)))
        return _encode(apply_recipe(clean_THWC, sample_recipe("vhs", seed, ("bfr",))), times, 25, audio=audio)

    small = (160, 160)
    return {
        "hopper_tape_audio.mp4": lambda: tape(portraits.hopper(), Shot(small, zoom=1.9), 1, audio=True),
        "hopper_tape_warm.mp4": lambda: tape(
            portraits.hopper(), Shot((208, 160), zoom=2.6, gain=(1.05, 1.0, 0.9), phase=1.5), 2
        ),
        "coffee_no_face.mp4": _still_life,
    }


def _variable_rate(portrait: portraits.Portrait, shot: Shot) -> bytes:
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.choice([1 / 30, 1 / 20, 1 / 15], size=48))
    return _encode(frames(portrait, shot, times), times, 20)


def _captioned(portrait: portraits.Portrait, shot: Shot) -> bytes:
    times = np.arange(32) / 24
    return _encode((_caption(frame) for frame in frames(portrait, shot, times)), times, 24)


def _caption(frame: Image) -> Image:
    frame = np.ascontiguousarray(frame)
    for line, text in enumerate(("BREAKING NEWS", "SHUTTLE LANDS")):
        place = (8, frame.shape[0] // 2 + 30 + 40 * line)
        for colour, thickness in (((0, 0, 0), 7), ((255, 255, 255), 3)):
            cv2.putText(frame, text, place, cv2.FONT_HERSHEY_SIMPLEX, 1.05, colour, thickness, cv2.LINE_AA)
    return frame


def _side_by_side(left: portraits.Portrait, right: portraits.Portrait) -> bytes:
    times = np.arange(40) / 25
    shots = [Shot(_SQUARE, zoom=2.2, phase=phase) for phase in (0.5, 2.5)]
    pairs = zip(frames(left, shots[0], times), frames(right, shots[1], times), strict=True)
    return _encode((np.concatenate(pair, axis=1) for pair in pairs), times, 25)


def _still_life() -> bytes:
    picture, times = portraits.coffee(), np.arange(32) / 24
    width, height = _WIDE
    views = (np.ascontiguousarray(picture[50 : 50 + height, 2 * i : 2 * i + width]) for i in range(32))
    return _encode(views, times, 24)


def _encode(
    pictures: Iterable[Image], times: Sequence[float] | NDArray[np.float64], fps: int, audio: bool = False
) -> bytes:
    """H.264 (crf 14) and, if asked for, AAC, in an MP4 without time stamps of its making."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4", options={"fflags": "+bitexact"}) as container:
        stream: av.VideoStream | None = None
        sound = container.add_stream("aac", rate=44_100, layout="mono") if audio else None
        for picture, time in zip(pictures, times, strict=True):
            if stream is None:
                stream = container.add_stream("libx264", rate=fps, options=_X264)
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt, stream.thread_count = "yuv420p", 1
                stream.codec_context.flags |= 1 << 23  # AV_CODEC_FLAG_BITEXACT
                stream.codec_context.time_base = Fraction(1, _CLOCK)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = round(time * _CLOCK), Fraction(1, _CLOCK)
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode())
        if sound is not None:
            _add_tone(container, sound, float(times[-1]) + 1 / fps)
    return buffer.getvalue()


def _add_tone(container: av.container.OutputContainer, stream: av.AudioStream, seconds: float) -> None:
    """A tone that rises from 220 to 440 Hz."""
    t = np.arange(int(44_100 * seconds)) / 44_100
    wave = (0.2 * np.sin(2 * np.pi * (220 * t + 110 * t**2 / seconds))).astype(np.float32)
    for start in range(0, len(wave), 1024):
        frame = av.AudioFrame.from_ndarray(wave[None, start : start + 1024], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 44_100, start, Fraction(1, 44_100)
        container.mux(stream.encode(frame))
    container.mux(stream.encode())
