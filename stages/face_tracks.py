"""First pass over a video: scenes, face tracks, and the clips they are cut into. Nothing is cropped yet."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import short_id
from svfr.faces.crop import crop_side, smooth_crops, square_crop
from svfr.faces.detect import Detector, Face
from svfr.faces.track import Track, track_faces
from svfr.params import FaceParams
from svfr.quality.cuts import CUT_SIDE, CutDetector
from svfr.tables import CLIPS, Row
from svfr.video.decode import read_shown

Rgb = NDArray[np.uint8]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A stretch of a face track: its table row, what must be measured on pixels still None, and its geometry.

    `boxes` (T,4) are in pixels of the source, `crops` (T,4) normalised: all alike for a static crop.
    """

    row: Row
    boxes: Floats
    crops: Floats

    @property
    def first(self) -> int:
        """Number of its first frame in the video."""
        return int(self.row["start_frame"])

    @property
    def last(self) -> int:
        """Number of its last frame."""
        return self.first + len(self.boxes) - 1


def candidates(path: Path, video: Row, options: FaceParams, detect: Detector) -> Iterator[Candidate]:
    """Every face clip that the video at `path` could give, in order of track and time.

    `video` is the row of the `videos` table. Raises what decoding raises.
    """
    for track in _tracks(path, video, options, detect):
        for start, stop in _spans(len(track.frames), options):
            yield _candidate(video, track, start, stop, options, detect)


def _tracks(path: Path, video: Row, options: FaceParams, detect: Detector) -> list[Track]:
    """Face tracks of every scene, numbered through the video. Detection on key frames and at cuts, tracking between.

    Every frame is converted at the size at which cuts are looked for, those with a detection at the detector's.
    """
    is_cut = CutDetector()
    scenes: list[list[tuple[int, list[Face]]]] = [[]]
    waiting: list[tuple[int, int, Rgb]] = []  # scene, frame number, pixels

    def flush() -> None:
        found = detect([rgb for *_, rgb in waiting], (video["width"], video["height"]))
        for (scene, number, _), faces in zip(waiting, found, strict=True):
            scenes[scene].append((number, faces))
        waiting.clear()

    for frame in read_shown(path):
        cut = is_cut(frame.rgb(CUT_SIDE))
        if cut:
            scenes.append([])
        if cut or frame.index % options.key_every == 0:
            waiting.append((len(scenes) - 1, frame.index, frame.rgb(detect.max_side)))
        if len(waiting) == detect.batch:
            flush()
    if waiting:
        flush()
    tracks = [
        track
        for scene in scenes
        for track in track_faces(scene, max_gap=3 * options.key_every, min_score=options.min_score)
    ]
    return [replace(track, track_id=number) for number, track in enumerate(tracks)]


def _spans(length: int, options: FaceParams) -> list[tuple[int, int]]:
    """Cuts a track of `length` frames into equal clips of at most `max_frames`; at most `max_clips_per_track`."""
    count = -(-length // options.max_frames)
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    return list(pairwise(edges))[: options.max_clips_per_track]


def _candidate(video: Row, track: Track, start: int, stop: int, options: FaceParams, detect: Detector) -> Candidate:
    width, height = video["width"], video["height"]
    boxes, first = track.boxes[start:stop], track.frames[start]
    if options.crop == "smooth":
        crops = smooth_crops(boxes, width, height, options.enlarge)
    else:
        crops = np.tile(square_crop(boxes, width, height, options.enlarge), (len(boxes), 1))
    crop = (*crops[:, :2].min(0).tolist(), *crops[:, 2:].max(0).tolist())
    path = crops.astype(np.float32).tolist() if options.crop == "smooth" else None
    # An id stands for a place, not for the last digits of a detector's arithmetic, which differ between processors.
    corners = [round(value, 4) + 0.0 for value in crop]  # + 0.0: no -0.0
    row: Row = {
        **dict.fromkeys(CLIPS.names),
        "clip_id": short_id([video["sha256"], first, stop - start, options.crop, options.size, corners]),
        "video_id": video["video_id"],
        "start_frame": first,
        "n_frames": stop - start,
        "fps_num": video["fps_num"],
        "fps_den": video["fps_den"],
        "duration": (stop - start) * video["fps_den"] / video["fps_num"],
        "track_id": track.track_id,
        **{f"crop_{name}": value for name, value in zip(("x1", "y1", "x2", "y2"), crop, strict=True)},
        "crop_path": path,
        "detector": detect.name,
        "detector_version": detect.version,
        "face_px": crop_side(tuple(crops[0].tolist()), width, height),
        "face_proportion": float(((boxes[:, 2:] - boxes[:, :2]).prod(1) / (width * height)).mean()),
        "region_overlap": _region_overlap(boxes, video),
        "confidence": track.score,
        "coverage": _coverage(track, start, stop, options.key_every),
    }
    return Candidate(row, boxes, crops)


def _coverage(track: Track, start: int, stop: int, key_every: int) -> float:
    """Share of the key frames of a stretch in which the face was found; 1 where the stretch holds no key frame."""
    seen = track.detected[start:stop]
    keys = [found or number % key_every == 0 for number, found in zip(track.frames[start:stop], seen, strict=True)]
    return sum(seen) / sum(keys) if any(keys) else 1.0


def _region_overlap(boxes: Floats, video: Row) -> float | None:
    """Mean share of the face boxes' area that lies in the region that the source names; None if it names none."""
    if video["region"] is None:
        return None
    region = np.asarray(video["region"]) * np.tile([video["width"], video["height"]], 2)
    sides = np.minimum(boxes[:, 2:], region[2:]) - np.maximum(boxes[:, :2], region[:2])
    return float((np.clip(sides, 0, None).prod(1) / (boxes[:, 2:] - boxes[:, :2]).prod(1)).mean())
