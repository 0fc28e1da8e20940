"""Cuts, side views, text, motion and blur on pictures whose answer is known."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import skimage.data
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.quality.blur import laplacian_variance, tenengrad
from svfr.quality.cuts import InnerCuts, scene_cuts
from svfr.quality.duplicates import near_duplicates, perceptual_hash
from svfr.quality.frontal import FrontalDetector
from svfr.quality.motion import MotionMeter, motion_intensity
from svfr.quality.side import is_side_view, side_ratio
from svfr.quality.text import READ_SCORE, TextDetector


def _pan(picture: np.ndarray, count: int) -> list[np.ndarray]:
    return [np.ascontiguousarray(picture[: 2 * 100, i : i + 200]) for i in range(count)]


def test_cuts_are_the_first_frames_of_new_scenes() -> None:
    shots = [_pan(skimage.data.astronaut(), 12), _pan(skimage.data.coffee(), 9), _pan(skimage.data.astronaut(), 7)]
    assert scene_cuts(frame for shot in shots for frame in shot) == [12, 21]
    assert scene_cuts(shots[0]) == []
    assert scene_cuts([]) == []


def test_cuts_closer_than_a_scene_are_one() -> None:
    a, b = skimage.data.astronaut()[:200, :200], skimage.data.coffee()[:200, :200]
    flash = [a] * 8 + [b] * 2 + [a] * 8
    assert len(scene_cuts(flash, min_scene=5)) == 1
    assert len(scene_cuts(flash, min_scene=1)) == 2


def _landmarks(left: float, nose: float, right: float) -> np.ndarray:
    points = np.zeros((68, 2))
    points[36, 0], points[30, 0], points[45, 0] = left, nose, right
    return points


@pytest.mark.parametrize(
    ("points", "alpha", "side"),
    [
        ((0, 50, 100), 1.0, False),
        ((0, 28, 100), 28 / 72, True),
        ((0, 72, 100), 72 / 28, True),
        ((0, 30, 100), 30 / 70, False),
        ((10, 5, 100), -5 / 95, True),  # nose left of the left eye
        ((0, 110, 100), -11.0, True),  # nose right of the right eye
        ((0, 100, 100), 1e6, True),
    ],
)
def test_side_ratio(points: tuple[float, float, float], alpha: float, side: bool) -> None:
    ratio = side_ratio(_landmarks(*points))
    assert float(ratio) == pytest.approx(alpha)
    assert is_side_view(ratio) is side


@settings(max_examples=30, deadline=None)
@given(st.floats(-50, 150), st.floats(0.1, 10), st.floats(-100, 100))
def test_side_rule_is_the_papers_and_ignores_scale_and_place(nose: float, scale: float, shift: float) -> None:
    x36, x30, x45 = (scale * x + shift for x in (0.0, nose, 100.0))
    outside = x36 > x30 or x45 < x30
    ratio = abs(x36 - x30) / abs(x45 - x30) if x45 != x30 else np.inf
    if min(abs(ratio - 0.4), abs(ratio - 2.5)) > 1e-6:
        assert is_side_view(side_ratio(_landmarks(x36, x30, x45))) == (outside or ratio < 0.4 or ratio > 2.5)


def test_side_ratio_keeps_leading_axes() -> None:
    stack = np.stack([_landmarks(0, 50, 100)] * 6).reshape(2, 3, 68, 2)
    assert side_ratio(stack).shape == (2, 3)


def test_motion_is_the_share_of_changing_pixels() -> None:
    still = np.zeros((40, 40, 3), np.uint8)
    moved = still.copy()
    moved[:10, :20] = 200
    assert motion_intensity([still, still, still]) == 0.0
    assert motion_intensity([still, moved]) == pytest.approx(200 / 1600)
    assert motion_intensity([still, moved, moved]) == pytest.approx(100 / 1600)
    assert motion_intensity([still]) == 0.0


def test_blur_measures_fall_with_blur() -> None:
    sharp = skimage.data.astronaut()[:200, 100:300]
    series = [sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (0.7, 1.5, 3))]
    assert (np.diff([laplacian_variance(p) for p in series]) < 0).all()
    assert (np.diff([tenengrad(p) for p in series]) < 0).all()
    assert laplacian_variance(np.full((20, 20, 3), 9, np.uint8)) == 0


def test_text_is_found_where_it_is() -> None:
    detect = TextDetector()
    picture = skimage.data.astronaut()
    assert detect(picture).share == 0
    assert detect(np.zeros((48, 48, 3), np.uint8)).score == 0
    captioned = picture.copy()
    cv2.putText(captioned, "BREAKING NEWS", (20, 300), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (255, 255, 255), 4)
    found = detect(captioned)
    assert 0.03 < found.share < 0.2
    assert found.score > READ_SCORE
    assert detect(captioned[:200]).share == 0


def test_a_face_that_the_detector_takes_for_a_page_of_text_is_none() -> None:
    """Close faces are often proposed as one box; what is read in it is doubtful."""
    close = cv2.resize(skimage.data.astronaut()[60:220, 150:310], (320, 320), interpolation=cv2.INTER_CUBIC)
    found = TextDetector()(close)
    assert (found.share, found.score < READ_SCORE) == (0, True)


def test_cuts_within_a_crop_are_told_from_motion() -> None:
    def count(frames: list[np.ndarray]) -> int:
        cuts = InnerCuts()
        for frame in frames:
            cuts(frame)
        return cuts.count

    face, coffee = _pan(skimage.data.astronaut()[50:], 24), _pan(skimage.data.coffee(), 12)
    assert count(face) == 0
    assert count(face[:12] + coffee) == 1
    fast = [np.roll(face[0], 30 * number, axis=1) for number in range(24)]
    assert count(fast) == 0


def test_a_frozen_picture_has_no_change_and_a_camera_some() -> None:
    def change(frames: list[np.ndarray]) -> float:
        meter = MotionMeter()
        for frame in frames:
            meter(frame)
        return meter.change

    still = skimage.data.astronaut()
    noise = np.random.default_rng(0).normal(0, 1, (6, *still.shape))
    assert change([still] * 6) == change([still]) == 0
    assert change([np.clip(still + n, 0, 255).astype(np.uint8) for n in noise]) > 0.3
    assert change([still, still, still[::-1].copy(), *[still[::-1].copy()] * 3]) == 0  # a slide show


def test_a_frontal_face_is_one_and_a_turned_picture_is_not() -> None:
    detect = FrontalDetector()
    face = np.ascontiguousarray(skimage.data.astronaut()[20:280, 90:350])
    assert detect(face) > 0
    assert detect(np.rot90(face, 2).copy()) < 0
    assert detect(np.zeros((64, 64, 3), np.uint8)) == -1


def test_near_duplicates_survive_scaling_and_encoding() -> None:
    a, b = skimage.data.astronaut(), skimage.data.coffee()
    small = cv2.resize(a, (150, 150), interpolation=cv2.INTER_AREA)
    jpeg = cv2.imdecode(cv2.imencode(".jpg", a, [cv2.IMWRITE_JPEG_QUALITY, 30])[1], cv2.IMREAD_COLOR)
    hashes = [[perceptual_hash(picture)] * 3 for picture in (a, b, small, jpeg, a)]
    found = near_duplicates(hashes, ["1", "2", "3", "4", "1"], 0.08)
    assert {clip: other for clip, (other, _) in found.items()} == {2: 0, 3: 0}  # the last is of the first one's track
    assert all(distance <= 0.08 for _, distance in found.values())
    assert near_duplicates([], [], 0.1) == {}


@given(st.lists(st.integers(0, 2**16 - 1), max_size=40), st.floats(0, 0.2))
@settings(max_examples=40, deadline=None)
def test_near_duplicates_are_those_of_the_plain_loop(values: list[int], limit: float) -> None:
    hashes = [f"{value:016x}" * 4 for value in values]
    kept: list[int] = []
    for number, one in enumerate(hashes):
        distances = [(int(one, 16) ^ int(hashes[other], 16)).bit_count() / 256 for other in kept]
        if not any(distance <= limit for distance in distances):
            kept.append(number)
    found = near_duplicates([[one] for one in hashes], [str(n) for n in range(len(hashes))], limit)
    assert sorted(set(range(len(hashes))) - set(found)) == kept
