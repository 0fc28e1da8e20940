"""The choice of a reference frame, on a real face that is blurred, blinks and turns."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from svfr.faces.landmarks import build_landmarker
from svfr.quality.reference import eye_aspect_ratio, reference_quality
from svfr.sample.motion import Shot, frames
from svfr.sample.portraits import collins


@pytest.fixture(scope="module")
def blink() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """A talking face with open eyes, and in the middle of a blink, each with the landmarks found in it."""
    shot = Shot((256, 256), zoom=1.6, drift=0.0, roll=0.0, talk=0.0, turn=0.0)
    pictures = list(frames(collins(), shot, np.array([0.3, 0.65])))
    landmarker = build_landmarker("dlib68")
    return pictures, [landmarker(picture, [(48.0, 48.0, 208.0, 208.0)])[0] for picture in pictures]


def test_open_eyes_are_preferred(blink: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    (open_eyes, shut), (points, shut_points) = blink
    assert eye_aspect_ratio(shut_points) < 0.8 * eye_aspect_ratio(points)
    assert reference_quality(shut, shut_points) < 0.7 * reference_quality(open_eyes, points)


def test_sharp_faces_are_preferred(blink: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    picture, points = blink[0][0], blink[1][0]
    assert reference_quality(cv2.GaussianBlur(picture, (0, 0), 2), points) < 0.5 * reference_quality(picture, points)


def test_frontal_faces_are_preferred(blink: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    picture, points = blink[0][0], blink[1][0]
    turned, profile = points.copy(), points.copy()
    turned[30, 0] += 0.2 * (points[45, 0] - points[36, 0])
    profile[30, 0] = points[45, 0] + 3
    assert 0 < reference_quality(picture, turned) < reference_quality(picture, points)
    assert reference_quality(picture, profile) == 0


def test_a_face_outside_the_picture_scores_nothing(blink: tuple[list[np.ndarray], list[np.ndarray]]) -> None:
    picture, points = blink[0][0], blink[1][0]
    assert reference_quality(picture, points - 1000) == reference_quality(picture, points + 1000) == 0
    assert reference_quality(picture, np.full((68, 2), np.nan)) == 0
    assert eye_aspect_ratio(np.zeros((68, 2))) == 0
