"""Sensor noise, fresh in every frame and seeded by the frame's absolute index."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.degrade.recipe import Recipe
from svfr.degrade.seeds import stream


def add_noise(frame_HWC: NDArray[Any], recipe: Recipe, index: int) -> NDArray[Any]:
    """The frame with noise, rounded and clipped to uint8.

    Gaussian: x + sigma n. Poisson: P(q x) / q with q = 255 / sigma^2, so that its std is sigma at white and
    sigma sqrt(x / 255) elsewhere. Grey noise adds one field (for Poisson that of the luma) to all three channels.
    """
    if recipe.noise_kind == "none" or recipe.noise_sigma == 0:
        return frame_HWC
    rng = stream(recipe.seed, "noise field", index)
    if recipe.noise_kind == "gaussian":
        shape = frame_HWC.shape[:2] if recipe.noise_grey else frame_HWC.shape
        field = rng.standard_normal(shape, np.float32)
        field *= np.float32(recipe.noise_sigma)
    else:
        clean = cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY) if recipe.noise_grey else frame_HWC
        quanta = 255 / recipe.noise_sigma**2
        field = (rng.poisson(clean * quanta) / quanta - clean).astype(np.float32)
    if recipe.noise_grey:
        return cv2.add(frame_HWC, cv2.merge([field, field, field]), dtype=cv2.CV_8U)
    return cv2.add(frame_HWC, field, dtype=cv2.CV_8U)
