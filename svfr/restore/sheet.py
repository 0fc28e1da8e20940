"""The contact sheet: a few frames of a file, input above result."""

from __future__ import annotations

import cv2
import numpy as np

from svfr.restore.pixels import Pixels, to_8_bits

_COLUMNS = 6
_HEIGHT = 180
_GAP = 4


class ContactSheet:
    """Collects evenly spaced frames out of `frames` and lays them out."""

    def __init__(self, frames: int) -> None:
        self._wanted = set(np.linspace(0, frames - 1, _COLUMNS).round().astype(int).tolist())
        self._columns: list[Pixels] = []

    def add(self, index: int, source: Pixels, result: Pixels) -> None:
        """Takes frame `index` (H,W,3) of the input and of the result, if it is one of the chosen."""
        if index in self._wanted:
            pair = [_small(source), _small(result)]
            gap = np.full((_GAP, pair[0].shape[1], 3), 255, np.uint8)
            self._columns.append(np.concatenate([pair[0], gap, pair[1]]))

    def picture(self) -> Pixels:
        """The sheet (h,w,3) uint8."""
        gap = np.full((self._columns[0].shape[0], _GAP, 3), 255, np.uint8)
        parts = [part for column in self._columns for part in (column, gap)]
        return np.concatenate(parts[:-1], axis=1)


def _small(frame: Pixels) -> Pixels:
    height, width = frame.shape[:2]
    size = max(1, round(width * _HEIGHT / height)), _HEIGHT
    method = cv2.INTER_AREA if height > _HEIGHT else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(to_8_bits(frame), size, interpolation=method), np.uint8)
