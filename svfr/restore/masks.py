"""The holes to fill: a box, a picture or a video, in source coordinates, of any size and grey level."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError
from svfr.restore.media import Media, open_media
from svfr.restore.pixels import Pixels, to_8_bits
from svfr.restore.preserve import luma

Floats = NDArray[np.float32]


class Mask:
    """Weights (H,W) in 0..1 for every frame of a video, 1 where the picture is unknown.

    `spec` is `box:x1,y1,x2,y2` in pixels, or a file: white is hole, grey is partly hole. Another size than the video's
    is stretched to it, another aspect ratio refused. A mask video that is shorter keeps its last frame.
    Raises `UserError` for a mask that cannot be read or does not fit.
    """

    def __init__(self, spec: str, source: Media) -> None:
        self._size = source.info.width, source.info.height
        self._still: Floats | None = None
        self._media: Media | None = None
        if spec.startswith("box:"):
            self._still = _box(spec, *self._size)
            return
        media = open_media(Path(spec))
        width, height = media.info.width, media.info.height
        if abs(width / height - self._size[0] / self._size[1]) > 0.02 * width / height:
            raise UserError(
                f"mask {spec} is {width} x {height}, {source.path.name} is {self._size[0]} x {self._size[1]}: "
                "draw it on a frame of the video"
            )
        if media.info.n_frames == 1:
            self._still = self._weights(next(media.read()).rgb)
        else:
            self._media = media

    def read(self, start: int, stop: int) -> Iterator[Floats]:
        """The masks of frames `start` to `stop`."""
        if self._media is None:
            assert self._still is not None
            for _ in range(start, stop):
                yield self._still
            return
        last = self._media.info.n_frames - 1
        mask: Floats | None = None
        frames = self._media.read(min(start, last), min(stop, last + 1))
        for _ in range(start, stop):
            frame = next(frames, None)
            mask = self._weights(frame.rgb) if frame is not None else mask
            assert mask is not None
            yield mask

    def _weights(self, rgb: Pixels) -> Floats:
        grey = luma(to_8_bits(rgb).astype(np.float32))[..., 0] / np.float32(255)
        if (grey.shape[1], grey.shape[0]) == self._size:
            return grey
        return np.asarray(cv2.resize(grey, self._size, interpolation=cv2.INTER_LINEAR), np.float32)


def _box(spec: str, width: int, height: int) -> Floats:
    try:
        x1, y1, x2, y2 = (int(value) for value in spec.removeprefix("box:").split(","))
    except ValueError:
        raise UserError(f"mask '{spec}' is not of the form box:x1,y1,x2,y2 with whole pixels") from None
    if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
        raise UserError(f"mask '{spec}' does not lie within the frame of {width} x {height}")
    mask = np.zeros((height, width), np.float32)
    mask[y1:y2, x1:x2] = 1
    return mask
