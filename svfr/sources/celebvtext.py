"""CelebV-Text's list of clips (Yu et al., CVPR 2023, https://github.com/celebv-text/CelebV-Text).

`celebvtext_info.json`, as the authors' `download_and_process.py` reads it: an object `clips` whose values hold
`ytb_id`, `duration` {`start_sec`, `end_sec`} and `bbox` {`top`, `bottom`, `left`, `right`} in 0..1 of the frame.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from svfr.errors import UserError
from svfr.sources.entry import Source, entry, read_text, refused, require_good
from svfr.sources.fragment import Fragment, join_uri, percent_box
from svfr.sources.youtube import youtube_uri

NAME = "celebvtext"
LICENCE = "annotations: CelebV-Text, non-commercial research; video: its owner on YouTube"


def list_celebvtext(path: Path) -> list[Source]:
    """A source a clip of the JSON file `path`, in the file's order; a malformed one is a `bad_entry`.

    Raises `UserError` if the file is not JSON of this form or not one clip in it is whole.
    """
    try:
        listed = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not JSON ({error.msg} in line {error.lineno}): fetch the file again") from error
    clips = listed.get("clips") if isinstance(listed, dict) else None
    if not isinstance(clips, dict):
        raise UserError(f"{path} has no object 'clips': name CelebV-Text's celebvtext_info.json")
    return require_good(_rows(path, clips), str(path), "CelebV-Text list")


def _rows(path: Path, clips: dict[str, Any]) -> Iterator[Source]:
    for name, clip in clips.items():
        try:
            yield _clip(clip)
        except UserError as error:
            yield refused("bad_entry", f"{path.name}, clip '{name}': {error}", NAME)


def _clip(clip: Any) -> Source:
    base = youtube_uri(str(_inside(clip, "ytb_id")))
    start, end = (_number(clip, "duration", key) for key in ("start_sec", "end_sec"))
    if not 0 <= start < end:
        raise UserError(f"the range {start:g} to {end:g} s is none")
    left, top, right, bottom = (_number(clip, "bbox", key) for key in ("left", "top", "right", "bottom"))
    if max(left, top, right, bottom) > 1.5:
        raise UserError("the bbox is not in shares of the frame (0 to 1)")
    part = Fragment(start, end, percent_box(left, top, right, bottom))
    return entry(join_uri(base, part), licence=LICENCE, source_dataset=NAME)


def _inside(value: Any, *keys: str) -> Any:
    for key in keys:
        if not isinstance(value, dict) or key not in value:
            raise UserError(f"it has no {'.'.join(keys)}")
        value = value[key]
    return value


def _number(clip: Any, *keys: str) -> float:
    value = _inside(clip, *keys)
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise UserError(f"{'.'.join(keys)} is {value!r}, no number")
    return float(value)
