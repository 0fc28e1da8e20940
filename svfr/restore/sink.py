"""Where restored frames go: a video with the source's streams, a picture, or a folder of pictures."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Protocol

import av
import cv2
import numpy as np

from svfr.artifacts import atomic_dir, atomic_write
from svfr.errors import UserError
from svfr.params import RestoreOptions
from svfr.restore.media import Media
from svfr.restore.names import PICTURES
from svfr.restore.pixels import Pixels, to_8_bits
from svfr.video.encode import VideoWriter
from svfr.video.mux import copy_streams


class Sink(Protocol):
    """A context manager that takes frames in order; its file appears whole when the block ends without an error."""

    def __enter__(self) -> Sink: ...

    def write(self, rgb: Pixels, pts: int) -> None:
        """Takes the next frame (H,W,3), shown from `pts` ticks of the source's time base on."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_sink(media: Media, destination: Path, width: int, height: int, options: RestoreOptions, scratch: Path) -> Sink:
    """The sink that fits the kind of input; what is unfinished lies in the folder `scratch`, on the same disk."""
    if media.kind == "video":
        return VideoSink(media, destination, width, height, options, scratch)
    if media.kind == "picture":
        return PictureSink(destination, scratch)
    return FolderSink(destination, (path.stem for path in media.pictures), scratch)


class VideoSink:
    """Encodes frames with the source's time stamps and colour tags, then adds its sound, subtitles and tags."""

    def __init__(
        self, media: Media, destination: Path, width: int, height: int, options: RestoreOptions, scratch: Path
    ) -> None:
        info = media.info
        aspect = 1 / info.sample_aspect if info.rotation in (90, 270) else info.sample_aspect
        self._source, self._destination = media.path, destination
        self._track = scratch / f"track-{destination.stem}{destination.suffix}"
        self._tick, self._frame, self._partial = info.time_base, 1 / info.fps, bool(options.max_frames)
        self._last = 0
        self._writer = VideoWriter(
            self._track,
            width,
            height,
            time_base=info.time_base,
            fps=info.fps,
            codec=options.codec,
            crf=options.crf,
            pix_fmt=output_format(info.pix_fmt, media.bits),
            colour=info.colour,
            sample_aspect=Fraction(aspect),
        )

    def __enter__(self) -> VideoSink:
        self._writer.__enter__()
        return self

    def write(self, rgb: Pixels, pts: int) -> None:
        """Encodes one frame."""
        self._writer.write(rgb, pts)
        self._last = pts

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)
        if kind is None:
            until = self._last * self._tick + self._frame if self._partial else None
            copy_streams(self._source, self._track, self._destination, until=until, scratch=self._track.parent)
            self._track.unlink()


class PictureSink:
    """Writes one picture; its format is the suffix's."""

    def __init__(self, destination: Path, scratch: Path) -> None:
        self._destination, self._scratch = destination, scratch

    def __enter__(self) -> PictureSink:
        return self

    def write(self, rgb: Pixels, pts: int) -> None:
        """Writes the picture."""
        write_picture(self._destination, rgb, self._scratch)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return


class FolderSink:
    """Writes PNG files with the given names, 16 bits where the frames have them; the folder appears whole."""

    def __init__(self, destination: Path, names: Iterable[str], scratch: Path) -> None:
        self._names = iter(names)
        self._destination, self._scratch = destination, scratch
        self._stack = ExitStack()

    def __enter__(self) -> FolderSink:
        self._folder = self._stack.enter_context(atomic_dir(self._destination, self._scratch))
        return self

    def write(self, rgb: Pixels, pts: int) -> None:
        """Writes the next picture."""
        write_picture(self._folder / f"{next(self._names)}.png", rgb)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)


def write_picture(path: Path, rgb: Pixels, scratch: Path | None = None) -> None:
    """Writes (H,W,3) by the suffix of `path`, atomically; all but PNG have 8 bits. `UserError` for another suffix."""
    if path.suffix.lower() not in PICTURES:
        raise UserError(f"{path.name}: pictures are written as {', '.join(PICTURES)}")
    kept = rgb if path.suffix.lower() == ".png" else to_8_bits(rgb)
    good, data = cv2.imencode(path.suffix, cv2.cvtColor(kept, cv2.COLOR_RGB2BGR))
    if not good:
        raise UserError(f"{path.name}: this picture format cannot be written here; use .png")
    with atomic_write(path, scratch) as temporary:
        temporary.write_bytes(np.asarray(data).tobytes())


def output_format(source: str, bits: int) -> str:
    """The pixel format that keeps the source's chroma resolution and its depth (8 or 10 bits)."""
    planes = av.VideoFormat(source, 64, 64)  # of any even size: chroma planes are compared with the luma plane
    chroma = planes.components[1] if len(planes.components) > 1 else None
    full_width = chroma is not None and chroma.width == planes.components[0].width
    full_height = chroma is not None and chroma.height == planes.components[0].height
    form = "yuv422p" if full_height else "yuv420p"
    if planes.is_rgb or (full_width and full_height):
        form = "yuv444p"
    return form if bits == 8 else f"{form}10le"
