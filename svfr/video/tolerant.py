"""Decodes a damaged file for the eye: what a player would show, one picture for every time stamp."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from svfr.errors import ItemError
from svfr.video.container import noting, open_video
from svfr.video.decode import Converter, Shown
from svfr.video.index import PacketIndex
from svfr.video.probe import Limits


def read_tolerant(
    path: Path,
    index: PacketIndex,
    *,
    start: int = 0,
    stop: int | None = None,
    limits: Limits = Limits(),  # noqa: B008  (frozen)
) -> Iterator[Shown]:
    """Frames `start` to `stop` of a file that `read_shown` refuses; as many as `index` has time stamps.

    FFmpeg's concealment is taken as it comes, a frame that cannot be decoded repeats the one before it (the first ones:
    the one after), and one of another size counts as such. These have `damaged` set. Always decoded from the file's
    beginning, so that the pixels do not depend on `start`. Raises `ItemError` `zero_frames` if nothing can be decoded.
    """
    end = len(index.pts) if stop is None else min(stop, len(index.pts))
    convert = Converter()
    place, shown = 0, None
    for frame, damaged in _frames(path, limits):
        number = place if frame.pts is None else max(place, bisect_left(index.pts, frame.pts))
        if number >= len(index.pts) or (shown and (frame.width, frame.height) != (shown.width, shown.height)):
            continue
        for missed in range(max(place, start), min(number, end)):
            yield Shown(missed, index.pts[missed], partial(convert, shown or frame), damaged=True)
        if start <= number < end:
            yield Shown(number, index.pts[number], partial(convert, frame), damaged)
        place, shown = number + 1, frame
        if place >= end:
            return
    if shown is None:
        raise ItemError("zero_frames", f"{path.name}: not one frame can be decoded; fetch the file again")
    for missed in range(max(place, start), end):
        yield Shown(missed, index.pts[missed], partial(convert, shown), damaged=True)


def _frames(path: Path, limits: Limits) -> Iterator[tuple[VideoFrame, bool]]:
    """What the decoder gives, and whether it complained; what it fails at is left out."""
    with open_video(path) as (container, stream):
        context = stream.codec_context
        context.thread_count = 1
        context.options = {"max_pixels": str(min(limits.max_pixels, 1 << 31))}
        context.flags |= Flags.output_corrupt
        for frames, complained in _decoded(container, stream):
            for frame in frames:
                yield frame, complained or bool(frame.is_corrupt)


def _decoded(container: InputContainer, stream: VideoStream) -> Iterator[tuple[list[VideoFrame], bool]]:
    packets = container.demux(stream)
    ended = False
    while not ended:
        errors: list[str] = []
        frames: list[VideoFrame] = []
        with noting(errors, stream.codec_context.name):
            try:
                packet = next(packets, None)
            except FFmpegError:  # the container is cut here: what the decoder still holds comes out
                packet = None
            ended = packet is None
            try:
                frames = list(stream.codec_context.decode(None) if packet is None else packet.decode())  # type: ignore[arg-type]
            except (FFmpegError, EOFError):
                errors.append("not decoded")
        yield frames, bool(errors)
