"""Links detections into tracks: intersection over union, the Hungarian assignment, and interpolation between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from svfr.faces.detect import Face
from svfr.faces.geometry import Box

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Track:
    """One face through time: consecutive frame numbers, and a box (x1,y1,x2,y2) in pixels for each.

    `frames` runs without holes from the first to the last detection; boxes of frames between two detections are
    interpolated. `detected` marks the frames that have a detection of their own; `score` is their mean score.
    """

    track_id: int
    frames: tuple[int, ...]
    boxes: Floats
    detected: tuple[bool, ...]
    score: float


@dataclass
class _Open:
    frames: list[int]
    faces: list[Face]


def iou_matrix(a: Sequence[Box] | Floats, b: Sequence[Box] | Floats) -> Floats:
    """Intersection over union, (len(a), len(b)) in 0..1, of boxes (x1,y1,x2,y2)."""
    p, q = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    size = np.minimum(p[..., 2:], q[..., 2:]) - np.maximum(p[..., :2], q[..., :2])
    overlap = np.clip(size, 0, None).prod(-1)
    union = (p[..., 2:] - p[..., :2]).prod(-1) + (q[..., 2:] - q[..., :2]).prod(-1) - overlap
    iou: Floats = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return iou


def track_faces(
    detections: Sequence[tuple[int, list[Face]]],
    *,
    min_iou: float = 0.3,
    max_gap: int = 12,
    min_score: float = 0.0,
    min_frames: int = 1,
) -> list[Track]:
    """Tracks from `detections`: (frame number, faces) of the key frames that were looked at, in ascending order.

    Two detections belong together when their boxes overlap by at least `min_iou` in the assignment that makes the sum
    of overlaps largest. A track survives `max_gap` frames without a detection and is then closed; tracks that span
    fewer than `min_frames` frames are dropped. Faces below `min_score` are ignored. Tracks are numbered by their
    first frame, then from left to right, whatever the order of faces within a frame.
    """
    alive: list[_Open] = []
    closed: list[_Open] = []
    for number, faces in detections:
        closed += [track for track in alive if number - track.frames[-1] > max_gap]
        alive = [track for track in alive if number - track.frames[-1] <= max_gap]
        good = sorted((face for face in faces if face.score >= min_score), key=lambda face: face.box)
        overlap = iou_matrix([track.faces[-1].box for track in alive], [face.box for face in good])
        rows, columns = linear_sum_assignment(overlap, maximize=True)
        taken = set()
        for row, column in zip(rows, columns, strict=True):
            if overlap[row, column] >= min_iou:
                alive[row].frames.append(number)
                alive[row].faces.append(good[column])
                taken.add(int(column))
        alive += [_Open([number], [face]) for i, face in enumerate(good) if i not in taken]
    spans = [t for t in closed + alive if t.frames[-1] - t.frames[0] + 1 >= min_frames]
    spans.sort(key=lambda t: (t.frames[0], t.faces[0].box))
    return [_close(number, track) for number, track in enumerate(spans)]


def _close(track_id: int, track: _Open) -> Track:
    frames = np.arange(track.frames[0], track.frames[-1] + 1)
    corners = np.array([face.box for face in track.faces])
    boxes = np.stack([np.interp(frames, track.frames, corners[:, i]) for i in range(4)], axis=1)
    seen = set(track.frames)
    score = float(np.mean([face.score for face in track.faces]))
    return Track(track_id, tuple(frames.tolist()), boxes, tuple(f in seen for f in frames.tolist()), score)
