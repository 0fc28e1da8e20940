"""Writes video files: exact time stamps, the same bytes every time, and never a half-written file."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream
from numpy.typing import NDArray

from svfr.artifacts import atomic_write
from svfr.errors import UserError
from svfr.video.decode import SCALING
from svfr.video.probe import Colour

# Encoders whose bytes are the same every time, with the options that make them so: without cpu-independent x264's
# macroblock tree reads unset memory even on one thread, and x265's cutree does so at small sizes.
CODECS: dict[str, dict[str, str]] = {
    "libx264": {"preset": "medium", "x264-params": "cpu-independent=1"},
    "libx265": {"preset": "medium", "x265-params": "log-level=error:pools=none:frame-threads=1:cutree=0"},
    "libvpx-vp9": {"b": "0", "row-mt": "0"},
    "ffv1": {"level": "3"},
}
_INDEX_FIRST = {"movflags": "+faststart"}  # plays while it loads
CONTAINERS = {".mp4": _INDEX_FIRST, ".mov": _INDEX_FIRST, ".m4v": _INDEX_FIRST, ".mkv": {}, ".webm": {}}
_MATRIX = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
_SUBSAMPLED = {"yuv420p": "yuv444p", "yuv422p": "yuv444p", "yuv420p10le": "yuv444p10le", "yuv422p10le": "yuv444p10le"}
_BITEXACT = 1 << 23  # AV_CODEC_FLAG_BITEXACT


class VideoWriter:
    """Context manager that encodes frames to `path`, which appears when the block ends without an exception.

    `time_base` is the unit of the `pts` given to `write` (seconds a tick); MP4 and MOV keep every stamp exactly,
    Matroska and WebM round to milliseconds. `fps` is only the nominal rate in the header. The suffix chooses the
    container, one of `CONTAINERS` (AVI is not: it cannot say when a frame of a variable rate is shown). `codec` is one
    of `CODECS`; `crf` is its quality (lower is better; ffv1 is lossless and ignores it).
    A frame of odd width or height keeps its size: subsampled `pix_fmt` becomes 4:4:4 (see attribute `pix_fmt`).
    `colour` tags the stream, and its matrix and range are those the pixels are converted with. One encoder thread,
    since the bytes depend on their number. Raises `UserError` for an unknown codec, container or pixel format.
    """

    def __init__(
        self,
        path: Path,
        width: int,
        height: int,
        *,
        time_base: Fraction,
        fps: Fraction,
        codec: str = "libx264",
        crf: int = 18,
        preset: str | None = None,
        pix_fmt: str = "yuv420p",
        colour: Colour = Colour(),  # noqa: B008  (frozen)
        sample_aspect: Fraction = Fraction(1),
        metadata: dict[str, str] | None = None,
    ) -> None:
        if codec not in CODECS:
            raise UserError(f"unknown codec '{codec}': choose one of {', '.join(CODECS)}")
        self.path, self.width, self.height, self.colour = path, width, height, colour
        self.pix_fmt = _SUBSAMPLED.get(pix_fmt, pix_fmt) if width % 2 or height % 2 else pix_fmt
        self.time_base, self.fps, self.codec, self.sample_aspect = time_base, fps, codec, sample_aspect
        self.options = {**CODECS[codec], **({} if codec == "ffv1" else {"crf": str(crf)})}
        if preset is not None and "preset" in self.options:
            self.options["preset"] = preset
        self.metadata = metadata or {}
        self.frames = 0
        self._last: int | None = None
        self._scaler = VideoReformatter()
        self._stack = ExitStack()

    def __enter__(self) -> VideoWriter:
        temporary = self._stack.enter_context(atomic_write(self.path))
        try:
            self._container = open_output(temporary, self.path)
            self._stack.callback(self._close)
            self._stream = self._add_stream()
        except BaseException as error:
            if not self._stack.__exit__(type(error), error, error.__traceback__):
                raise
        return self

    def write(self, rgb: NDArray[np.uint8], pts: int) -> None:
        """Encodes one frame `rgb` (H,W,3), uint8 (or uint16 in 0..65535), shown from `pts` ticks on.

        Raises `UserError` for another size or a time stamp that does not follow the last one.
        """
        if rgb.shape != (self.height, self.width, 3):
            raise UserError(f"{self.path.name}: frame of shape {rgb.shape}, expected {(self.height, self.width, 3)}")
        if self._last is not None and pts <= self._last:
            raise UserError(f"{self.path.name}: time stamp {pts} does not follow {self._last}")
        self._last = pts
        packed = VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24" if rgb.itemsize == 1 else "rgb48le")
        frame = self._scaler.reformat(
            packed,
            format=self.pix_fmt,
            dst_colorspace=_MATRIX.get(self.colour.matrix),
            dst_color_range=ColorRange.JPEG if self.colour.range == 2 else ColorRange.MPEG,
            interpolation=SCALING,
            threads=1,
        )
        frame.pts, frame.time_base = pts, self.time_base
        self._mux(frame)
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if self.frames == 0:
                    raise UserError(f"{self.path.name}: no frame was written")
                self._mux(None)
        except BaseException as late:
            self._stack.__exit__(type(late), late, late.__traceback__)
            raise
        self._stack.__exit__(kind, error, trace)

    def _mux(self, frame: VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(frame))
        except FFmpegError as error:
            raise as_os_error(error, self.path) from error

    def _close(self) -> None:
        try:
            self._container.close()  # writes the index, so the disk may be full only now
        except FFmpegError as error:
            raise as_os_error(error, self.path) from error

    def _add_stream(self) -> VideoStream:
        try:
            stream = self._container.add_stream(self.codec, rate=self.fps, options=self.options)
        except (ValueError, FFmpegError) as error:
            raise UserError(f"{self.path.name}: this container cannot hold {self.codec} ({error})") from error
        assert isinstance(stream, VideoStream)
        context = stream.codec_context
        try:
            context.pix_fmt = self.pix_fmt
        except ValueError as error:
            raise UserError(f"unknown pixel format '{self.pix_fmt}' for {self.codec}") from error
        context.width, context.height, context.thread_count = self.width, self.height, 1
        context.framerate, context.time_base = self.fps, self.time_base
        context.sample_aspect_ratio = self.sample_aspect
        context.flags |= _BITEXACT
        context.color_primaries, context.color_trc = self.colour.primaries, self.colour.transfer
        context.colorspace, context.color_range = self.colour.matrix, self.colour.range
        self._container.metadata.update(self.metadata)
        return stream


def open_output(temporary: Path, path: Path) -> OutputContainer:
    """An empty container at `temporary` in the format of `path`'s suffix, without time or version of its making."""
    if path.suffix.lower() not in CONTAINERS:
        raise UserError(f"{path.name}: cannot write '{path.suffix}' files; use one of {', '.join(CONTAINERS)}")
    options = {"fflags": "+bitexact", **CONTAINERS[path.suffix.lower()]}
    try:
        return av.open(f"file:{temporary.absolute()}", "w", container_options=options)
    except FFmpegError as error:
        raise as_os_error(error, path) from error


def as_os_error(error: FFmpegError, path: Path) -> OSError | UserError:
    """An ffmpeg write error as the operating system's error it stands for, or as a `UserError` that names `path`."""
    number = getattr(error, "errno", None)
    if number in errno.errorcode and number != errno.EINVAL:
        return OSError(number, str(error.strerror), str(path))
    return UserError(f"{path.name}: cannot be encoded with these settings ({error.strerror})")
