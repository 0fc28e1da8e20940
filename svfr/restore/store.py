"""The restored crops of a region on disk, in segments: the points at which a killed run goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import atomic_write
from svfr.restore.pixels import Pixels


@dataclass(frozen=True)
class Segment:
    """Frames `start` to `stop` of the video, of which those from `owned` on belong to the next segment as well."""

    start: int
    owned: int
    stop: int


def plan_segments(start: int, stop: int, length: int, overlap: int, window: int) -> list[Segment]:
    """Segments of `length` frames that cover `start` to `stop`; one that would be shorter than `window` is joined."""
    starts = list(range(start, stop, length))
    if len(starts) > 1 and stop - starts[-1] < window:
        starts.pop()
    ends = [*starts[1:], stop]
    return [Segment(a, b, min(b + overlap, stop)) for a, b in zip(starts, ends, strict=True)]


class RegionStore:
    """The restored crops of one region: (frames,S,S,3) in one `.npy` file a segment."""

    def __init__(self, folder: Path, segments: list[Segment]) -> None:
        self.folder, self.segments = folder, segments

    def path(self, index: int) -> Path:
        """The file of segment `index`."""
        return self.folder / f"{index:06d}.npy"

    def write(self, index: int, frames_TSS3: Pixels) -> None:
        """Stores a finished segment, atomically."""
        with atomic_write(self.path(index)) as temporary:
            np.save(temporary, frames_TSS3)

    def read(self) -> Iterator[Pixels]:
        """The region's crops in order; frames that two segments share are blended linearly from one to the other."""
        tail: NDArray[np.float64] = np.empty(0)
        for index, segment in enumerate(self.segments):
            frames = np.load(self.path(index), mmap_mode="r")
            for k in range(segment.owned - segment.start):
                if k < len(tail):
                    share = (k + 1) / (len(tail) + 1)
                    mixed = (1 - share) * tail[k] + share * frames[k]
                    yield np.rint(mixed).astype(frames.dtype)
                else:
                    yield np.array(frames[k])
            tail = np.array(frames[segment.owned - segment.start :], np.float64)
