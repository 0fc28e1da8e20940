"""Random numbers that belong to a frame, not to a batch.

Philox is a counter-based generator: (seed, frame) is its key, so frame k of a clip gets the same noise whatever is
computed before, beside or after it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

LATENT, PIXEL = 0, 1  # independent streams of one frame
_WORD = 2**64


def frame_noise(seed: int, frame: int, shape: Sequence[int], stream: int = LATENT) -> Tensor:
    """Standard normal numbers (*shape) float32 on the CPU, a function of (seed, frame, stream) only."""
    bits = np.random.Philox(key=np.array([seed % _WORD, frame], dtype=np.uint64), counter=[0, 0, 0, stream])
    return torch.from_numpy(np.random.Generator(bits).standard_normal(tuple(shape), dtype=np.float32))


def frames_noise(seed: int, first: int, count: int, shape: Sequence[int], stream: int = LATENT) -> Tensor:
    """`frame_noise` of `count` consecutive frames from `first` on, stacked: (count, *shape)."""
    return torch.stack([frame_noise(seed, first + k, shape, stream) for k in range(count)])
