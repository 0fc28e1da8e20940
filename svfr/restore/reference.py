"""A photo of the person as the reference: its largest face, cropped as the video's faces are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from svfr.errors import ItemError, UserError
from svfr.faces.crop import extract, frame_to_crop, square_crop, transform
from svfr.faces.detect import Detector
from svfr.faces.geometry import Box
from svfr.restore.media import read_picture
from svfr.restore.pixels import Pixels


def reference_photo(path: Path, detector: Detector, enlarge: float, size: int) -> tuple[Pixels, Box]:
    """The crop (size,size,3) uint8 of the largest face in a photo, and the face's box in pixels of that crop.

    Raises `UserError` if the file is no picture or shows no face.
    """
    try:
        photo = read_picture(path)
    except ItemError as error:
        raise UserError(f"reference {error}") from None
    faces = detector([photo])[0]
    if not faces:
        raise UserError(f"reference {path}: no face was found in it; give a photo that shows the person clearly")
    box = max(faces, key=lambda face: (face.box[2] - face.box[0]) * (face.box[3] - face.box[1])).box
    height, width = photo.shape[:2]
    crop = square_crop([box], width, height, enlarge)
    corners = transform(np.array(box).reshape(2, 2), frame_to_crop(crop, width, height, size))
    (x1, y1), (x2, y2) = corners.tolist()
    return extract(photo, crop, size), (x1, y1, x2, y2)
