"""Opens a local video file and nothing else: no network, no playlist, no format that refers to other files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from svfr.errors import ItemError
from svfr.video.claims import check_claims, lacks_its_end

# Demuxers that keep everything in one file. HLS, DASH, concat, image sequences and SDP are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,gif,asf,ogg,h264,hevc,m4v,ivf,mxf"
_SAFE_OPENING = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
Log = tuple[int, str, str]  # level, part of ffmpeg, message
# Logged as errors for files that play well: cut streams, odd side information, padding behind a JPEG.
_HARMLESS = ("mmco: unref short failure", "SEI type", "overread")
ENDS_EARLY = "ended prematurely"  # in the words of Matroska's demuxer
_ENOUGH = 8  # messages kept of one file


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its first real video stream (an attached cover picture does not count).

    Raises `ItemError` with code `missing`, `empty_file`, `not_a_video` or `unreadable`.
    """
    with open_watched(path) as (container, stream, _):
        yield container, stream


@contextmanager
def open_watched(path: Path) -> Iterator[tuple[InputContainer, VideoStream, list[str]]]:
    """As `open_video`, with what the demuxer reported as errors in the header: `noting` adds to that list."""
    check_file(path)
    check_claims(path)
    try:
        with _listening() as logs:
            # "file:" keeps a name with a colon from being read as a protocol.
            container = av.open(f"file:{path.resolve()}", "r", options=_SAFE_OPENING, metadata_errors="replace")
    except av.error.ArgumentError as error:
        raise ItemError(
            "not_a_video",
            f"{path.name}: not a self-contained video file (playlists, stills and links are refused); "
            "give an MP4, MKV, WebM, AVI, MOV or MPEG file",
        ) from error
    except (FFmpegError, OSError) as error:
        raise ItemError("unreadable", f"{path.name}: cannot be opened as video ({_reason(error)})") from error
    with container:
        stream = next((s for s in container.streams.video if not s.disposition & Disposition.attached_pic), None)
        if stream is None or stream.codec_context is None:
            raise ItemError("not_a_video", f"{path.name}: holds no video stream that can be decoded")
        errors = _errors(logs, container.format.name)
        if lacks_its_end(path, container.format.name):
            errors.append(f"the file {ENDS_EARLY}")
        yield container, stream, errors


@contextmanager
def noting(errors: list[str], source: str) -> Iterator[list[Log]]:
    """Adds to `errors` what ffmpeg's part `source` (a demuxer's or decoder's name) reports as errors in the block.

    FFmpeg conceals most damage and goes on: its log is then the only sign. Messages of this thread only; the block may
    shorten the list of them that it is given.
    """
    with _listening() as logs:
        try:
            yield logs
        finally:
            errors += _errors(logs, source)[: max(0, _ENOUGH - len(errors))]


def _errors(logs: list[Log], source: str) -> list[str]:
    texts = [text.strip() for level, name, text in logs if level <= av.logging.ERROR and name == source]
    return [text for text in texts if not text.startswith(_HARMLESS)]


_lock, _listeners = Lock(), list[int | None]()


@contextmanager
def _listening() -> Iterator[list[Log]]:
    """Turns ffmpeg's log on, which PyAV keeps off, for as long as any thread listens."""
    with _lock:
        _listeners.append(_listeners[0] if _listeners else av.logging.get_level())
        av.logging.set_level(av.logging.ERROR)
        av.logging.set_skip_repeated(False)  # the last file's message must not hide this one's
    try:
        with av.logging.Capture() as logs:
            yield logs
    finally:
        with _lock:
            level = _listeners.pop()
            if not _listeners:
                av.logging.set_level(level)


def check_file(path: Path) -> None:
    """Raises `ItemError` (`missing`, `empty_file`) unless `path` is a regular file with bytes in it."""
    if not path.is_file():
        raise ItemError("missing", f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ItemError("empty_file", f"{path.name}: the file is empty; fetch it again")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
