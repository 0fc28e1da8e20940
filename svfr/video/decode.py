"""Decodes frames of a video file: upright RGB with exact time stamps, the same pixels every time."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict, Unpack

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from svfr.errors import ItemError
from svfr.video.container import noting, open_video, open_watched
from svfr.video.index import PacketIndex, read_index
from svfr.video.probe import Limits, check_size, rotation_of
from svfr.video.size import fitted

# Chroma is interpolated at full resolution and rounded exactly: nothing depends on the CPU's vector units.
SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT

_CHECKS = "crccheck+bitstream+buffer"  # of ffmpeg's decoders: more of what is damaged reaches their log


@dataclass(frozen=True)
class Frame:
    """One shown frame: its 0-based `index` in the video, `pts` in the stream's time base, `rgb` (H,W,3).

    `rgb` is uint8 in 0..255, or uint16 in 0..65535 where 16 bits were asked for; rotation is applied. `damaged`: see
    svfr.video.tolerant.
    """

    index: int
    pts: int
    rgb: NDArray[np.uint8]
    damaged: bool = False


@dataclass(frozen=True)
class Shown:
    """One shown frame, decoded but not converted: `index`, `pts` and `damaged` as in `Frame`.

    `convert(max_side, bits)` gives its pixels.
    """

    index: int
    pts: int
    convert: Callable[[int | None, int], NDArray[np.uint8]]
    damaged: bool = False

    def rgb(self, max_side: int | None = None, bits: int = 8) -> NDArray[np.uint8]:
        """(H,W,3) as in `Frame`; a frame larger than `max_side` is shrunk to it, which costs less than all of it."""
        return self.convert(max_side, bits)

    def frame(self, bits: int = 8) -> Frame:
        """The same frame with its pixels."""
        return Frame(self.index, self.pts, self.rgb(bits=bits), self.damaged)


class Converter:
    """YCbCr to RGB by a frame's own matrix and range tags (BT.601, limited, where it has none), turned upright."""

    def __init__(self) -> None:
        self._scalers: dict[int | None, VideoReformatter] = {}  # for each size asked for, kept over the video

    def __call__(self, frame: VideoFrame, max_side: int | None, bits: int) -> NDArray[np.uint8]:
        """(H,W,3) of `bits`, shrunk if a side is longer than `max_side`."""
        scaler = self._scalers.setdefault(max_side, VideoReformatter())
        width, height = fitted(frame.width, frame.height, max_side)
        form = "rgb24" if bits == 8 else "rgb48le"
        rgb = scaler.reformat(frame, width, height, format=form, interpolation=SCALING, threads=1).to_ndarray()
        return np.ascontiguousarray(np.rot90(rgb, -rotation_of(frame) // 90))


class Selection(TypedDict, total=False):
    """The options of `read_shown`."""

    start: int
    stop: int | None
    stride: int
    limits: Limits
    strict: bool
    index: PacketIndex | None


def read_frames(path: Path, *, bits: int = 8, **which: Unpack[Selection]) -> Iterator[Frame]:
    """Yields the frames that `read_shown` does for the same options, converted: uint8, or uint16 for 16 `bits`."""
    for shown in read_shown(path, **which):
        yield shown.frame(bits)


def read_shown(
    path: Path,
    *,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    strict: bool = True,
    index: PacketIndex | None = None,
) -> Iterator[Shown]:
    """Yields frames `start, start + stride, ...` below `stop` (None: to the end) of `path`, one at a time.

    A start behind the first key frame seeks to the key frame before it; the pixels are those of a decode from the
    beginning. Good frames are yielded until damage raises `ItemError`: `truncated` (the file ends early) or `corrupt`
    (damaged inside: a broken frame, an error in the decoder's log, fewer frames than packets); with `strict=False`
    the frames just end there. `index` is that of the file, for callers who read it more than once. Other codes as in
    `probe`.
    """
    if start < 0 or stride < 1:
        raise ValueError(f"start {start} must be >= 0 and stride {stride} >= 1")
    last = 1 << 62 if stop is None else stop
    if index is None:
        with open_watched(path) as (container, stream, errors):
            check_size(path, stream, limits)
            index = read_index(container, stream, errors)
    convert = Converter()
    count = 0
    try:
        for number, frame in _frames(path, index, _key_before(index, start), limits):
            if number >= last:
                return
            count = number + 1
            if number >= start and (number - start) % stride == 0:
                pts = frame.pts if frame.pts is not None else index.pts[number] if number < len(index.pts) else number
                yield Shown(number, pts, partial(convert, frame))
        if strict:
            _check_end(path, index, count)
    except (FFmpegError, _Damage) as error:
        if strict:
            reason = error.strerror if isinstance(error, FFmpegError) else error
            raise ItemError(
                "corrupt", f"{path.name}: cannot be decoded from frame {count} on ({reason}); fetch the file again"
            ) from error


class _Damage(Exception):
    """The decoder went on, but what it gives is not what was encoded."""


def _key_before(index: PacketIndex, start: int) -> int:
    """The number of the last key frame at or before frame `start`; 0 for the first, to which no seek is needed."""
    if not index.keys or start >= len(index.pts):
        return 0
    place = bisect_right(index.keys, index.pts[start]) - 1
    return bisect_left(index.pts, index.keys[place]) if place > 0 else 0


def _frames(path: Path, index: PacketIndex, first: int, limits: Limits) -> Iterator[tuple[int, VideoFrame]]:
    """Numbered frames from key frame `first` on. Trouble after a seek may come of it: then from the beginning."""
    place = first
    try:
        with open_video(path) as (container, stream):
            stream.codec_context.thread_count = 1
            stream.codec_context.options = {"max_pixels": str(min(limits.max_pixels, 1 << 31)), "err_detect": _CHECKS}
            if first:
                container.seek(index.pts[first], stream=stream, backward=True)
            for number, frame in enumerate(_decode(container, stream, index, first), first):
                if number == first and first and frame.pts != index.pts[first]:
                    raise _Damage("decoding cannot start there")
                yield number, frame
                place = number + 1
        if place > first or not first:
            return
    except (FFmpegError, _Damage):
        if not first:
            raise
    yield from ((number, frame) for number, frame in _frames(path, index, 0, limits) if number >= place)


def _decode(container: InputContainer, stream: VideoStream, index: PacketIndex, first: int) -> Iterator[VideoFrame]:
    """Decoded frames from number `first` on: what a key frame's leading pictures and edit lists hide is dropped.

    Raises `_Damage` at a broken frame and where the decoder logs an error. Pictures that need one from before the
    first key frame are excused: a recording may begin anywhere.
    """
    begin = index.pts[first] if index.pts else 0
    trusted = None if index.keys else begin
    for packet in container.demux(stream):
        if trusted is None and packet.is_keyframe:
            trusted = packet.pts if packet.pts is not None else begin
        errors: list[str] = []
        with noting(errors, stream.codec_context.name):
            frames = packet.decode()
        if errors and trusted is not None and (packet.pts is None or packet.pts >= trusted):
            raise _Damage(errors[0])
        for frame in frames:
            if frame.pts is None or frame.pts >= begin:
                if frame.is_corrupt:
                    raise _Damage("a frame is damaged")
                yield frame


def _check_end(path: Path, index: PacketIndex, count: int) -> None:
    """Raises `ItemError` if the container was cut or damaged, or packets gave fewer frames than they hold."""
    if not index.complete:
        raise ItemError(
            "truncated", f"{path.name}: ends after {count} frames, before its own header says; fetch it again"
        )
    if index.damage:
        raise ItemError("corrupt", f"{path.name}: damaged inside ({index.damage}); fetch the file again")
    if count < index.least:
        message = f"only {count} of {index.least} frames can be decoded"
        raise ItemError("corrupt", f"{path.name}: {message}; fetch the file again")
