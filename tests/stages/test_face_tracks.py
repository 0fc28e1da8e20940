"""Candidates of a video and their measurement in one sweep, with tools whose answers are known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.face_clips import Tools, measure
from stages.face_tracks import Candidate, candidates
from svfr.faces.detect import Detector, Face
from svfr.faces.embed import Embedder
from svfr.faces.landmarks import Landmarker
from svfr.params import FaceParams
from svfr.quality.text import Text
from svfr.tables import CLIPS
from svfr.video.clip import decode_clip
from svfr.video.decode import read_frames
from svfr.video.encode import VideoWriter
from svfr.video.probe import probe

WIDTH, HEIGHT, COUNT, SIDE = 960, 640, 30, 120
OPTIONS = FaceParams(size=64, min_face_px=64, key_every=5, max_frames=12, max_clips_per_track=9)


def place(face: int, number: int) -> tuple[int, int]:
    """Corner of a square face: one red, going right, one green, that stands still from frame 10 to 24."""
    return (60 + 6 * number, 100) if face == 0 else (600, 300)


def picture(number: int) -> np.ndarray:
    frame = np.full((HEIGHT, WIDTH, 3), 40, np.uint8)
    texture = np.random.default_rng(number).integers(0, 30, (SIDE, SIDE), np.uint8)
    for face in (0, 1):
        x, y = place(face, number)
        if face == 0 or 10 <= number < 25:
            frame[y : y + SIDE, x : x + SIDE, face] = 200 + texture
    return frame


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "faces.mp4"
    with VideoWriter(path, WIDTH, HEIGHT, time_base=Fraction(1, 25), fps=Fraction(25), crf=8) as writer:
        for number in range(COUNT):
            writer.write(picture(number), number)
    return path


def detect(frames: list[np.ndarray]) -> list[list[Face]]:
    found = []
    for frame in frames:
        assert max(frame.shape) <= 320  # decoded at the detector's size
        faces = []
        for channel in (0, 1):
            rows, columns = np.nonzero(frame[..., channel] > 120)
            if len(rows):
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                faces.append(Face((float(box[0]), float(box[1]), float(box[2]), float(box[3])), 0.97))
        found.append(faces)
    return found


class Quiet:
    """Finds no text, and every face frontal."""

    def __call__(self, rgb: np.ndarray) -> Any:
        return Text(0.0, 0.0)


def landmarks(frame: np.ndarray, boxes: Any, previous: Any) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.linspace(0.2, 0.8, 17), np.linspace(0.2, 0.8, 4)), -1).reshape(68, 2)
    return np.stack([np.array(b[:2]) + grid * (np.array(b[2:]) - np.array(b[:2])) for b in boxes])


def embed(rgb: np.ndarray, points: np.ndarray) -> np.ndarray:
    x, y = points.mean(0).astype(int)
    return rgb[y, x].astype(np.float32)


def tools() -> Tools:
    return Tools(
        Detector("fake", "1", detect, 320, 4),
        Landmarker("fake", "1", landmarks),
        Embedder("fake", "1", 3, 1.0, embed),
        Quiet(),  # type: ignore[arg-type]
        lambda rgb: 1.0,  # type: ignore[arg-type]
    )


def row_of(path: Path, region: list[float] | None = None) -> dict[str, Any]:
    info = probe(path)
    fps = {"fps_num": info.fps.numerator, "fps_den": info.fps.denominator, "region": region}
    return {"video_id": "v", "sha256": "s", "width": info.width, "height": info.height, **fps}


def found(path: Path, options: FaceParams = OPTIONS, region: list[float] | None = None) -> list[Candidate]:
    return list(candidates(path, row_of(path, region), options, tools().detect))


def test_boxes_are_in_pixels_of_the_source(video: Path) -> None:
    clips = found(video)
    assert [(c.row["track_id"], c.first, c.row["n_frames"]) for c in clips] == [
        (0, 0, 9),
        (0, 9, 8),
        (0, 17, 9),
        (1, 10, 11),
    ]
    for clip in clips:
        for number, box in enumerate(clip.boxes):
            x, y = place(clip.row["track_id"], clip.first + number)
            assert np.allclose(box, (x, y, x + SIDE, y + SIDE), atol=4.5)
        assert set(clip.row) == set(CLIPS.names)
        assert clip.row["coverage"] == 1
        assert clip.row["confidence"] == pytest.approx(0.97)
        assert clip.row["duration"] == pytest.approx(clip.row["n_frames"] / 25)


def test_the_last_digits_of_a_detector_are_in_no_id(video: Path) -> None:
    def shifted(pixels: float) -> list[Candidate]:
        def moved(face: Face) -> Face:
            x1, y1, x2, y2 = (edge + pixels for edge in face.box)
            return Face((x1, y1, x2, y2), face.score)

        def run(frames: list[np.ndarray]) -> list[list[Face]]:
            return [[moved(face) for face in faces] for faces in detect(frames)]

        return list(candidates(video, row_of(video), OPTIONS, Detector("fake", "1", run, 320, 4)))

    here, elsewhere = shifted(0.3), shifted(0.3 + 1e-5)
    assert not np.array_equal(here[0].crops, elsewhere[0].crops)
    assert [clip.row["clip_id"] for clip in here] == [clip.row["clip_id"] for clip in elsewhere]


def test_a_smooth_crop_follows_and_a_static_one_holds_the_whole_way(video: Path) -> None:
    static, smooth = found(video)[0], found(video, OPTIONS.model_copy(update={"crop": "smooth"}))[0]
    assert np.ptp(static.crops, axis=0).max() == 0
    assert static.row["crop_path"] is None
    assert smooth.row["face_px"] < static.row["face_px"]
    assert (np.diff(smooth.crops[:, 0]) > 0).all()
    assert np.allclose(smooth.row["crop_path"], smooth.crops, atol=1e-6)
    assert smooth.row["crop_x1"] == smooth.crops[:, 0].min()
    assert static.row["clip_id"] != smooth.row["clip_id"]


def test_the_region_of_the_source_tells_which_face_is_meant(video: Path) -> None:
    overlap = {c.row["track_id"]: c.row["region_overlap"] for c in found(video, region=[0.6, 0.4, 0.8, 0.7])}
    assert overlap[1] > 0.9
    assert overlap[0] == 0


def test_one_sweep_measures_every_face_as_if_it_were_alone(video: Path, tmp_path: Path) -> None:
    clips = found(video)
    (tmp_path / "all").mkdir()
    together = {row["clip_id"]: row for row in measure(video, clips, OPTIONS, tools(), tmp_path / "all")}
    assert len(together) == 4
    for clip in clips:
        name = f"{clip.row['clip_id']}.mp4"
        (tmp_path / "one").mkdir(exist_ok=True)
        (alone,) = measure(video, [clip], OPTIONS, tools(), tmp_path / "one")
        assert alone == together[clip.row["clip_id"]]
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "all" / name).read_bytes()
        assert decode_clip(data).shape == (clip.row["n_frames"], 64, 64, 3)
        stamps = [f.pts for f in read_frames(video, start=clip.first, stop=clip.last + 1)]
        assert (alone["start_pts"], alone["end_pts"]) == (stamps[0], stamps[-1])
        assert np.argmax(alone["identity"]) == clip.row["track_id"]
        assert len(alone["points68"]) == len(alone["points5"]) == clip.row["n_frames"]
        assert len(alone["phash"]) == 3
        assert (alone["cuts"], alone["text_score"], alone["frontal"]) == (0, 0, 1)
