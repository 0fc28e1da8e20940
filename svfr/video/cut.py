"""Cuts ranges out of a video without decoding it: packets copied, what they need besides hidden by an edit list.

A frame can be decoded only from a key frame on, and some need a later frame too. Those packets come along; the edit
list of the MP4 says that the film begins and ends with the frames of the range.
"""

from __future__ import annotations

import heapq
import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from svfr.artifacts import atomic_write
from svfr.errors import ItemError
from svfr.video.container import open_video, open_watched
from svfr.video.encode import as_os_error
from svfr.video.index import frame_step, read_index
from svfr.video.probe import Limits, check_size

_FORMATS = ("mp4", "mov")  # the second holds codecs that the first does not


@dataclass(frozen=True)
class _Plan:
    """Video packets to copy: after a seek to `seek` (None: from the beginning) skip `skip`, take the next of `stamps`.

    `stamps` are their time stamps; those before `key` belong to frames that cannot be decoded from there and are left
    out. Frames from `first` up to `after` are shown.
    """

    seek: int | None
    skip: int
    stamps: list[int]
    key: int
    first: int
    after: int


class Cutter:
    """Cuts parts of the video `path`, whose packets are read once for all of them.

    Raises `ItemError` as `probe` does for what is no video, `zero_frames` for one without frames.
    """

    def __init__(self, path: Path, limits: Limits = Limits()) -> None:  # noqa: B008  (frozen)
        self.path = path
        with open_watched(path) as (container, stream, errors):
            check_size(path, stream, limits)
            self.time_base = Fraction(stream.time_base or Fraction(1, 90_000))
            self.step, self.codec = frame_step(stream), stream.codec_context.name
            self.index = read_index(container, stream, errors)
        if not self.index.pts:
            raise ItemError("zero_frames", f"{path.name}: the video stream holds no frames")

    def cut(self, start: float, end: float | None, destination: Path) -> None:
        """Writes the frames with start <= t < end (seconds from the first shown frame; None: to the end), atomically.

        Decoding `destination` gives exactly these frames, the first at time 0, and the sound that goes with them where
        the file can hold it. Equal input gives equal bytes. Raises `ItemError`: `range_outside` if no frame lies in
        the range, `cannot_cut` for a codec that MP4 and MOV cannot hold and for packets without usable time stamps.
        """
        pts, base = self.index.pts, self.time_base
        first, last = (
            bisect_left(pts, pts[0] + Fraction(str(side)) / base) if side is not None else len(pts)
            for side in (start, end)
        )
        if first >= last:
            length = float((pts[-1] - pts[0] + self.step) * base)
            until = "the end" if end is None else f"{end:g} s"
            raise ItemError(
                "range_outside",
                f"no frame lies in the range {start:g} s to {until}: the video lasts {length:.3f} s; correct the range",
            )
        after = pts[last] if last < len(pts) else pts[-1] + self.step
        plan = self._plan(pts[first], pts[last - 1], after)
        problem = ""
        for form in _FORMATS:
            try:
                with atomic_write(destination) as temporary:
                    self._write(plan, temporary, form)
                    _set_duration(temporary, after - pts[first], base)
                return
            except FFmpegError as error:
                written = as_os_error(error, destination)
                if isinstance(written, OSError):
                    raise written from error
                problem = str(error.strerror or error)
            except ValueError as error:
                if isinstance(error, ItemError):
                    raise
                problem = str(error)
        raise self._cannot(f"its {self.codec} stream does not go into MP4 or MOV ({' '.join(problem.split())})")

    def _cannot(self, why: str) -> ItemError:
        return ItemError("cannot_cut", f"the range cannot be cut: {why}; convert the source to H.264 in MP4")

    def _plan(self, first: int, last: int, after: int) -> _Plan:
        place = bisect_right(self.index.keys, first) - 1
        seek = self.index.keys[place] if place > 0 else None
        plan = self._scan(seek, first, last, after)
        if plan is None and seek is not None:  # some formats seek only roughly
            plan = self._scan(None, first, last, after)
        if plan is None:
            raise self._cannot("no key frame comes before it")
        if len(set(plan.stamps)) < len(plan.stamps):
            raise self._cannot("several of its packets have the same time stamp")
        return plan

    def _scan(self, seek: int | None, first: int, last: int, after: int) -> _Plan | None:
        """Reads from `seek` on; None if that leads behind the key frame before `first`."""
        wanted = bisect_right(self.index.pts, last) - bisect_left(self.index.pts, first)
        skip, seen, key, stamps = 0, 0, None, list[int]()
        with open_video(self.path) as (container, stream):
            for number, packet in enumerate(_packets(container, stream, seek)):
                stamp = _stamp(packet)
                if stamp is None:
                    raise self._cannot("its packets have no time stamps")
                if packet.is_keyframe and stamp <= first:
                    skip, seen, key, stamps = number, 0, stamp, []
                if key is None:
                    continue
                stamps.append(stamp)
                seen += first <= stamp <= last and not packet.is_discard
                if seen == wanted:
                    return _Plan(seek, skip, stamps, key, first, after)
        return None

    def _write(self, plan: _Plan, temporary: Path, form: str) -> None:
        ticks = str(self.time_base.denominator)
        options = {"movie_timescale": ticks, "video_track_timescale": ticks, "movflags": "+faststart"}
        with (
            open_video(self.path) as (container, stream),
            open_video(self.path) as (other, _),
            av.open(
                f"file:{temporary.absolute()}", "w", format=form, container_options={"fflags": "+bitexact", **options}
            ) as output,
        ):
            target = output.add_stream_from_template(stream)
            tracks = [self._picture(plan, container, stream, target)]
            for sound in other.streams.audio[:1]:
                if (copy := _copy_of(output, sound)) is not None:
                    tracks.append(self._sound(plan, other, sound, copy))
            for packet in heapq.merge(*tracks, key=_time):
                output.mux_one(packet)

    def _picture(self, plan: _Plan, container: InputContainer, stream: Stream, target: Stream) -> Iterator[Packet]:
        """The packets with the first shown frame at 0; decoding times are made anew, since not all files have them."""
        kept = [stamp - plan.first for stamp in plan.stamps if stamp >= plan.key]
        times = sorted(kept)
        delay = max(time - stamp for time, stamp in zip(times, kept, strict=True))
        place = 0
        for packet in islice(_packets(container, stream, plan.seek), plan.skip, plan.skip + len(plan.stamps)):
            if (_stamp(packet) or 0) < plan.key:
                continue
            packet.pts, packet.dts = kept[place], times[place] - delay
            packet.stream = target
            place += 1
            yield packet

    def _sound(self, plan: _Plan, container: InputContainer, stream: Stream, target: Stream) -> Iterator[Packet]:
        base = Fraction(stream.time_base or Fraction(1, 90_000))
        start, end = (stamp * self.time_base / base for stamp in (plan.first, plan.after))
        for packet in _packets(container, stream, int(start)):
            stamp = _stamp(packet)
            if stamp is None or stamp + (packet.duration or 0) <= start:
                continue
            if stamp >= end:
                return
            packet.pts = packet.dts = stamp - round(start)
            packet.stream = target
            yield packet


def _packets(container: InputContainer, stream: Stream, seek: int | None) -> Iterator[Packet]:
    if seek is not None:
        container.seek(seek, stream=stream, backward=True)
    for packet in container.demux(stream):
        if packet.size:
            yield packet


def _stamp(packet: Packet) -> int | None:
    return packet.pts if packet.pts is not None else packet.dts


def _time(packet: Packet) -> Fraction:
    return (packet.dts or 0) * packet.time_base


def _copy_of(output: OutputContainer, stream: Stream) -> Stream | None:
    """A track for sound like `stream`, None where this file cannot hold it."""
    try:
        return output.add_stream_from_template(stream)
    except (ValueError, FFmpegError):
        return None


def _set_duration(path: Path, ticks: int, base: Fraction) -> None:
    """Writes the length of the first track's only edit, which the muxer takes to last to the track's end."""
    with path.open("r+b") as file:
        place = (0, path.stat().st_size)
        for name in (b"moov", b"trak", b"edts", b"elst"):
            place = _box(file, name, *place)
        file.seek(place[0])
        version, edits = struct.unpack(">B3xI", file.read(8))
        assert edits == 1, "the first shown frame is at 0, so there is no gap before it"
        length = round(ticks * base * base.denominator)
        file.seek(place[0] + 8)
        file.write(struct.pack(">Q" if version else ">I", length))


def _box(file: BinaryIO, name: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where the content of the first box `name` between two places begins and ends (ISO/IEC 14496-12, 4.2)."""
    while start < stop:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            (size,), head = struct.unpack(">Q", file.read(8)), 16
        if kind == name:
            return start + head, start + size
        start += size
    raise AssertionError(f"the muxer wrote no box {name!r}")
