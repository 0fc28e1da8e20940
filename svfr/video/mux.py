"""Joins a new picture track with the sound, subtitles, chapters and tags of the source, packets untouched."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
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


def copy_streams(source: Path, video: Path, destination: Path, *, until: Fraction | None = None) -> None:
    """Writes `destination`: the video stream of `video`, every audio and subtitle stream of `source`.

    All packets are copied bit for bit with their time stamps; language, title, disposition, chapters and file tags
    come along, the source's rotation does not (the new pictures are upright). `until` (seconds of the source's clock)
    leaves out audio and subtitle packets that begin later, for a restored part of a video. Atomic. Raises `ItemError`
    for an unreadable input, `UserError` if the destination's container cannot hold one of the streams.
    """
    with (
        open_video(source) as (old, old_video),
        open_video(video) as (new, new_video),
        atomic_write(destination) as temporary,
    ):
        try:
            with open_output(temporary, destination) as output:
                output.metadata.update(_tags(old.metadata))
                target = output.add_stream_from_template(new_video)
                target.metadata.update(_tags(old_video.metadata))
                kept: list[Stream] = [*old.streams.audio, *old.streams.subtitles]
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


def _copy_of(output: OutputContainer, stream: Stream, destination: Path, original: str) -> Stream:
    name = stream.codec_context.name if stream.codec_context else "unknown"
    try:
        copy = output.add_stream_from_template(stream)
    except (ValueError, FFmpegError) as error:
        raise UserError(
            f"{destination.name}: a {destination.suffix} file cannot hold the source's {stream.type} stream ({name}); "
            f"give a destination that ends in {original}"
        ) from error
    copy.metadata.update(_tags(stream.metadata))
    copy.disposition = stream.disposition
    return copy


def _packets(
    container: InputContainer, streams: list[Stream], targets: dict[int, Stream], until: Fraction | None
) -> Iterator[Packet[Any]]:
    if not streams:
        return
    for packet in container.demux(streams):
        late = until is not None and packet.pts is not None and packet.pts * packet.time_base >= until
        if packet.size and not late:
            packet.stream = targets[packet.stream_index]
            yield packet


def _time(packet: Packet[Any]) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return (stamp or 0) * packet.time_base


def _tags(metadata: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in metadata.items() if key.lower() not in _NOT_COPIED}
