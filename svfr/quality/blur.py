"""Sharpness of a picture from its derivatives. Both measures depend on size: compare pictures of one size only."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]


def laplacian_variance(rgb: Rgb) -> float:
    """Variance of the Laplacian (Pech-Pacheco et al. 2000) of the grey picture, 0 upwards, higher is sharper."""
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())


def tenengrad(rgb: Rgb) -> float:
    """Mean squared Sobel gradient (Tenenbaum) of the grey picture, 0 upwards, higher is sharper; less noise-prone."""
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    dx, dy = cv2.Sobel(grey, cv2.CV_64F, 1, 0), cv2.Sobel(grey, cv2.CV_64F, 0, 1)
    return float(np.mean(dx**2 + dy**2))
