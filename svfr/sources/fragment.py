"""Ranges and regions of a video as W3C Media Fragments (https://www.w3.org/TR/media-frags/) at the end of its address.

`v.mp4#t=12.5,17.25&xywh=percent:25,10,50,80`: from 12.5 s up to 17.25 s, with a face in the box that begins at 25 % of
the width and 10 % of the height.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from svfr.errors import ItemError, UserError

_MEDIA = re.compile(r"(?:^|&)(?:t|xywh)=")
_CLOCK = re.compile(r"(?:(?:(\d+):)?([0-5]?\d):)?(\d+(?:\.\d*)?)")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SLACK = 1e-6  # of a percentage: sums of rounded numbers


@dataclass(frozen=True)
class Fragment:
    """A part of a video: `start` <= t < `end` in seconds (`end` None: to its end), and a box x, y, width, height.

    Both may be absent. The box is of the upright frame, in percent of its sides, or in pixels where `pixels` is set.
    """

    start: float | None = None
    end: float | None = None
    box: tuple[float, float, float, float] | None = None
    pixels: bool = False

    def __str__(self) -> str:
        """The fragment without its `#`, the same text for the same part."""
        parts = []
        if self.start is not None:
            parts.append(f"t={_text(self.start)}" + (f",{_text(self.end)}" if self.end is not None else ""))
        if self.box is not None:
            parts.append(f"xywh={'pixel' if self.pixels else 'percent'}:" + ",".join(map(_text, self.box)))
        return "&".join(parts)

    def region(self, width: int, height: int) -> list[float] | None:
        """The box as x1 y1 x2 y2 in 0..1 of an upright frame of `width` x `height` pixels, or None.

        Raises `ItemError` `region_outside` for a box in pixels that leaves the frame.
        """
        if self.box is None:
            return None
        x, y, w, h = self.box
        across, down = (width, height) if self.pixels else (100, 100)
        if self.pixels and (x + w > width or y + h > height):
            raise ItemError("region_outside", f"the box {self} leaves the frame of {width} x {height} pixels")
        return [x / across, y / down, min((x + w) / across, 1.0), min((y + h) / down, 1.0)]


def percent_box(x1: float, y1: float, x2: float, y2: float) -> tuple[float, float, float, float]:
    """The box of normalised corners, clipped to the frame, in percent to 4 decimals. Raises `UserError` if empty."""
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise UserError("the box holds a number that is none")
    left, top, right, bottom = (round(100 * min(max(side, 0.0), 1.0), 4) for side in (x1, y1, x2, y2))
    if right <= left or bottom <= top:
        raise UserError(f"the box {x1:g} {y1:g} {x2:g} {y2:g} holds nothing of the frame")
    return left, top, round(right - left, 4), round(bottom - top, 4)


def split_uri(uri: str, folder: Path = Path()) -> tuple[str, Fragment | None]:
    """`uri` without its media fragment, and that fragment or None.

    A local path, relative to `folder`, that exists as it is written has none, whatever its name holds; other parts
    behind a `#` than `t` and `xywh` belong to the address. Raises `UserError` for a fragment that cannot be read.
    """
    local = not _SCHEME.match(uri)
    if local and exists(folder / uri):
        return uri, None
    base, mark, text = uri.rpartition("#") if local else uri.partition("#")
    return (base, parse_fragment(text)) if mark and _MEDIA.search(text) else (uri, None)


def join_uri(base: str, fragment: Fragment | None) -> str:
    """The address of a part of `base`."""
    return f"{base}#{fragment}" if fragment is not None else base


def parse_fragment(text: str) -> Fragment:
    """Reads `t=[npt:]START[,END]`, `xywh=[pixel:|percent:]X,Y,W,H`, or both joined by `&`; times may be h:mm:ss.

    Raises `UserError` that quotes what it could not read.
    """
    found: dict[str, str] = {}
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name not in ("t", "xywh"):
            raise UserError(f"'#{text}' has the unknown part '{part}': only t= and xywh= are understood")
        if name in found:
            raise UserError(f"'#{text}' names {name}= twice: keep one")
        found[name] = value
    start, end = _range(found["t"]) if "t" in found else (None, None)
    box, pixels = _box(found["xywh"]) if "xywh" in found else (None, False)
    return Fragment(start, end, box, pixels)


def _range(value: str) -> tuple[float, float | None]:
    first, comma, last = value.removeprefix("npt:").partition(",")
    if (comma and not last) or not (first or last):
        raise UserError(f"'t={value}' is no range: write t=START,END in seconds, or t=START to go on to the end")
    start, end = _seconds(first, value) if first else 0.0, _seconds(last, value) if last else None
    if end is not None and end <= start:
        raise UserError(f"'t={value}' ends before it begins: write t=START,END in seconds")
    return start, end


def _seconds(text: str, value: str) -> float:
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise UserError(f"'t={value}' is no range: '{text}' is neither seconds (12.5) nor a time (1:02:03.5)")
    hours, minutes, seconds = found.groups(default="0")
    return 3600 * int(hours) + 60 * int(minutes) + float(seconds)


def _box(value: str) -> tuple[tuple[float, float, float, float], bool]:
    unit, colon, rest = value.partition(":")
    pixels = not colon or unit == "pixel"
    pattern = r"\d+" if pixels else r"\d+(?:\.\d*)?"
    texts = (rest if colon else value).split(",")
    if unit not in ("pixel", "percent") and colon:
        raise UserError(f"'xywh={value}' has the unknown unit '{unit}': write percent: or pixel:")
    if len(texts) != 4 or not all(re.fullmatch(pattern, text) for text in texts):
        raise UserError(f"'xywh={value}' is no box: write xywh=percent:X,Y,W,H, or whole numbers for pixels")
    x, y, w, h = map(float, texts)
    if w <= 0 or h <= 0:
        raise UserError(f"'xywh={value}' is empty: width and height must be above 0")
    if not pixels and max(x + w, y + h) > 100 + _SLACK:
        raise UserError(f"'xywh={value}' leaves the frame: x + w and y + h may be 100 percent at most")
    return (x, y, w, h), pixels


def _text(number: float) -> str:
    return f"{number:.6f}".rstrip("0").rstrip(".")


def exists(path: Path) -> bool:
    """Whether there is a file or folder `path`; what cannot be a path on this disk does not exist."""
    try:
        return path.exists()
    except (OSError, ValueError):  # a name too long for the disk, a zero byte
        return False
