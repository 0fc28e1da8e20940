"""What the faces stage does with one video: scenes, tracks, crops, and every number that a filter decides on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svfr.artifacts import short_id
from svfr.errors import ItemError
from svfr.faces.crop import crop_side, extract, square_crop
from svfr.faces.detect import Detector, Face
from svfr.faces.embed import Embedder
from svfr.faces.geometry import Box
from svfr.faces.landmarks import Landmarker, five_points
from svfr.faces.track import Track, track_faces
from svfr.params import FaceParams
from svfr.quality.blur import laplacian_variance
from svfr.quality.cuts import CutDetector
from svfr.quality.motion import motion_intensity
from svfr.quality.side import side_ratio
from svfr.quality.text import TextDetector
from svfr.tables import Row
from svfr.video.clip import encode_clip
from svfr.video.decode import Frame, read_frames

_IDENTITY_FRAMES = 3  # embedded per clip, evenly spread
_TEXT_SIDE = 320  # pixels of the crop that text is looked for on


@dataclass(frozen=True)
class Tools:
    """Networks, loaded once a worker."""

    detect: Detector
    landmarks: Landmarker
    embed: Embedder
    text: TextDetector


@dataclass(frozen=True)
class Clip:
    """One face clip: its table row without the place in a shard, and its encoded crop (empty if it was rejected)."""

    row: Row
    media: bytes


def face_clips(path: Path, video: Row, options: FaceParams, tools: Tools) -> Iterator[Clip]:
    """Yields every candidate clip of the video at `path`, kept or rejected, in order of time.

    `video` is the row of the `videos` table. Raises `ItemError`: `no_face`, or what decoding raises.
    """
    tracks = _tracks(path, options, tools.detect)
    if not tracks:
        raise ItemError("no_face", f"no face was found in {video['n_frames']} frames")
    for track in tracks:
        for start, stop in _spans(len(track.frames), options):
            yield _clip(path, video, track, start, stop, options, tools)


def _tracks(path: Path, options: FaceParams, detect: Detector) -> list[Track]:
    """Face tracks of every scene, numbered through the video. Detection on key frames and at cuts, tracking between."""
    is_cut = CutDetector()
    scenes: list[list[tuple[int, list[Face]]]] = [[]]
    waiting: list[tuple[int, Frame]] = []

    def flush() -> None:
        for (scene, frame), faces in zip(waiting, detect([frame.rgb for _, frame in waiting]), strict=True):
            scenes[scene].append((frame.index, faces))
        waiting.clear()

    for frame in read_frames(path):
        cut = is_cut(frame.rgb)
        if cut:
            scenes.append([])
        if cut or frame.index % options.key_every == 0:
            waiting.append((len(scenes) - 1, frame))
        if len(waiting) == detect.batch:
            flush()
    if waiting:
        flush()
    tracks = [
        track
        for scene in scenes
        for track in track_faces(scene, max_gap=3 * options.key_every, min_score=options.min_score)
    ]
    return [Track(number, t.frames, t.boxes, t.detected, t.score) for number, t in enumerate(tracks)]


def _spans(length: int, options: FaceParams) -> list[tuple[int, int]]:
    """Cuts a track of `length` frames into equal clips of at most `max_frames`; at most `max_clips_per_track`."""
    count = -(-length // options.max_frames)
    edges = np.linspace(0, length, count + 1).round().astype(int).tolist()
    return list(pairwise(edges))[: options.max_clips_per_track]


def _clip(path: Path, video: Row, track: Track, start: int, stop: int, options: FaceParams, tools: Tools) -> Clip:
    width, height = video["width"], video["height"]
    boxes = track.boxes[start:stop]
    crop = square_crop(boxes, width, height, options.enlarge)
    first = track.frames[start]
    place = {"start_frame": first, "n_frames": stop - start, "crop": [round(v, 6) for v in crop], "size": options.size}
    area = float(((boxes[:, 2:] - boxes[:, :2]).prod(1) / (width * height)).mean())
    row: Row = {
        "clip_id": short_id([video["sha256"], place]),
        "video_id": video["video_id"],
        "start_frame": first,
        "n_frames": stop - start,
        "fps_num": video["fps_num"],
        "fps_den": video["fps_den"],
        "track_id": track.track_id,
        **{f"crop_{name}": value for name, value in zip(("x1", "y1", "x2", "y2"), crop, strict=True)},
        "detector": tools.detect.name,
        "detector_version": tools.detect.version,
        "landmarker": f"{tools.landmarks.name} ({tools.landmarks.version})",
        "identity_backend": f"{tools.embed.name} ({tools.embed.version})",
        "face_px": crop_side(crop, width, height),
        "face_proportion": area,
        **dict.fromkeys(_MEASURED),
    }
    row["reason"] = _too_small(row, options)
    media = b""
    if not row["reason"]:
        measured, frames_THWC = _measure(path, crop, boxes, first, options, tools)
        row |= measured
        row["reason"] = _refusal(row, options)
        if not row["reason"]:
            media = encode_clip(frames_THWC, Fraction(video["fps_num"], video["fps_den"]), options.crf)
    row["status"] = "rejected" if row["reason"] else "kept"
    return Clip(row, media)


_MEASURED = (
    "start_pts",
    "end_pts",
    "alpha_min",
    "alpha_max",
    "motion",
    "text_score",
    "blur",
    "points5",
    "points68",
    "identity",
)


def _measure(
    path: Path, crop: Box, boxes: NDArray[np.float64], first: int, options: FaceParams, tools: Tools
) -> tuple[Row, NDArray[np.uint8]]:
    """The columns of `_MEASURED`, and the crop (T,S,S,3)."""
    count = len(boxes)
    wanted = set(np.linspace(0, count - 1, _IDENTITY_FRAMES).round().astype(int).tolist())
    pts, crops, points, identities, texts = [], [], [], [], []
    corner, extent = np.asarray(crop[:2]), np.asarray(crop[2:]) - np.asarray(crop[:2])
    for number, frame in enumerate(read_frames(path, start=first, stop=first + count)):
        landmarks = tools.landmarks(frame.rgb, [tuple(boxes[number].tolist())])[0]
        scale = np.array([frame.rgb.shape[1], frame.rgb.shape[0]])
        points.append((landmarks / scale - corner) / extent)
        crops.append(extract(frame.rgb, crop, options.size))
        pts.append(frame.pts)
        if number in wanted:
            identities.append(tools.embed(frame.rgb, landmarks))
            texts.append(tools.text(extract(frame.rgb, crop, _TEXT_SIDE)).share)
    points_T68 = np.stack(points)
    alpha = side_ratio(points_T68)
    row: dict[str, Any] = {
        "start_pts": pts[0],
        "end_pts": pts[-1],
        "alpha_min": float(alpha.min()),
        "alpha_max": float(alpha.max()),
        "motion": motion_intensity(crops),
        "text_score": float(max(texts)),
        "blur": float(np.mean([laplacian_variance(crop) for crop in crops])),
        "points5": five_points(points_T68).astype(np.float32).reshape(count, -1).tolist(),
        "points68": points_T68.astype(np.float32).reshape(count, -1).tolist(),
        "identity": np.mean(identities, axis=0).astype(np.float32).tolist(),
    }
    return row, np.stack(crops)


def _too_small(row: Row, options: FaceParams) -> str:
    """What refuses a clip before anything of it is decoded."""
    if row["n_frames"] < options.min_frames:
        return "too_short"
    return "small_face" if row["face_px"] < options.min_face_px else ""


def _refusal(row: Row, options: FaceParams) -> str:
    """The first filter that refuses a measured clip, or an empty string."""
    if row["alpha_min"] < options.alpha_min or row["alpha_max"] > options.alpha_max:
        return "side_face"
    if row["text_score"] > options.max_text:
        return "text"
    return "blurred" if row["blur"] < options.min_blur else ""
