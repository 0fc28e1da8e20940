"""What a file claims of itself against what it holds, where ffmpeg believes the claim: read before it is opened."""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from svfr.errors import ItemError

# ISO base media boxes that hold boxes, and where in others a count of samples stands for which memory is taken.
_PARENTS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"))
_COUNT_AT = {b"stsz": 8, b"trun": 4}
_SAMPLES = (1_000_000, 8)  # allowed: so many, and so many more a byte; QuickTime counts packed sound sample by sample
_MOST_BOXES = 1_000_000
_TS_PACKETS = (188, 192, 204)
_SIZE_UNKNOWN = 0xFFFFFFFF


def check_claims(path: Path) -> None:
    """Raises `ItemError` `unreadable` for an MP4 or MOV whose index claims more samples than its bytes can hold."""
    size = path.stat().st_size
    with path.open("rb") as file:
        claimed = _claimed_samples(file, size)
    if claimed > _SAMPLES[0] + _SAMPLES[1] * size:
        raise ItemError(
            "unreadable",
            f"{path.name}: its index claims {claimed} samples in {size} bytes; the file is damaged, fetch it again",
        )


def lacks_its_end(path: Path, format_name: str) -> bool:
    """Whether a file ends within what its format counts in. Their demuxers in ffmpeg do not tell.

    An AVI states the size of its first chunk, a GIF ends with a trailer, an MPEG transport stream has whole packets.
    """
    with path.open("rb") as file:
        stated = int.from_bytes(file.read(8)[4:], "little")
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 16))
        tail = file.read().rstrip(b"\0\r\n")
    if format_name == "avi":
        return size < 8 + stated and stated != _SIZE_UNKNOWN
    if format_name == "gif":
        return not tail.endswith(b";")
    return format_name == "mpegts" and all(size % packet for packet in _TS_PACKETS)


def _claimed_samples(file: BinaryIO, size: int) -> int:
    """The sum of all counts of samples; a file of another kind has none. Boxes are walked in order of the file."""
    place = total = 0
    for _ in range(_MOST_BOXES):
        file.seek(place)
        head = file.read(16)
        length, kind, body = int.from_bytes(head[:4], "big"), head[4:8], place + 8
        if length == 1:
            length, body = int.from_bytes(head[8:], "big"), place + 16
        elif length == 0:
            length = size - place
        if len(head) < 8 or length < 8:
            return total
        if kind in _COUNT_AT:
            file.seek(body + _COUNT_AT[kind])
            total += int.from_bytes(file.read(4), "big")
        place = body if kind in _PARENTS else place + length
        if place >= size:
            return total
    return 1 << 62
