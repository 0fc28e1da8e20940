"""Which tracks show the same person: a face that leaves and returns is restored from the same reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from svfr.faces.embed import distance
from svfr.restore.media import Media
from svfr.restore.model import Restorer
from svfr.restore.pixels import to_8_bits
from svfr.restore.scan import Region

Vector = NDArray[np.float32]

# Blurred faces of two people look more alike than sharp ones, and a mixed-up person is worse than one who gets a
# reference of his own twice: the embedder's own threshold is tightened by this factor (ours).
CAUTION = 0.75


def link_persons(media: Media, regions: Sequence[Region], restorer: Restorer) -> tuple[Region, ...]:
    """The regions with `person` set: 0, 1, ... in order of first appearance."""
    if len(regions) < 2:
        return tuple(regions)
    vectors = [embedding(media, region, restorer) for region in regions]
    persons = group(regions, vectors, CAUTION * restorer.network.embedder.same_person)
    return tuple(replace(region, person=person) for region, person in zip(regions, persons, strict=True))


def embedding(media: Media, region: Region, restorer: Restorer) -> Vector:
    """The identity embedding of a region's clearest face, as it is in the input."""
    frame = next(media.read(region.best, region.best + 1))
    return restorer.embed(to_8_bits(frame.rgb), region.face(region.best))


def group(regions: Sequence[Region], vectors: Sequence[Vector], limit: float) -> list[int]:
    """Numbers of persons: complete linkage, so all faces of a person lie within `limit` of each other.

    Regions that share a frame are never the same person. The closest pair of groups is joined first.
    """
    groups = [[i] for i in range(len(regions))]

    def gap(a: list[int], b: list[int]) -> float:
        pairs = [(i, j) for i in a for j in b]
        if any(max(regions[i].start, regions[j].start) < min(regions[i].stop, regions[j].stop) for i, j in pairs):
            return np.inf
        return max(distance(vectors[i], vectors[j]) for i, j in pairs)

    while True:
        gaps = {(x, y): gap(groups[x], groups[y]) for y in range(len(groups)) for x in range(y)}
        best = min(gaps, key=lambda pair: (gaps[pair], pair), default=None)
        if best is None or gaps[best] > limit:
            break
        groups[best[0]] += groups.pop(best[1])
    groups.sort(key=min)
    return [next(number for number, members in enumerate(groups) if i in members) for i in range(len(regions))]
