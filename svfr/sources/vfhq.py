"""VFHQ's clip descriptions (Xie et al. 2022, https://liangbinxie.github.io/projects/vfhq/, `meta_info.zip`).

One text file a clip. Its name is `Clip+ID+Pn+Cn+Fa-b.txt`: YouTube id, person, clip, and the frames a to b of which
the authors' own script takes a + 1 to b - 1. Its lines begin with a word and end with numbers, among them `H` (height)
and `W` (width) of the annotated video, `FPS`, and `CROP` x0 y0 x1 y1, the face's square in those pixels.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from svfr.errors import UserError
from svfr.sources.entry import Source, entry, refused, require_good, text_lines
from svfr.sources.fragment import Fragment, join_uri, percent_box
from svfr.sources.youtube import youtube_uri

NAME = "vfhq"
LICENCE = "annotations: VFHQ, research; video: its owner on YouTube"
_FILE = re.compile(r"Clip\+(?P<id>.+)\+P\d+\+C\d+\+F(?P<first>\d+)-(?P<last>\d+)")
_WIDTH_OF = {"H": 1, "W": 1, "FPS": 1, "CROP": 4}  # how many numbers stand at the end of a line


def list_vfhq(folder: Path) -> list[Source]:
    """A source a clip below `folder`, in order of the files; a malformed one is a `bad_entry`.

    Frame numbers become seconds half a frame apart from every frame's own time, so rounding loses none. Raises
    `UserError` if not one text file there describes a clip.
    """
    return require_good(_rows(folder), str(folder), "folder of VFHQ clip files (Clip+ID+P0+C0+F0-99.txt)")


def _rows(folder: Path) -> Iterator[Source]:
    for path in sorted(folder.rglob("*.txt")):
        try:
            yield _clip(path)
        except UserError as error:
            yield refused("bad_entry", f"{path.relative_to(folder)}: {error}", NAME)


def _clip(path: Path) -> Source:
    named = _FILE.fullmatch(path.stem)
    if named is None:
        raise UserError("the name is not Clip+ID+Pn+Cn+Fa-b.txt")
    base, first, last = youtube_uri(named["id"]), int(named["first"]) + 1, int(named["last"]) - 1
    if last < first:
        raise UserError(f"the frames {named['first']}-{named['last']} hold nothing")
    numbers = _numbers(path)
    (fps,), (height,), (width,) = numbers["FPS"], numbers["H"], numbers["W"]
    if not (fps > 0 and height > 0 and width > 0):
        raise UserError("FPS, H and W must be above 0")
    x0, y0, x1, y1 = numbers["CROP"]
    box = percent_box(x0 / width, y0 / height, x1 / width, y1 / height)
    part = Fragment((first - 0.5) / fps, (last + 0.5) / fps, box)
    return entry(join_uri(base, part), licence=LICENCE, source_dataset=NAME)


def _numbers(path: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for number, line in enumerate(text_lines(path), 1):
        words = re.split(r"[\s:,]+", line.strip())
        name = next((key for key in ("FPS", "CROP", "H", "W") if words[0].upper().startswith(key)), None)
        if name is None:
            continue
        try:
            values = [float(word) for word in words[1:][-_WIDTH_OF[name] :]]
        except ValueError as error:
            raise UserError(f"line {number}: '{line.strip()}' does not end in numbers") from error
        if len(values) != _WIDTH_OF[name]:
            raise UserError(f"line {number}: '{line.strip()}' must end in {_WIDTH_OF[name]} number(s)")
        found[name] = values
    if missing := [key for key in _WIDTH_OF if key not in found]:
        raise UserError(f"there is no line {' or '.join(missing)}")
    return found
