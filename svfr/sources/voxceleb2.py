"""VoxCeleb2's face tracks (Chung et al. 2018, https://www.robots.ox.ac.uk/~vgg/data/voxceleb/, `vox2_*_txt.zip`).

One text file an utterance, `txt/idNNNNN/ID/NNNNN.txt`. Header lines `Identity  : idNNNNN`, `Reference : ID` (YouTube),
`Offset`, `FV Conf`, `ASD Conf`; an empty line; `FRAME X Y W H`; then one line a frame: its number at 25 frames a
second, and the face's box in shares of the frame (0 to 1). VoxCeleb1 has the same files with boxes in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from svfr.errors import UserError
from svfr.sources.entry import Source, entry, refused, require_good, text_lines
from svfr.sources.fragment import Fragment, join_uri, percent_box
from svfr.sources.youtube import youtube_uri

NAME = "voxceleb2"
LICENCE = "annotations: VoxCeleb2, CC BY 4.0; video: its owner on YouTube"
RATE = 25
_OVER = 1.5  # a share beyond this is a pixel


def list_voxceleb2(folder: Path) -> list[Source]:
    """A source an utterance below `folder`, in order of the files; a malformed one is a `bad_entry`.

    The region is the smallest box around the face in all frames. Raises `UserError` if not one text file there is a
    track.
    """
    return require_good(_rows(folder), str(folder), "folder of VoxCeleb2 tracks (idNNNNN/ID/NNNNN.txt)")


def _rows(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*.txt")):
        try:
            yield _track(text_lines(path))
        except UserError as error:
            yield refused("bad_entry", f"{path.relative_to(folder)}: {error}", NAME)


def _track(lines: list[str]) -> Source:
    head = next((number for number, line in enumerate(lines) if line.split()[:1] == ["FRAME"]), None)
    if head is None:
        raise UserError("there is no line FRAME X Y W H")
    header = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines[:head])}
    if "Reference" not in header:
        raise UserError("there is no line 'Reference :' with a YouTube id")
    base = youtube_uri(header["Reference"])
    rows = [_row(number, line) for number, line in enumerate(lines[head + 1 :], head + 2) if line.strip()]
    if not rows:
        raise UserError("it lists no frames")
    frames = [row[0] for row in rows]
    box = percent_box(
        min(row[1] for row in rows),
        min(row[2] for row in rows),
        max(row[1] + row[3] for row in rows),
        max(row[2] + row[4] for row in rows),
    )
    part = Fragment(max(0.0, (min(frames) - 0.5) / RATE), (max(frames) + 0.5) / RATE, box)
    return entry(join_uri(base, part), licence=LICENCE, source_dataset=NAME)


def _row(number: int, line: str) -> tuple[float, float, float, float, float]:
    words = line.split()
    try:
        frame, (x, y, w, h) = int(words[0]), (float(word) for word in words[1:])
    except ValueError as error:
        raise UserError(f"line {number}: '{line.strip()}' is not a frame number and four numbers") from error
    if not all(map(math.isfinite, (x, y, w, h))) or max(x, y, w, h) > _OVER:
        raise UserError(f"line {number}: the box is not in shares of the frame (VoxCeleb1 lists pixels)")
    if frame < 0 or w <= 0 or h <= 0:
        raise UserError(f"line {number}: '{line.strip()}' is no box of a frame")
    return frame, x, y, w, h
