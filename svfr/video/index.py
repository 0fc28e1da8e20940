"""Reads every packet header of a video once, without decoding: exact frame count, time stamps and key frames."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from av.container import InputContainer
from av.error import FFmpegError
from av.video.stream import VideoStream

_MATROSKA_SLACK = 1.0  # seconds by which a file may fall short of the duration in its header
_JITTER = 0.002  # seconds: containers that count milliseconds round a constant rate by this much


@dataclass(frozen=True)
class PacketIndex:
    """Presentation time stamps of all shown frames in ascending order, and those of the key frames.

    `keys` holds the time stamps at which decoding can start. `complete` is False when the file ends before what its
    own header announces.
    """

    pts: tuple[int, ...]
    keys: tuple[int, ...]
    complete: bool

    def is_variable_rate(self, time_base: Fraction) -> bool:
        """Whether frame distances differ by more than rounding (one tick or 2 ms) can cause."""
        steps = [b - a for a, b in pairwise(self.pts)]
        return bool(steps) and max(steps) - min(steps) > max(1, _JITTER / float(time_base))


def read_index(container: InputContainer, stream: VideoStream) -> PacketIndex:
    """Demuxes `container` to its end. Files without time stamps (raw streams) are numbered 0, 1, 2 ... ticks apart."""
    announced, header_seconds = len(stream.index_entries), (container.duration or 0) / 1_000_000
    origin = (container.start_time or 0) / 1_000_000
    pts: list[int] = []
    keys: list[int] = []
    packets, last = 0, 0.0
    try:
        for packet in container.demux():
            if packet.size == 0:
                continue
            stamp = packet.pts if packet.pts is not None else packet.dts
            if stamp is not None:
                last = max(last, float((stamp + (packet.duration or 0)) * packet.time_base) - origin)
            if packet.stream_index != stream.index:
                continue
            packets += 1
            if packet.is_discard:
                continue
            pts.append(stamp if stamp is not None else frame_step(stream) * len(pts))
            if packet.is_keyframe:
                keys.append(pts[-1])
    except FFmpegError:
        return PacketIndex(tuple(sorted(pts)), tuple(sorted(keys)), complete=False)
    short = "matroska" in container.format.name and last < header_seconds - _MATROSKA_SLACK
    return PacketIndex(tuple(sorted(pts)), tuple(sorted(keys)), complete=packets >= announced and not short)


def frame_step(stream: VideoStream) -> int:
    """Ticks of the stream's time base between two frames at its nominal rate; at least 1."""
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    return max(1, round(1 / (rate * (stream.time_base or Fraction(1, 90_000)))))
