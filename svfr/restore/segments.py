"""Second pass: restores a region in segments, each a file, so that a killed run goes on where it stopped.

A segment depends on nothing but its own frames and the person's reference. It runs `overlap` frames into the next one,
and the two versions of those frames are cross-faded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from svfr.errors import ItemError
from svfr.faces.crop import extract
from svfr.faces.embed import distance
from svfr.params import RestoreOptions
from svfr.restore.anchors import Reference, face_at, quality_of
from svfr.restore.clock import Clock
from svfr.restore.masks import Mask
from svfr.restore.media import Media
from svfr.restore.memory import Splits
from svfr.restore.model import Restorer
from svfr.restore.network import Anchor, Quality
from svfr.restore.pixels import Pixels, as_pixels, as_tensor, to_8_bits
from svfr.restore.preserve import fill_holes, grey
from svfr.restore.scan import Region
from svfr.restore.store import RegionStore, Segment

Advance = Callable[[int], None]
_DRIFT_SAMPLES = 5  # frames of a segment whose faces are compared with the reference


@dataclass(frozen=True)
class RegionRestorer:
    """Restores regions of one file into their stores."""

    media: Media
    restorer: Restorer
    options: RestoreOptions
    mask: Mask | None
    splits: Splits
    clock: Clock

    def __call__(self, region: Region, store: RegionStore, reference: Reference | None, advance: Advance) -> None:
        """Restores every segment that is not in the store yet."""
        feed = _Feed(lambda start: self.crops(region, start, region.stop))
        for index, segment in enumerate(store.segments):
            if not store.path(index).exists():
                frames = self._segment(segment, feed, reference.anchor if reference else None)
                if reference is not None and self._drifted(region, segment, frames, reference):
                    frames = self._segment(segment, feed, self._renewed(region, segment))
                store.write(index, frames)
            advance(segment.owned - segment.start)

    def crops(self, region: Region, start: int, stop: int) -> Iterator[Tensor]:
        """What the network is shown of frames `start` to `stop`: (1,3,S,S) each."""
        masks = self.mask.read(start, stop) if self.mask else None
        for frame in self.media.read(start, stop):
            box = region.crop(frame.index)
            crop = extract(to_8_bits(frame.rgb), box, self.restorer.size)
            if "color" in self.options.tasks:
                crop = grey(crop)
            if masks is not None:
                hole = (next(masks) * 255).astype(np.uint8)
                hole_SS3 = extract(np.repeat(hole[..., None], 3, axis=2), box, self.restorer.size)
                crop = fill_holes(crop, np.asarray(hole_SS3[..., 0] / 255, np.float32))
            yield as_tensor(crop)[None]

    def choose_anchor(self, region: Region, first: int, last: int, quality: Quality) -> Anchor:
        """The best of frames `first` to `last`, restored without a reference; its frame counts from `first`."""
        lq_K3SS = torch.cat(list(self.crops(region, first, last)))
        network = self.restorer.network
        with self.clock.running():
            return self.splits(lambda count: network.choose_anchor(lq_K3SS, quality, self.options, count))

    def _segment(self, segment: Segment, feed: _Feed, anchor: Anchor | None) -> Pixels:
        # one array for the segment: a list of frames would lie among what the network frees, and hold it
        shape = (segment.stop - segment.start, self.restorer.size, self.restorer.size, 3)
        frames_TSS3 = np.empty(shape, np.uint8 if self.media.bits == 8 else np.uint16)

        def work(count: int) -> int:
            crops = self.clock.waiting(feed.take(segment.start, segment.stop))
            done = 0
            for part in self.restorer.network.restore(crops, anchor, self.options, count):
                for frame in part:
                    frames_TSS3[done] = as_pixels(frame, self.media.bits)
                    done += 1
            return done

        with self.clock.running():
            done = self.splits(work)
        if done != len(frames_TSS3):
            raise ItemError("truncated", f"{self.media.path.name}: ends within frames {segment.start}-{segment.stop}")
        return frames_TSS3

    def _drifted(self, region: Region, segment: Segment, frames_TSS3: Pixels, reference: Reference) -> bool:
        """Whether the segment's faces are on average further than `drift_limit` from the reference's face.

        A photo is not left, and a whole picture has no face to compare.
        """
        if not self.options.drift_limit or reference.anchor.frame < 0 or self.options.region == "frame":
            return False
        picks = np.unique(np.linspace(segment.start, segment.stop - 1, _DRIFT_SAMPLES).round().astype(int))
        faces = [face_at(region, int(frame), self.restorer, self.media) for frame in picks]
        pictures = [to_8_bits(frames_TSS3[frame - segment.start]) for frame in picks]
        own = self.restorer.embed(as_pixels(reference.anchor.reference), reference.face)
        gaps = [distance(own, self.restorer.embed(rgb, face)) for rgb, face in zip(pictures, faces, strict=True)]
        return float(np.mean(gaps)) > self.options.drift_limit

    def _renewed(self, region: Region, segment: Segment) -> Anchor:
        """A reference of the segment's own, from its first window."""
        last = min(segment.start + self.restorer.window, segment.stop)
        quality = quality_of(region, segment.start, last, self.restorer, self.media, self.options)
        anchor = self.choose_anchor(region, segment.start, last, quality)
        face = face_at(region, segment.start + anchor.frame, self.restorer, self.media)
        return self.restorer.with_tokens(anchor, face)


class _Feed:
    """Crops of segments one after the other out of one pass over the file; what two segments share is kept."""

    def __init__(self, read: Callable[[int], Iterator[Tensor]]) -> None:
        self._read = read
        self._crops: Iterator[Tensor] = iter(())
        self._next = -1  # number of the next crop that `_crops` gives
        self._kept: dict[int, Tensor] = {}

    def take(self, start: int, stop: int) -> Iterator[Tensor]:
        """Crops `start` to `stop`. Any earlier one that is asked for again means a new pass, from there on."""
        kept, self._kept = self._kept, {}
        if not (start in kept or start == self._next):
            kept, self._crops, self._next = {}, self._read(start), start
        for number in range(start, stop):
            crop = kept.get(number)
            if crop is None:
                crop = next(self._crops, None)
                if crop is None:
                    return
                self._next = number + 1
            self._kept[number] = crop
            if len(self._kept) > _SHARED:
                del self._kept[min(self._kept)]
            yield crop


_SHARED = 16  # crops kept; at most so many frames of a segment belong to the next one as well
