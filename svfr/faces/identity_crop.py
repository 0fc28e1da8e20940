"""The 112 x 112 crop that the identity network sees.

`official` repeats a defect of the released code: the crop belongs to a 256-pixel alignment but is taken from a
512-pixel one, so that little more than one eye is inside. `canonical` takes the whole face, as ArcFace was trained.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike
from torch import Tensor

from svfr.errors import UserError
from svfr.faces.geometry import FACE_TEMPLATE_256, similarity_fit

ALIGNED_SIZE = 512
CROP_SIZE = 112
_REGIONS = {"official": (slice(0, 224), slice(16, 240)), "canonical": (slice(0, 448), slice(32, 480))}


def align_face(frame_3HW: Tensor, points_52: ArrayLike) -> Tensor:
    """The face (3,512,512) in [-1,1], eyes, nose and mouth brought onto the template; on the CPU.

    `frame_3HW` RGB, about [-1,1], rounded to 8 bits by truncation as the released code does; `points_52` the five
    points (x,y) in pixels of the frame. Raises `ItemError` for points that cannot be aligned.
    """
    matrix = similarity_fit(points_52, FACE_TEMPLATE_256 * (ALIGNED_SIZE / 256))
    pixels_HW3 = ((frame_3HW.float() * 0.5 + 0.5).clamp(0, 1) * 255).to(torch.uint8).permute(1, 2, 0).cpu().numpy()
    aligned = cv2.warpAffine(np.ascontiguousarray(pixels_HW3), matrix, (ALIGNED_SIZE,) * 2, flags=cv2.INTER_CUBIC)
    return torch.from_numpy(aligned).permute(2, 0, 1).float() / 255 * 2 - 1


def crop_aligned(aligned_B3HW: Tensor, mode: str = "canonical") -> Tensor:
    """The crop (B,3,112,112) of aligned faces (B,3,512,512); `mode` "canonical" or "official" (see above).

    `canonical` is shrunk fourfold and therefore antialiased; `official` is plain bilinear, as released.
    """
    if mode not in _REGIONS:
        raise UserError(f"unknown identity crop '{mode}': choose among {', '.join(_REGIONS)}")
    if tuple(aligned_B3HW.shape[1:]) != (3, ALIGNED_SIZE, ALIGNED_SIZE):
        raise UserError(f"aligned faces have shape {tuple(aligned_B3HW.shape)}, (B, 3, 512, 512) expected")
    rows, columns = _REGIONS[mode]
    region = aligned_B3HW[..., rows, columns]
    return F.interpolate(region, (CROP_SIZE,) * 2, mode="bilinear", align_corners=False, antialias=mode == "canonical")


def identity_crop(frame_3HW: Tensor, points_52: ArrayLike, mode: str = "canonical") -> Tensor:
    """The crop (3,112,112) in [-1,1] of the face with these five points: `align_face`, then `crop_aligned`."""
    return crop_aligned(align_face(frame_3HW, points_52)[None], mode)[0]
