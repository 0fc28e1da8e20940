"""Opens a local video file and nothing else: no network, no playlist, no format that refers to other files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.stream import Disposition
from av.video.stream import VideoStream

from svfr.errors import ItemError

# Demuxers that keep everything in one file. HLS, DASH, concat, image sequences and SDP are left out on purpose.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,gif,asf,ogg,h264,hevc,m4v,ivf,mxf"
_SAFE_OPENING = {"protocol_whitelist": "file", "format_whitelist": FORMATS}


@contextmanager
def open_video(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Yields the container and its first real video stream (an attached cover picture does not count).

    Raises `ItemError` with code `missing`, `empty_file`, `not_a_video` or `unreadable`.
    """
    check_file(path)
    try:
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
        yield container, stream


def check_file(path: Path) -> None:
    """Raises `ItemError` (`missing`, `empty_file`) unless `path` is a regular file with bytes in it."""
    if not path.is_file():
        raise ItemError("missing", f"{path}: no such file")
    if path.stat().st_size == 0:
        raise ItemError("empty_file", f"{path.name}: the file is empty; fetch it again")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
