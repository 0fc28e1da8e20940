"""Second pass: restores a region in segments, each a file, so that a killed run goes on where it stopped.

A segment depends on nothing but its own frames and the region's reference. It runs `overlap` frames into the next
one, and the two versions of those frames are cross-faded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svfr.artifacts import atomic_write
from svfr.diffusion.selfref import Quality, choose_anchor, sharpness
from svfr.errors import ItemError
from svfr.faces.crop import extract
from svfr.params import RestoreOptions
from svfr.restore.masks import Mask
from svfr.restore.media import Media, Pixels, to_8_bits
from svfr.restore.model import Restorer, as_pixels, as_tensor
from svfr.restore.preserve import fill_holes, grey
from svfr.restore.reference import reference_photo
from svfr.restore.scan import Region

Advance = Callable[[int], None]


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
    """The restored crops of one region on disk: (frames,S,S,3) in one `.npy` file a segment."""

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


class RegionRestorer:
    """Restores one region of a file into its store."""

    def __init__(
        self, media: Media, region: Region, restorer: Restorer, options: RestoreOptions, mask: Mask | None
    ) -> None:
        self.media, self.region, self.restorer, self.options, self.mask = media, region, restorer, options, mask

    def crops(self, start: int, stop: int) -> Iterator[Tensor]:
        """What the network is shown of frames `start` to `stop`: (1,3,S,S) each."""
        masks = self.mask.read(start, stop) if self.mask else None
        for frame in self.media.read(start, stop):
            box = self.region.crop(frame.index)
            crop = extract(to_8_bits(frame.rgb), box, self.restorer.size)
            if "color" in self.options.tasks:
                crop = grey(crop)
            if masks is not None:
                hole = (next(masks) * 255).astype(np.uint8)
                hole_SS3 = extract(np.repeat(hole[..., None], 3, axis=2), box, self.restorer.size)
                crop = fill_holes(crop, np.asarray(hole_SS3[..., 0] / 255, np.float32))
            yield as_tensor(crop)[None]

    def __call__(self, store: RegionStore, advance: Advance) -> None:
        """Restores every segment that is not in the store yet."""
        todo = [i for i in range(len(store.segments)) if not store.path(i).exists()]
        for index, segment in enumerate(store.segments):
            if index not in todo:
                advance(segment.owned - segment.start)
        if not todo:
            return
        reference, tokens = self._reference(store.folder / "reference.npz")
        for index in todo:
            self._segment(store, index, reference, tokens)
            advance(store.segments[index].owned - store.segments[index].start)

    def _segment(self, store: RegionStore, index: int, reference: Tensor | None, tokens: Tensor | None) -> None:
        segment = store.segments[index]
        parts = self.restorer.sampler.stream(
            self.crops(segment.start, segment.stop),
            reference=reference,
            id_tokens=tokens,
            steps=self.options.steps,
            **self._sampling(),
        )
        bits = self.media.bits
        frames = np.stack([as_pixels(frame, bits) for part in parts for frame in part.frames])
        if len(frames) != segment.stop - segment.start:
            raise ItemError("truncated", f"{self.media.path.name}: ends within frames {segment.start}-{segment.stop}")
        store.write(index, frames)

    def _reference(self, path: Path) -> tuple[Tensor | None, Tensor | None]:
        """The region's reference picture (3,S,S) and its identity tokens; the first pass's result is kept in `path`."""
        size = self.restorer.size
        if self.options.reference and self.restorer.refers:
            detector = self.restorer.detector(self.options)
            photo, face = reference_photo(Path(self.options.reference), detector, self.options.enlarge, size)
            return as_tensor(photo), self.restorer.tokens(as_tensor(photo), face)
        if not self.options.self_refer or not self.restorer.refers:
            return None, None
        if not path.exists():
            first, last = self._window()
            lq = torch.cat(list(self.crops(first, last)))
            steps = self.options.reference_steps or self.options.steps
            quality = self._quality(first, last)
            anchor = choose_anchor(self.restorer.sampler, lq, quality=quality, steps=steps, **self._sampling())
            with atomic_write(path) as temporary:
                np.savez(temporary, reference=anchor.reference.clamp(-1, 1).numpy(), frame=first + anchor.frame)
        with np.load(path, allow_pickle=False) as stored:
            reference, frame = torch.from_numpy(stored["reference"]), int(stored["frame"])
        face = self.region.face_in_crop(frame, self.media.info.width, self.media.info.height, size)
        return reference, self.restorer.tokens(reference, face)

    def _quality(self, first: int, last: int) -> Quality:
        """What makes a frame of `first` to `last` a good reference: its face, or sharpness if none was looked for."""
        if self.options.region == "frame":
            return sharpness
        width, height, size = self.media.info.width, self.media.info.height, self.restorer.size
        faces = [self.region.face_in_crop(frame, width, height, size) for frame in range(first, last)]
        return lambda frames_K3SS: self.restorer.reference_scores(frames_K3SS, faces)

    def _window(self) -> tuple[int, int]:
        """One window of frames around the clearest detection."""
        window = self.restorer.window
        first = max(self.region.start, min(self.region.best - window // 2, self.region.stop - window))
        return first, min(first + window, self.region.stop)

    def _sampling(self) -> dict[str, Any]:
        window = self.restorer.window
        return {
            "task": tuple(self.options.tasks),
            "guidance": (self.options.guidance, self.options.guidance),
            "window": window,
            "overlap": self.restorer.overlap(self.options),
            "decode_chunk": window,
            "seed": self.options.seed,
        }
