"""What every metric is: a named function of restored and true frames that says which network it used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from svfr.errors import UserError

Frames = NDArray[np.uint8]  # (T,H,W,3) RGB


@dataclass(frozen=True)
class Hints:
    """What is known of the truth beside its pixels.

    `points68` (T,68,2): landmarks of the truth in pixels, NaN in frames without a face.
    `hole` (T,H,W) bool: the pixels an inpainting task had to invent.
    """

    points68: NDArray[np.float64] | None = None
    hole: NDArray[np.bool_] | None = None


NO_HINTS = Hints()


class Metric(ABC):
    """One metric. `backend` names the network or the definition, `network_sha256` its file (empty: no network)."""

    name: str
    backend: str
    higher_is_better: bool
    unit: str = ""
    network_sha256: str = ""

    def applies(self, hints: Hints) -> bool:
        """Whether the metric means anything here, for example a hole's error where nothing was masked."""
        return True

    @abstractmethod
    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        """The metric of one clip. Raises `UserError` for frames that do not match, `ItemError` if undefined here."""


def check_pair(restored: Frames, truth: Frames) -> None:
    """Raises `UserError` unless both are non-empty (T,H,W,3) uint8 arrays of one shape."""
    for what, frames in (("restored", restored), ("true", truth)):
        if frames.dtype != np.uint8 or frames.ndim != 4 or frames.shape[3] != 3 or not len(frames):
            raise UserError(f"{what} frames are {frames.dtype} {frames.shape}: non-empty (T,H,W,3) uint8 RGB is needed")
    if restored.shape != truth.shape:
        raise UserError(f"restored frames have shape {restored.shape}, the truth {truth.shape}: they must be equal")
