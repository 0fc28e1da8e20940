"""Pixels of files and numbers of networks: the maps between them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svfr.errors import ItemError

Pixels = NDArray[np.uint8]  # or uint16 where a source has more than 8 bits


def as_tensor(crop_SS3: Pixels) -> Tensor:
    """uint8 (S,S,3) -> (3,S,S) in [-1,1]: (x/255 - 0.5) / 0.5."""
    return torch.from_numpy(np.array(crop_SS3)).permute(2, 0, 1).float() / 127.5 - 1


def as_pixels(frame_3SS: Tensor, bits: int = 8) -> Pixels:
    """(3,S,S) about [-1,1] -> (S,S,3) uint8 or uint16, clipped and rounded to nearest."""
    limit = 2**bits - 1
    if not bool(torch.isfinite(frame_3SS).all()):
        raise ItemError("not_finite", "the network returned NaN or infinity: try float32, or another model")
    scaled = ((frame_3SS.float().clamp(-1, 1) + 1) * (limit / 2)).round()
    return scaled.permute(1, 2, 0).cpu().numpy().astype(np.uint8 if bits == 8 else np.uint16)


def to_8_bits(rgb: Pixels) -> Pixels:
    """uint16 pixels rounded down to uint8; uint8 as they are."""
    return rgb if rgb.itemsize == 1 else (rgb >> 8).astype(np.uint8)
