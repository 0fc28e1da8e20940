"""The pictures that the sample set is made of; each is read from the package that ships it, none is downloaded."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Points = NDArray[np.float64]


@dataclass(frozen=True)
class Portrait:
    """A picture of one person: `image` (H, W, 3) uint8 RGB and the 68 landmarks (68, 2) of the face in pixels."""

    image: Image
    points: Points


@cache
def collins() -> Portrait:
    """Eileen Collins, NASA, public domain; ships with scikit-image as `astronaut`."""
    from skimage import data

    return _portrait(data.astronaut())


@cache
def hopper() -> Portrait:
    """Grace Hopper, US Navy, public domain; ships with Matplotlib."""
    from matplotlib.cbook import get_sample_data

    path = str(get_sample_data("grace_hopper.jpg", asfileobj=False))
    picture = cv2.imread(path, cv2.IMREAD_COLOR)
    assert picture is not None, path
    return _portrait(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8))


def coffee() -> Image:
    """A cup of coffee (Rachel Michetti, CC0); ships with scikit-image. A picture without a face."""
    from skimage import data

    return np.asarray(data.coffee(), np.uint8)


def mirrored(portrait: Portrait) -> Portrait:
    """The picture flipped left to right; landmarks keep their positions, not their left/right numbering."""
    points = portrait.points.copy()
    points[:, 0] = portrait.image.shape[1] - 1 - points[:, 0]
    return Portrait(np.ascontiguousarray(portrait.image[:, ::-1]), points[_MIRROR])


def _mirror_order() -> NDArray[np.int64]:
    """Index permutation of the 68 points under a left-right flip (300-W numbering)."""
    spans = [range(17), range(17, 27), [27], [28], [29], [30], range(31, 36)]
    order: list[int] = [index for span in spans for index in reversed(list(span))]
    order += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
    order += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
    return np.asarray(order)


_MIRROR = _mirror_order()


def _portrait(image: NDArray[np.uint8]) -> Portrait:
    import dlib
    import face_recognition_models

    detector = dlib.get_frontal_face_detector()
    predictor = dlib.shape_predictor(face_recognition_models.pose_predictor_model_location())
    box = max(detector(image, 1), key=lambda rectangle: rectangle.area())
    shape = predictor(image, box)
    return Portrait(image, np.array([(shape.part(i).x, shape.part(i).y) for i in range(68)], np.float64))
