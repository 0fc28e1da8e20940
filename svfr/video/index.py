"""Reads every packet header of a video once, without decoding: exact frame count, time stamps and key frames."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.stream import VideoStream

from svfr.video.container import ENDS_EARLY, noting

_MATROSKA_SLACK = 1.0  # seconds by which a file may fall short of the duration in its header
_KEPT = 100  # lines of ffmpeg's log: a hostile file can cause millions
_JITTER = 0.002  # seconds: containers that count milliseconds round a constant rate by this much

# Where a packet is a shown frame. Others have packets that repeat a frame (MPEG-4, WMV) or hide one (VP8), and in
# streams without packets of their own each field of an interlaced frame may be one.
_FRAME_A_PACKET = frozenset(("h264", "hevc", "vp9", "libdav1d", "av1", "ffv1", "gif", "mjpeg", "mpeg2video", "prores"))
_IN_PIECES = frozenset(("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v"))


@dataclass(frozen=True)
class PacketIndex:
    """Presentation time stamps of all shown frames in ascending order, and those of the key frames.

    `keys` holds the time stamps at which decoding can start. `complete` is False when the file ends before what its
    own header announces; `damage` is what the container reports as damaged inside, or empty. At
    least `least` frames can be decoded of a sound file: 0 where packets and frames do not go together.
    """

    pts: tuple[int, ...]
    keys: tuple[int, ...]
    complete: bool
    damage: str = ""
    least: int = 0

    def is_variable_rate(self, time_base: Fraction) -> bool:
        """Whether frame distances differ by more than rounding (one tick or 2 ms) can cause."""
        steps = [b - a for a, b in pairwise(self.pts)]
        return bool(steps) and max(steps) - min(steps) > max(1, _JITTER / float(time_base))


def read_index(container: InputContainer, stream: VideoStream, errors: list[str]) -> PacketIndex:
    """Demuxes `container` to its end. Files without time stamps (raw streams) are numbered 0, 1, 2 ... ticks apart.

    `errors` are those of the opening (see `container.open_watched`); those of the demuxing are added.
    """
    announced, header_seconds = len(stream.index_entries), (container.duration or 0) / 1_000_000
    origin = (container.start_time or 0) / 1_000_000
    pts: list[int] = []
    keys: list[int] = []
    packets, last, complete = 0, 0.0, True
    try:
        for packet in _demux(container, errors):
            if packet.size == 0:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                last = max(last, float((stamp + (packet.duration or 0)) * packet.time_base) - origin)
            if packet.stream_index != stream.index:
                continue
            packets += 1
            if packet.is_corrupt and not errors:
                errors.append(f"packet {packets} is damaged or has lost data")
            if packet.is_discard:
                continue
            pts.append(stamp if stamp is not None else frame_step(stream) * len(pts))
            if packet.is_keyframe:
                keys.append(pts[-1])
    except FFmpegError:
        complete = False
    if "matroska" in container.format.name:
        complete &= last >= header_seconds - _MATROSKA_SLACK
    complete &= packets >= announced and not any(ENDS_EARLY in error for error in errors)
    pts, keys = sorted(pts), sorted(keys)
    return PacketIndex(
        tuple(pts), tuple(keys), complete, errors[0] if errors else "", _least(container, stream, pts, keys)
    )


def _demux(container: InputContainer, errors: list[str]) -> Iterator[Packet]:
    with noting(errors, container.format.name) as logs:
        for packet in container.demux():
            del logs[_KEPT:]
            yield packet


def _least(container: InputContainer, stream: VideoStream, pts: list[int], keys: list[int]) -> int:
    """How many frames packets at `pts` must give. Those shown before the first key frame may lack what they need."""
    if stream.codec_context.name not in _FRAME_A_PACKET or _IN_PIECES & {*container.format.name.split(",")}:
        return 0
    return len(pts) - (bisect_left(pts, keys[0]) if keys else 0)


def frame_step(stream: VideoStream) -> int:
    """Ticks of the stream's time base between two frames at its nominal rate; at least 1."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return max(1, round(1 / (rate * (stream.time_base or Fraction(1, 90_000)))))
