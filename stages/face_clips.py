"""Second pass over a video: crops every candidate clip, measures it frame by frame and encodes it, all in one sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stages.face_tracks import Candidate
from svfr.faces.crop import extract
from svfr.faces.detect import Detector
from svfr.faces.embed import Embedder
from svfr.faces.geometry import Box
from svfr.faces.landmarks import Landmarker, five_points
from svfr.params import FaceParams
from svfr.quality.blur import laplacian_variance
from svfr.quality.cuts import InnerCuts
from svfr.quality.duplicates import perceptual_hash
from svfr.quality.frontal import FrontalDetector
from svfr.quality.motion import MotionMeter
from svfr.quality.side import side_ratio
from svfr.quality.text import Text, TextDetector
from svfr.tables import Row
from svfr.video.clip import clip_writer
from svfr.video.decode import Frame, read_frames

_HASHED = 3  # frames a clip, evenly spread, that are compared with other clips
_SAMPLE_SECONDS, _MAX_SAMPLED = 2.0, 3  # what changes slowly is measured once in as many seconds, so often at most
_CLOSE_SIDE = 320  # pixels of the crop on which text and the frontal view are looked for

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Tools:
    """Networks, loaded once a worker."""

    detect: Detector
    landmarks: Landmarker
    embed: Embedder
    text: TextDetector
    frontal: FrontalDetector


def measure(path: Path, clips: Sequence[Candidate], options: FaceParams, tools: Tools, folder: Path) -> Iterator[Row]:
    """Yields the row of every one of `clips` with all its measurements; its media is `<folder>/<clip_id>.mp4`.

    Reads each frame of the video at `path` once, however many faces it shows, and skips stretches without any; a
    frame is held no longer than it is worked on. Raises what decoding raises.
    """
    waiting = sorted(clips, key=lambda clip: (-clip.first, clip.row["clip_id"]))
    active: list[_Measuring] = []
    while waiting:
        for frame in read_frames(path, start=waiting[-1].first):
            while waiting and waiting[-1].first == frame.index:
                active.append(_Measuring(waiting.pop(), options, tools, folder))
            boxes = [clip.box for clip in active]
            before = [clip.landmarks for clip in active]
            for clip, landmarks in zip(active, tools.landmarks(frame.rgb, boxes, before), strict=True):
                clip.add(frame, landmarks)
            yield from (clip.finish() for clip in active if clip.complete)
            active = [clip for clip in active if not clip.complete]
            if not active and (not waiting or waiting[-1].first > frame.index + 1):
                break


class _Measuring:
    """One clip on its way: takes its frames in order."""

    def __init__(self, clip: Candidate, options: FaceParams, tools: Tools, folder: Path) -> None:
        self.clip, self.size, self.tools = clip, options.size, tools
        self.count = 0
        self.landmarks: Floats | None = None  # (68,2) of the last frame, in pixels of the source
        samples = int(np.clip(clip.row["duration"] // _SAMPLE_SECONDS, 1, _MAX_SAMPLED))
        self.sampled, self.hashed = _spread(len(clip.boxes), samples), _spread(len(clip.boxes), _HASHED)
        self.points: list[Floats] = []
        self.pts: list[int] = []
        self.blur: list[float] = []
        self.identities: list[NDArray[np.float32]] = []
        self.texts: list[Text] = []
        self.hashes: list[str] = []
        self.frontal: list[float] = []
        self.motion, self.cuts = MotionMeter(), InnerCuts()
        fps = Fraction(clip.row["fps_num"], clip.row["fps_den"])
        self.writer = clip_writer(folder / f"{clip.row['clip_id']}.mp4", self.size, self.size, fps, options.crf)
        self.writer.__enter__()

    @property
    def box(self) -> Box:
        """The face box, in pixels of the source, of the frame that comes next."""
        x1, y1, x2, y2 = self.clip.boxes[self.count].tolist()
        return x1, y1, x2, y2

    @property
    def complete(self) -> bool:
        """Whether all frames are there."""
        return self.count == len(self.clip.boxes)

    def add(self, frame: Frame, landmarks_68: Floats) -> None:
        """Measures and encodes the next frame; `landmarks_68` (68,2) are in its pixels."""
        x1, y1, x2, y2 = self.clip.crops[self.count].tolist()
        crop, corner, extent = (x1, y1, x2, y2), np.array([x1, y1]), np.array([x2 - x1, y2 - y1])
        picture = extract(frame.rgb, crop, self.size)
        scale = np.array([frame.rgb.shape[1], frame.rgb.shape[0]])
        self.landmarks = landmarks_68
        self.points.append((landmarks_68 / scale - corner) / extent)
        self.pts.append(frame.pts)
        self.blur.append(laplacian_variance(picture))
        self.motion(picture)
        self.cuts(picture)
        if self.count in self.hashed:
            self.hashes += [perceptual_hash(picture)] * self.hashed.count(self.count)
        if self.count in self.sampled:
            self.identities.append(self.tools.embed(frame.rgb, landmarks_68))
            close = extract(frame.rgb, crop, _CLOSE_SIDE)
            self.texts.append(self.tools.text(close))
            self.frontal.append(self.tools.frontal(close))
        self.writer.write(picture, self.count)
        self.count += 1

    def finish(self) -> Row:
        """Ends the media file and returns the row."""
        self.writer.__exit__(None, None, None)
        points_T68 = np.stack(self.points)
        alpha = side_ratio(points_T68)
        tools = self.tools
        return {
            **self.clip.row,
            "start_pts": self.pts[0],
            "end_pts": self.pts[-1],
            "landmarker": f"{tools.landmarks.name} ({tools.landmarks.version})",
            "identity_backend": f"{tools.embed.name} ({tools.embed.version})",
            "frontal": float(np.mean(self.frontal)),
            "alpha_min": float(alpha.min()),
            "alpha_max": float(alpha.max()),
            "motion": self.motion.mean,
            "change": self.motion.change,
            "cuts": self.cuts.count,
            "text_score": max(text.score for text in self.texts),
            "text_share": max(text.share for text in self.texts),
            "blur": float(np.mean(self.blur)),
            "phash": self.hashes,
            "points5": five_points(points_T68).astype(np.float32).reshape(self.count, -1).tolist(),
            "points68": points_T68.astype(np.float32).reshape(self.count, -1).tolist(),
            "identity": np.mean(self.identities, axis=0).astype(np.float32).tolist(),
        }


def _spread(length: int, count: int) -> list[int]:
    """`count` frame numbers, each in the middle of an equal share of `length` frames."""
    return [int((number + 0.5) * length / count) for number in range(count)]
