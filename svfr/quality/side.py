"""Side views, by where the nose lies between the eyes (BFVR-STC supplement B)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA_MIN, ALPHA_MAX = 0.4, 2.5  # the paper's limits
_LARGE = 1e6  # for a nose exactly below the eye's corner; tables hold no infinities


def side_ratio(landmarks68: Floats) -> Floats:
    """alpha (...) of faces (...,68,2): 1 for a frontal view, below 1 or above 1 as the face turns, at most 1e6.

    alpha = (x30 - x36) / (x45 - x30), with the outer eye corners 36 and 45 and the nose tip 30. The paper takes
    absolute values and tests separately whether the nose lies outside the eyes; with the signs kept, such a face has
    a negative alpha, so the one test alpha_min <= alpha <= alpha_max says both.
    """
    x = np.asarray(landmarks68, np.float64)[..., 0]
    left, right = x[..., 30] - x[..., 36], x[..., 45] - x[..., 30]
    alpha = np.divide(left, right, out=np.where(left > 0, _LARGE, -_LARGE), where=right != 0)
    return np.asarray(np.clip(alpha, -_LARGE, _LARGE), np.float64)


def is_side_view(alpha: Floats, low: float = ALPHA_MIN, high: float = ALPHA_MAX) -> bool:
    """Whether any of the ratios `alpha` lies outside [low, high]: one such frame refuses a clip."""
    return bool(np.any((alpha < low) | (alpha > high)))
