"""First pass over a file: where each face is in every frame, and the crop that follows it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import write_json
from svfr.faces.crop import crop_side, frame_to_crop, smooth_crops, square_crop, transform
from svfr.faces.detect import Detector, Face
from svfr.faces.geometry import Box
from svfr.faces.track import Track, track_faces
from svfr.params import RestoreOptions
from svfr.quality.cuts import CUT_SIDE, CutDetector
from svfr.restore.grey import Chroma
from svfr.restore.media import Media
from svfr.restore.pixels import Pixels
from svfr.video.decode import Shown
from svfr.video.probe import VideoInfo

Floats = NDArray[np.float64]
Advance = Callable[[int], None]

_STATIC = 1.5  # a crop stands still while that makes it at most this much larger than one that follows the face
_SMOOTH_SECONDS = 0.3


@dataclass(frozen=True)
class Region:
    """What is restored as one clip: frames `start` to `start + len(crops)`, with a normalised square for each.

    `faces` are the face boxes (T,4) in pixels of the frame; `best` is the frame whose detection is the clearest, and
    `clarity` how clear it is. Regions with the same `person` show one face that left and came back. Over `fade_in`
    and `fade_out` frames the region appears and vanishes, where it does so within a shot.
    """

    region_id: int
    start: int
    crops: Floats
    faces: Floats
    best: int
    clarity: float = 0.0
    person: int = 0
    fade_in: int = 0
    fade_out: int = 0

    @property
    def stop(self) -> int:
        """One past the last frame."""
        return self.start + len(self.crops)

    def crop(self, frame: int) -> Box:
        """The normalised crop of a frame of the video."""
        x1, y1, x2, y2 = self.crops[frame - self.start].tolist()
        return x1, y1, x2, y2

    def opacity(self, frame: int) -> float:
        """How strongly a frame's crop is to be pasted, 0..1: linear over the first and last frames."""
        rising = (frame - self.start + 1) / (self.fade_in + 1)
        return min(1.0, rising, (self.stop - frame) / (self.fade_out + 1))

    def face(self, frame: int) -> Box:
        """The face box of a frame in its pixels."""
        x1, y1, x2, y2 = self.faces[frame - self.start].tolist()
        return x1, y1, x2, y2

    def face_in_crop(self, frame: int, width: int, height: int, size: int) -> Box:
        """The face box of a frame in pixels of its crop of `size`."""
        affine = frame_to_crop(self.crop(frame), width, height, size)
        (left, top), (right, bottom) = transform(self.faces[frame - self.start].reshape(2, 2), affine).tolist()
        return left, top, right, bottom


@dataclass(frozen=True)
class Scan:
    """The result of the first pass.

    `frames` were read, `damaged` of them are concealed or repeated ones (svfr.video.tolerant); `faces` counts
    detections on the key frames, `small` the tracks that were left out; `grey`: the frames have no colour.
    """

    frames: int
    faces: int
    small: int
    regions: tuple[Region, ...]
    grey: bool = False
    damaged: int = 0


def scan(media: Media, detector: Detector | None, options: RestoreOptions, frames: int, advance: Advance) -> Scan:
    """Detects on key frames, tracks within each shot, and lays out a crop for every frame; at most `frames` are read.

    Key frames are every `key_every`-th one, the first of each shot and the last of all. Frames are read once, converted
    no larger than the detector takes them on key frames, than cuts are looked for at on others, and not kept.
    A detection holds for the frames around it, half way to the next key frame or up to the end of the shot. Without a
    detector the picture itself is the one region, squashed to the network's square as the released code does without a
    crop.
    """
    sight = _Sight(media, options.key_every, frames, detector.max_side if detector else CUT_SIDE)
    size = media.info.width, media.info.height
    detections: list[tuple[int, list[Face]]] = []
    for numbers, pictures in sight.key_frames(detector.batch if detector else 1, advance):
        if detector:
            detections += zip(numbers, detector(pictures, size), strict=True)
    if detector is None:
        return replace(whole_frame(media, sight.frames), grey=sight.chroma.grey, damaged=sight.damaged)
    faces = sum(face.score >= options.min_score for _, found in detections for face in found)
    regions = []
    for shot in pairwise([0, *sight.cuts, sight.frames]):
        seen = [(number, found) for number, found in detections if shot[0] <= number < shot[1]]
        # a face on one key frame only is taken for a mistake, unless there was no other chance to see it
        tracks = track_faces(
            seen, max_gap=3 * options.key_every, min_score=options.min_score, min_frames=min(2, len(seen))
        )
        regions += [_region(track, seen, shot, media.info, options) for track in tracks]
    large = [r for r in regions if crop_side(r.crop(r.start), media.info.width, media.info.height) >= options.min_face]
    numbered = tuple(replace(r, region_id=i, person=i) for i, r in enumerate(large))
    return Scan(sight.frames, faces, len(regions) - len(large), numbered, sight.chroma.grey, sight.damaged)


def whole_frame(media: Media, frames: int) -> Scan:
    """One region, the picture itself, for all frames."""
    corners = np.array([[0.0, 0.0, media.info.width, media.info.height]])
    region = Region(0, 0, np.tile([0.0, 0.0, 1.0, 1.0], (frames, 1)), np.repeat(corners, frames, axis=0), 0)
    return Scan(frames, 0, 0, (region,))


def save_scan(path: Path, result: Scan) -> None:
    """Writes a scan as JSON, atomically; numbers survive exactly."""
    regions = [{**vars(r), "crops": r.crops.tolist(), "faces": r.faces.tolist()} for r in result.regions]
    write_json(path, {**vars(result), "regions": regions})


def load_scan(path: Path) -> Scan:
    """Reads what `save_scan` wrote."""
    stored: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    regions = [Region(**{**r, "crops": np.array(r["crops"]), "faces": np.array(r["faces"])}) for r in stored["regions"]]
    return Scan(**{**stored, "regions": tuple(regions)})


class _Sight:
    """One look at every frame: `frames` read, the `cuts` (first frames of new shots), the `chroma`, the `damaged`."""

    def __init__(self, media: Media, every: int, limit: int, max_side: int) -> None:
        self.frames = self.damaged = 0
        self.cuts: list[int] = []
        self.chroma = Chroma()
        self._media, self._every, self._limit, self._max_side = media, every, limit, max_side
        self._cut = CutDetector()

    def key_frames(self, batch: int, advance: Advance) -> Iterator[tuple[list[int], list[Pixels]]]:
        """Batches of key frames with their numbers, at most `max_side` large."""
        numbers: list[int] = []
        pictures: list[Pixels] = []
        last: Shown | None = None
        for frame in self._media.shown(stop=self._limit):
            advance(1)
            self.frames, self.damaged = frame.index + 1, self.damaged + frame.damaged
            cut = self._cut(frame.rgb(CUT_SIDE)) and frame.index > 0
            if cut:
                self.cuts.append(frame.index)
            last = frame
            if frame.index % self._every == 0 or cut:
                numbers.append(frame.index)
                pictures.append(frame.rgb(self._max_side))
                self.chroma.add(pictures[-1])
                last = None
            if len(numbers) == batch:
                yield numbers, pictures
                numbers, pictures = [], []
        if last is not None:
            numbers.append(last.index)
            pictures.append(last.rgb(self._max_side))
        if numbers:
            yield numbers, pictures


def _region(
    track: Track,
    detections: list[tuple[int, list[Face]]],
    shot: tuple[int, int],
    info: VideoInfo,
    options: RestoreOptions,
) -> Region:
    """A track, widened by half a key interval on both sides within its shot, with its crops."""
    width, height = info.width, info.height
    left = shot[1] - 1 - track.frames[-1]
    before = min(options.key_every // 2, track.frames[0] - shot[0])
    after = left if left < options.key_every else options.key_every // 2
    faces = np.pad(track.boxes, ((before, after), (0, 0)), mode="edge")
    static = square_crop(faces, width, height, options.enlarge)
    moving = smooth_crops(faces, width, height, options.enlarge, max(_SMOOTH_SECONDS * float(info.fps), 1.0))
    still = crop_side(static, width, height) <= _STATIC * crop_side(tuple(moving[0]), width, height)
    crops = np.tile(np.array(static), (len(faces), 1)) if still else moving
    best, clarity = _best_frame(track, detections)
    start = track.frames[0] - before
    fades = {"fade_in": before if start > shot[0] else 0, "fade_out": after if start + len(faces) < shot[1] else 0}
    return Region(track.track_id, start, crops, faces, best, clarity, **fades)


def _best_frame(track: Track, detections: list[tuple[int, list[Face]]]) -> tuple[int, float]:
    """The key frame of the track with the highest score x face side, large and clearly a face; and that product."""
    scores = {}
    for number, found in detections:
        if track.frames[0] <= number <= track.frames[-1]:
            box = track.boxes[number - track.frames[0]]
            own = [face.score for face in found if np.allclose(face.box, box)]
            if own:
                scores[number] = max(own) * float(box[2] - box[0])
    best = max(scores, key=lambda number: (scores[number], -number))
    return best, scores[best]
