"""What is measured of a region while it is pasted: steadiness in time, and how much of the person was kept."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.faces.crop import extract
from svfr.faces.embed import distance
from svfr.restore.model import Restorer
from svfr.restore.pixels import Pixels, to_8_bits
from svfr.restore.scan import Region

_IDENTITY_SAMPLES = 5  # frames of a region whose embeddings are compared


class RegionMeasure:
    """Compares the restored crops of one region with the input's, frame by frame, in bounded memory."""

    def __init__(self, region: Region, restorer: Restorer, faces: bool) -> None:
        self.region, self.restorer = region, restorer
        self._restored_change = 0.0
        self._input_change = 0.0
        self._before: tuple[NDArray[np.float32], NDArray[np.float32]] | None = None
        picks = np.linspace(region.start, region.stop - 1, _IDENTITY_SAMPLES).round().astype(int)
        self._sampled = set(picks.tolist()) if faces else set()
        self.distances: list[float] = []

    def add(self, index: int, frame: Pixels, crop_SS3: Pixels) -> None:
        """Takes frame `index` of the input and its restored crop (S,S,3)."""
        source = extract(to_8_bits(frame), self.region.crop(index), crop_SS3.shape[0])
        restored = to_8_bits(crop_SS3)
        now = _luma(source), _luma(restored)
        if self._before is not None:
            self._input_change += float(cv2.absdiff(now[0], self._before[0]).mean())
            self._restored_change += float(cv2.absdiff(now[1], self._before[1]).mean())
        self._before = now
        if index in self._sampled:
            height, width = frame.shape[:2]
            face = self.region.face_in_crop(index, width, height, crop_SS3.shape[0])
            self.distances.append(distance(self.restorer.embed(source, face), self.restorer.embed(restored, face)))

    @property
    def changes(self) -> tuple[float, float]:
        """Sums over frames of the mean absolute luma difference to the frame before: restored, input."""
        return self._restored_change, self._input_change


def _luma(rgb_HW3: Pixels) -> NDArray[np.float32]:
    return np.asarray(cv2.cvtColor(rgb_HW3.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)


def unsteadiness(measures: list[RegionMeasure]) -> float | None:
    """sum |R_t - R_(t-1)| / sum |S_t - S_(t-1)| over all crops (ours): 1 changes as much as the input, more flickers.

    None where the input does not move at all.
    """
    restored = math.fsum(m.changes[0] for m in measures)
    source = math.fsum(m.changes[1] for m in measures)
    return restored / source if source > 0 else None


def identity_distance(measures: list[RegionMeasure]) -> float | None:
    """Mean distance (svfr.faces.embed) between the embeddings of input and restored faces; None without faces."""
    distances = [value for m in measures for value in m.distances]
    return float(np.mean(distances)) if distances else None
