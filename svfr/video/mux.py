"""Joins a new picture track with the sound, subtitles, chapters and tags of the source, packets untouched."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Stream

from svfr.artifacts import atomic_write
from svfr.errors import UserError
from svfr.video.container import open_video
from svfr.video.encode import as_os_error, open_output

# Written by the muxer itself, or no longer true of the new file.
_NOT_COPIED = {"encoder", "major_brand", "minor_version", "compatible_brands", "rotate", "vendor_id", "handler_name"}


def copy_streams(
    source: Path, video: Path, destination: Path, *, until: Fraction | None = None, scratch: Path | None = None
) -> None:
    """Writes `destination`: the video stream of `video`, every audio and subtitle stream of `source`.

    All packets are copied bit for bit with their time stamps; language, title, disposition, chapters and file tags
    come along, the source's rotation does not (the new pictures are upright). `until` (seconds of the source's clock)
    leaves out audio and subtitle packets that begin later, for a restored part of a video. Where the source is cut off,
    its packets end; those whose time runs backwards, which no container takes, are left out. Atomic (`scratch` as in
    `atomic_write`). Raises `ItemError` for an unreadable input, `UserError` if the destination's container cannot hold
    one of the streams.
    """
    with (
        open_video(source) as (old, old_video),
        open_video(video) as (new, new_video),
        atomic_write(destination, scratch) as temporary,
    ):
        try:
            with open_output(temporary, destination) as output:
                output.metadata.update(_tags(old.metadata))
                target = output.add_stream_from_template(new_video)
                target.metadata.update(_tags(old_video.metadata))
                kept = _kept(old)
                targets = {stream.index: _copy_of(output, stream, destination, source.suffix) for stream in kept}
                output.set_chapters(old.chapters())
                for packet in heapq.merge(
                    _packets(new, [new_video], {new_video.index: target}, None),
                    _packets(old, kept, targets, until),
                    key=_time,
                ):
                    output.mux_one(packet)
        except FFmpegError as error:
            raise as_os_error(error, destination) from error


def check_streams(source: Path, destination: Path) -> None:
    """Raises `UserError` if a file with the suffix of `destination` cannot hold the sound and subtitles of `source`."""
    with open_video(source) as (old, _), TemporaryDirectory() as folder:
        for stream in _kept(old):
            trial = Path(folder) / f"trial{destination.suffix}"
            try:
                with open_output(trial, trial) as output:
                    _copy_of(output, stream, destination, source.suffix)
                    output.start_encoding()
            except FFmpegError as error:
                raise _misfit(stream, destination, source.suffix) from error


def _kept(source: InputContainer) -> list[Stream]:
    return [*source.streams.audio, *source.streams.subtitles]


def _misfit(stream: Stream, destination: Path, original: str) -> UserError:
    name = stream.codec_context.name if stream.codec_context else "unknown"
    return UserError(
        f"{destination.name}: a {destination.suffix} file cannot hold the source's {stream.type} stream ({name}); "
        f"give a destination that ends in {original} or .mkv"
    )


def _copy_of(output: OutputContainer, stream: Stream, destination: Path, original: str) -> Stream:
    try:
        copy = output.add_stream_from_template(stream)
    except (ValueError, FFmpegError) as error:
        raise _misfit(stream, destination, original) from error
    copy.metadata.update(_tags(stream.metadata))
    copy.disposition = stream.disposition
    return copy


def _packets(
    container: InputContainer, streams: list[Stream], targets: dict[int, Stream], until: Fraction | None
) -> Iterator[Packet[Any]]:
    last: dict[int, int] = {}
    packets = container.demux(streams) if streams else iter(())
    while (packet := _next(packets)) is not None:
        late = until is not None and packet.pts is not None and packet.pts * packet.time_base >= until
        if not packet.size or late:
            continue
        if packet.dts is not None:
            backwards = packet.stream.type == "audio" and packet.dts <= last.get(packet.stream_index, packet.dts - 1)
            if backwards:
                continue
            last[packet.stream_index] = packet.dts
        packet.stream = targets[packet.stream_index]
        yield packet


def _next(packets: Iterator[Packet[Any]]) -> Packet[Any] | None:
    try:
        return next(packets, None)
    except FFmpegError:  # the file is cut off here
        return None


def _time(packet: Packet[Any]) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return (stamp or 0) * packet.time_base


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key.lower() not in _NOT_COPIED}
