"""What can be restored, behind one interface: a video, a single picture, or a folder of numbered pictures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

from svfr.errors import ItemError
from svfr.restore.names import PICTURES
from svfr.restore.pixels import Pixels
from svfr.video.decode import Frame, Shown, read_shown
from svfr.video.index import PacketIndex
from svfr.video.probe import VideoInfo, examine
from svfr.video.size import shrunk
from svfr.video.tolerant import read_tolerant

Kind = Literal["video", "picture", "frames"]
DAMAGE = ("corrupt", "truncated", "unreadable")  # reasons for which a video is looked at again, tolerantly
_PICTURE_RATE = Fraction(25)


@dataclass(frozen=True)
class Media:
    """One input. `info` holds size, rate and count (pictures: 25 frames a second); `bits` is 8 or 16.

    `damage` says what is wrong with a video that is read tolerantly (svfr.video.tolerant); empty for a sound one.
    """

    path: Path
    kind: Kind
    info: VideoInfo
    bits: int
    pictures: tuple[Path, ...] = ()
    index: PacketIndex | None = None
    damage: str = ""

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Frames `start` to `stop` (exclusive) in order, upright RGB, uint8 or uint16 by `bits`."""
        for shown in self.shown(start, stop):
            yield shown.frame(self.bits)

    def shown(self, start: int = 0, stop: int | None = None) -> Iterator[Shown]:
        """The same frames, not converted to RGB yet."""
        if self.index is not None and self.damage:
            yield from read_tolerant(self.path, self.index, start=start, stop=stop)
            return
        if self.index is not None:
            yield from read_shown(self.path, start=start, stop=stop, index=self.index)
            return
        for number, path in list(enumerate(self.pictures))[start:stop]:
            picture = read_picture(path)
            if picture.shape != (self.info.height, self.info.width, 3):
                raise ItemError("bad_frame", f"{path.name}: its size differs from the first frame's")
            yield Shown(number, number, partial(_convert, picture))

    def tolerated(self, damage: ItemError) -> Media:
        """The same video, read past its damage. Raises `damage` again for a picture, `ItemError` if nothing decodes."""
        if self.kind != "video" or damage.code not in DAMAGE:
            raise damage
        return replace(_video(self.path, strict=False), damage=str(damage))


def open_media(path: Path) -> Media:
    """Looks at `path`; a damaged video of which a frame can be decoded is an input too.

    Raises `ItemError` (missing, unreadable, not_a_video, zero_frames ...) if it is none.
    """
    if path.is_dir():
        return _of_pictures(path, "frames", tuple(sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)))
    if path.suffix.lower() in PICTURES:
        if not path.is_file():
            raise ItemError("missing", f"{path}: no such file")
        return _of_pictures(path, "picture", (path,))
    try:
        return _video(path, strict=True)
    except ItemError as error:
        if error.code not in DAMAGE:
            raise
        try:
            return replace(_video(path, strict=False), damage=str(error))
        except ItemError:
            raise error from None  # the first reason is the better one


def _video(path: Path, *, strict: bool) -> Media:
    info, index = examine(path, strict=strict)
    return Media(path, "video", info, 16 if av.VideoFormat(info.pix_fmt).components[0].bits > 8 else 8, (), index)


def read_picture(path: Path) -> Pixels:
    """A picture file as (H,W,3) uint8 RGB. Raises `ItemError` `unreadable`."""
    try:
        picture = cv2.imdecode(np.frombuffer(path.read_bytes() or b"\0", np.uint8), cv2.IMREAD_COLOR)
    except OSError as error:
        raise ItemError("unreadable", f"{path}: cannot be read ({error.strerror})") from error
    if picture is None:
        raise ItemError("unreadable", f"{path.name}: not a picture that can be read; give PNG or JPEG")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _convert(picture: Pixels, max_side: int | None, bits: int) -> Pixels:
    """A picture file's pixels as `Shown.convert` gives them; 8 bits, whatever is asked for."""
    return shrunk(picture, max_side)


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
