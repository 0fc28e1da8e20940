"""What can be restored, behind one interface: a video, a single picture, or a folder of numbered pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.errors import ItemError
from svfr.restore.names import PICTURES
from svfr.video.decode import Frame, read_frames
from svfr.video.probe import VideoInfo, probe

Pixels = NDArray[np.uint8]  # or uint16 where a source has more than 8 bits
Kind = Literal["video", "picture", "frames"]
_PICTURE_RATE = Fraction(25)


@dataclass(frozen=True)
class Media:
    """One input. `info` holds size, rate and count (pictures: 25 frames a second); `bits` is 8 or 16."""

    path: Path
    kind: Kind
    info: VideoInfo
    bits: int
    pictures: tuple[Path, ...] = ()

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames `start` to `stop` (exclusive) in order, upright RGB, uint8 or uint16 by `bits`."""
        if self.kind == "video":
            yield from read_frames(self.path, start=start, stop=stop, bits=self.bits)
            return
        for index, path in list(enumerate(self.pictures))[start:stop]:
            picture = read_picture(path)
            if picture.shape != (self.info.height, self.info.width, 3):
                raise ItemError("bad_frame", f"{path.name}: its size differs from the first frame's")
            yield Frame(index, index, picture)


def open_media(path: Path) -> Media:
    """Looks at `path`. Raises `ItemError` (missing, unreadable, not_a_video, zero_frames ...) if it is no input."""
    if path.is_dir():
        return _of_pictures(path, "frames", tuple(sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)))
    if path.suffix.lower() in PICTURES:
        if not path.is_file():
            raise ItemError("missing", f"{path}: no such file")
        return _of_pictures(path, "picture", (path,))
    info = probe(path)
    return Media(path, "video", info, 16 if av.VideoFormat(info.pix_fmt).components[0].bits > 8 else 8)


def read_picture(path: Path) -> Pixels:
    """A picture file as (H,W,3) uint8 RGB. Raises `ItemError` `unreadable`."""
    picture = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise ItemError("unreadable", f"{path.name}: not a picture that can be read; give PNG or JPEG")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def to_8_bits(rgb: Pixels) -> Pixels:
    """uint16 pixels rounded down to uint8; uint8 as they are."""
    return rgb if rgb.itemsize == 1 else (rgb >> 8).astype(np.uint8)


def _of_pictures(path: Path, kind: Kind, pictures: tuple[Path, ...]) -> Media:
    if not pictures:
        raise ItemError("zero_frames", f"{path}: the folder holds no pictures ({', '.join(PICTURES)})")
    height, width = read_picture(pictures[0]).shape[:2]
    rate = _PICTURE_RATE
    count = len(pictures)
    info = VideoInfo(
        width, height, 0, rate, count, float(count / rate), "png", "rgb24", 1 / rate, has_audio=False, vfr=False
    )
    return Media(path, kind, info, 8, pictures)
