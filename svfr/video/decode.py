"""Decodes frames of a video file: upright RGB with exact time stamps, the same pixels every time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from svfr.errors import ItemError
from svfr.video.container import open_video
from svfr.video.index import PacketIndex, frame_step, read_index
from svfr.video.probe import Limits, check_size, rotation_of

# Chroma is interpolated at full resolution and rounded exactly: nothing depends on the CPU's vector units.
SCALING = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND | Interpolation.BITEXACT


@dataclass(frozen=True)
class Frame:
    """One shown frame: its 0-based `index` in the video, `pts` in the stream's time base, `rgb` (H,W,3).

    `rgb` is uint8 in 0..255, or uint16 in 0..65535 where 16 bits were asked for; rotation is applied.
    """

    index: int
    pts: int
    rgb: NDArray[np.uint8]


def read_frames(
    path: Path,
    *,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
    strict: bool = True,
    bits: int = 8,
) -> Iterator[Frame]:
    """Yields frames `start, start + stride, ...` below `stop` (None: to the end) of `path`, one at a time.

    A start behind the first key frame seeks to the key frame before it; the pixels are those of a decode from the
    beginning. Every good frame is yielded before a damaged one raises `ItemError` `truncated` (the file ends early)
    or `corrupt` (damaged inside); with `strict=False` the frames just end there. Other codes as in `probe`.
    """
    if start < 0 or stride < 1:
        raise ValueError(f"start {start} must be >= 0 and stride {stride} >= 1")
    last = 1 << 62 if stop is None else stop
    with open_video(path) as (container, stream):
        check_size(path, stream, limits)
        index = read_index(container, stream)
        stream.codec_context.thread_count = 1
        stream.codec_context.options = {"max_pixels": str(min(limits.max_pixels, 1 << 31))}
        scaler = VideoReformatter()
        count = 0
        try:
            first = _seek(container, stream, index, start)
            for number, frame in enumerate(_decode(container, stream, index, first), first):
                if number >= last:
                    return
                if frame.is_corrupt:
                    raise ItemError("corrupt", f"{path.name}: frame {number} is damaged; fetch the file again")
                count = number + 1
                if number >= start and (number - start) % stride == 0:
                    pts = frame.pts if frame.pts is not None else number * frame_step(stream)
                    yield Frame(number, pts, _to_rgb(frame, scaler, bits))
            if not index.complete:
                raise ItemError(
                    "truncated", f"{path.name}: ends after {count} frames, before its own header says; fetch it again"
                )
        except FFmpegError as error:
            if strict:
                raise ItemError(
                    "corrupt", f"{path.name}: cannot be decoded after frame {count - 1} ({error.strerror})"
                ) from error
        except ItemError:
            if strict:
                raise


def _seek(container: InputContainer, stream: VideoStream, index: PacketIndex, start: int) -> int:
    """Goes to the last key frame at or before frame `start` and returns that frame's number."""
    key: int | None = None
    if index.keys and start < len(index.pts):
        place = bisect_right(index.keys, index.pts[start]) - 1
        key = index.keys[place] if place > 0 else None  # the first key frame: simply from the beginning
    container.seek(key if key is not None else index.pts[0] if index.pts else 0, stream=stream, backward=True)
    return index.pts.index(key) if key is not None else 0


def _decode(container: InputContainer, stream: VideoStream, index: PacketIndex, first: int) -> Iterator[VideoFrame]:
    """Decoded frames from number `first` on: what a key frame's leading pictures and edit lists hide is dropped."""
    begin = index.pts[first] if index.pts else 0
    for packet in container.demux(stream):
        for frame in packet.decode():
            if frame.pts is None or frame.pts >= begin:
                yield frame


def _to_rgb(frame: VideoFrame, scaler: VideoReformatter, bits: int) -> NDArray[np.uint8]:
    """YCbCr to RGB by the frame's own matrix and range tags (BT.601, limited, where it has none), turned upright."""
    form = "rgb24" if bits == 8 else "rgb48le"
    rgb = scaler.reformat(frame, format=form, interpolation=SCALING, threads=1).to_ndarray()
    return np.ascontiguousarray(np.rot90(rgb, -rotation_of(frame) // 90))
