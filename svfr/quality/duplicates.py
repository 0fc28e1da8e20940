"""Near-duplicate clips, by perceptual hashes of a few of their frames (ImageHash's pHash)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]

HASH_BITS = 256  # of one frame: the signs of 16 x 16 low frequencies against their median
_BLOCK = 1024  # clips compared at a time


def perceptual_hash(rgb: Rgb) -> str:
    """The pHash of a picture (H,W,3) uint8: 64 hex digits, nearly the same after scaling and re-encoding."""
    import imagehash

    return str(imagehash.phash(Image.fromarray(rgb), hash_size=16))


def near_duplicates(
    hashes: Sequence[Sequence[str]], groups: Sequence[str], max_distance: float
) -> dict[int, tuple[int, float]]:
    """Clips to drop: `{clip: (the clip it repeats, their distance)}`, by position.

    `hashes` holds for every clip the hashes of its sampled frames, the same number for all. The distance of two clips
    is the mean share of differing bits, 0..1, of their frames in order. Clips come in order of preference: each is
    compared with those before it that stay. Clips of one of the `groups` are never held against each other (one
    stretch of one track follows the other and may well look like it). Compares all pairs, as matrix products:
    n^2 * 256 * frames operations.
    """
    signs = np.stack([_signs(clip) for clip in hashes]) if hashes else np.zeros((0, 1), np.float32)
    kept: list[int] = []
    dropped: dict[int, tuple[int, float]] = {}
    for start in range(0, len(signs), _BLOCK):
        block = signs[start : start + _BLOCK]
        # agreeing minus differing bits, over their number: 1 - 2 * distance
        before = (1 - block @ signs[: start + len(block)].T / signs.shape[1]) / 2
        for row, number in enumerate(range(start, start + len(block))):
            others = [other for other in kept if groups[other] != groups[number]]
            distances = before[row, others]
            if len(others) and distances.min() <= max_distance:
                nearest = int(distances.argmin())
                dropped[number] = others[nearest], float(distances[nearest])
            else:
                kept.append(number)
    return dropped


def _signs(clip: Sequence[str]) -> NDArray[np.float32]:
    bits = np.unpackbits(np.frombuffer(bytes.fromhex("".join(clip)), np.uint8))
    return bits.astype(np.float32) * 2 - 1
