"""What a video file is: size as shown, exact frame count, rate, rotation, colour tags; refused if it is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from svfr.errors import ItemError
from svfr.video.container import check_file, open_video, open_watched
from svfr.video.index import PacketIndex, read_index


@dataclass(frozen=True)
class Limits:
    """What is refused as `too_large`: coded pixels of a frame, seconds, bytes, frames."""

    max_pixels: int = 7680 * 4320
    max_duration: float = 6 * 3600.0
    max_bytes: int = 8 << 30
    max_frames: int = 6 * 3600 * 60


@dataclass(frozen=True)
class Colour:
    """Colour tags as the integers of ITU-T H.273 (2 = unspecified; range: 0 unspecified, 1 limited, 2 full)."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    range: int = 0


@dataclass(frozen=True)
class VideoInfo:
    """A video stream. `width` and `height` are as shown: `rotation` (degrees clockwise: 0, 90, 180, 270) applied.

    `n_frames` is counted from the packets, not believed from a header; `duration` is in seconds, `time_base` in
    seconds a tick. `vfr` says that frame distances differ; `complete` is False for a file that ends before what its
    header announces.
    """

    width: int
    height: int
    rotation: int
    fps: Fraction
    n_frames: int
    duration: float
    codec: str
    pix_fmt: str
    time_base: Fraction
    has_audio: bool
    vfr: bool
    colour: Colour = Colour()
    sample_aspect: Fraction = Fraction(1)
    complete: bool = True


def probe(path: Path, limits: Limits = Limits()) -> VideoInfo:
    """Reads every packet and decodes the first frame of `path`.

    Raises `ItemError`: `missing`, `empty_file`, `unreadable` (damaged or unknown), `not_a_video` (no video stream, or
    a playlist, still or other refused format), `zero_frames`, `corrupt` (the container reports damage), `too_large`
    (beyond `limits`). A file that only ends early is described, with `complete` False.
    """
    return examine(path, limits)[0]


def examine(path: Path, limits: Limits = Limits(), *, strict: bool = True) -> tuple[VideoInfo, PacketIndex]:
    """`probe` with the index of packets that it read.

    With `strict=False` damage is described instead of refused, as long as one frame can be decoded; time stamps that
    occur twice count once.
    """
    check_file(path)
    if path.stat().st_size > limits.max_bytes:
        raise _too_large(path, f"{path.stat().st_size} bytes", f"{limits.max_bytes}")
    with open_watched(path) as (container, stream, errors):
        check_size(path, stream, limits)
        index = read_index(container, stream, errors)
        if not strict:
            index = replace(index, pts=tuple(sorted(set(index.pts))))
        if not index.pts:
            raise ItemError("zero_frames", f"{path.name}: the video stream holds no frames")
        if len(index.pts) > limits.max_frames:
            raise _too_large(path, f"{len(index.pts)} frames", f"{limits.max_frames}")
        if strict and index.damage and index.complete:
            raise ItemError("corrupt", f"{path.name}: damaged inside ({index.damage}); fetch the file again")
        info = _describe(container, stream, index, _first_frame(path, strict))
    if info.duration > limits.max_duration:
        raise _too_large(path, f"{info.duration:.0f} s", f"{limits.max_duration:g} s")
    return info, index


def check_size(path: Path, stream: VideoStream, limits: Limits) -> None:
    """Raises `ItemError` (`too_large`, `unreadable`) on frames beyond `limits` or of no size; nothing is decoded."""
    pixels = stream.codec_context.width * stream.codec_context.height
    if pixels > limits.max_pixels:
        raise _too_large(path, f"{stream.codec_context.width} x {stream.codec_context.height} pixels", "max_pixels")
    if pixels <= 0:
        raise ItemError("unreadable", f"{path.name}: the video stream states no frame size; the file is damaged")


def _describe(container: InputContainer, stream: VideoStream, index: PacketIndex, first: VideoFrame) -> VideoInfo:
    rotation = rotation_of(first)
    width, height = first.width, first.height
    time_base = Fraction(stream.time_base or Fraction(1, 90_000))
    fps = _rate(stream, index, time_base)
    context = stream.codec_context
    return VideoInfo(
        width=height if rotation in (90, 270) else width,
        height=width if rotation in (90, 270) else height,
        rotation=rotation,
        fps=fps,
        n_frames=len(index.pts),
        duration=float((index.pts[-1] - index.pts[0]) * time_base + 1 / fps),
        codec=context.name,
        pix_fmt=context.pix_fmt or first.format.name,
        time_base=time_base,
        has_audio=bool(container.streams.audio),
        vfr=index.is_variable_rate(time_base),
        colour=Colour(context.color_primaries, context.color_trc, context.colorspace, context.color_range),
        sample_aspect=Fraction(stream.sample_aspect_ratio or 1),
        complete=index.complete,
    )


def _rate(stream: VideoStream, index: PacketIndex, time_base: Fraction) -> Fraction:
    """The nominal rate, or the mean one where the rate varies or the header is off by more than 5 %."""
    nominal = Fraction(stream.average_rate or stream.guessed_rate or 25)
    span = (index.pts[-1] - index.pts[0]) * time_base
    mean = Fraction(len(index.pts) - 1) / span if span > 0 else nominal
    return mean if index.is_variable_rate(time_base) or abs(mean / nominal - 1) > 0.05 else nominal


def _first_frame(path: Path, strict: bool) -> VideoFrame:
    with open_video(path) as (container, stream):
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames = packet.decode() if packet is not None else []
            except FFmpegError as error:
                if strict:
                    message = f"{path.name}: its first frame cannot be decoded; the file is damaged"
                    raise ItemError("unreadable", message) from error
                continue
            if frames:
                return frames[0]
            if packet is None:
                raise ItemError("zero_frames", f"{path.name}: not one frame can be decoded")


def rotation_of(frame: VideoFrame) -> int:
    """Degrees clockwise by which a decoded frame must be turned to be shown: 0, 90, 180 or 270."""
    return round(-frame.rotation / 90) * 90 % 360


def _too_large(path: Path, what: str, limit: str) -> ItemError:
    return ItemError("too_large", f"{path.name}: {what} exceed the limit ({limit}); raise the limit or cut the video")
