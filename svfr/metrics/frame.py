"""PSNR and SSIM as BFVR-STC and basicsr define them: RGB, all channels, no border cropped, mean over frames."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.errors import ItemError, UserError
from svfr.metrics.base import NO_HINTS, Frames, Hints, Metric, check_pair

PSNR_CAP = 100.0  # dB that a frame without any error counts as, so that a clip's mean stays finite
_K1, _K2, _WINDOW, _SIGMA = 0.01, 0.03, 11, 1.5  # Wang et al. 2004


def decibels(squared_error: float) -> float:
    """PSNR = 10 log10(255^2 / MSE) of 8-bit pictures, at most `PSNR_CAP`."""
    if squared_error == 0:
        return PSNR_CAP
    return min(PSNR_CAP, float(10 * np.log10(255.0**2 / squared_error)))


def psnr_frames(restored: Frames, truth: Frames) -> NDArray[np.float64]:
    """PSNR (T,) of each frame in dB, over all channels."""
    check_pair(restored, truth)
    errors = [
        np.square(np.subtract(a, b, dtype=np.float32)).mean(dtype=np.float64)
        for a, b in zip(restored, truth, strict=True)
    ]
    return np.array([decibels(float(error)) for error in errors])


def ssim_frames(restored: Frames, truth: Frames) -> NDArray[np.float64]:
    """SSIM (T,) of each frame: 11 x 11 Gaussian window of sigma 1.5, valid area only, mean over channels."""
    check_pair(restored, truth)
    if min(truth.shape[1:3]) < _WINDOW:
        raise UserError(f"SSIM needs frames of at least {_WINDOW} x {_WINDOW} pixels, these are {truth.shape[1:3]}")
    return np.array([_ssim(a.astype(np.float64), b.astype(np.float64)) for a, b in zip(restored, truth, strict=True)])


def _ssim(a_HWC: NDArray[np.float64], b_HWC: NDArray[np.float64]) -> float:
    c1, c2 = (_K1 * 255) ** 2, (_K2 * 255) ** 2
    mean_a, mean_b = _blur(a_HWC), _blur(b_HWC)
    var_a, var_b = _blur(a_HWC**2) - mean_a**2, _blur(b_HWC**2) - mean_b**2
    covariance = _blur(a_HWC * b_HWC) - mean_a * mean_b
    # SSIM = (2 mu_a mu_b + c1)(2 sigma_ab + c2) / ((mu_a^2 + mu_b^2 + c1)(sigma_a^2 + sigma_b^2 + c2))
    above = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    below = (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return float((above / below).mean())


def _blur(image: NDArray[np.float64]) -> NDArray[np.float64]:
    kernel = cv2.getGaussianKernel(_WINDOW, _SIGMA)
    edge = _WINDOW // 2
    return cv2.sepFilter2D(image, -1, kernel, kernel)[edge:-edge, edge:-edge].astype(np.float64)


class Psnr(Metric):
    """Peak signal-to-noise ratio, mean over frames."""

    name, backend, unit, higher_is_better = "psnr", "rgb", "dB", True

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        return float(psnr_frames(restored, truth).mean())


class Ssim(Metric):
    """Structural similarity, mean over frames."""

    name, backend, higher_is_better = "ssim", "rgb-gauss11", True

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        return float(ssim_frames(restored, truth).mean())


class HolePsnr(Metric):
    """PSNR of the masked pixels only, mean over the frames that have any (ours): what inpainting really invented."""

    name, backend, unit, higher_is_better = "psnr_hole", "rgb-inside-mask", "dB", True

    def applies(self, hints: Hints) -> bool:
        return hints.hole is not None and bool(hints.hole.any())

    def __call__(self, restored: Frames, truth: Frames, hints: Hints = NO_HINTS) -> float:
        check_pair(restored, truth)
        if hints.hole is None or not hints.hole.any():
            raise ItemError("no_hole", "psnr_hole needs a clip with masked pixels")
        values = []
        for a, b, hole in zip(restored, truth, hints.hole, strict=True):
            if hole.any():
                values.append(decibels(float(np.square(a[hole].astype(np.float64) - b[hole]).mean())))
        return float(np.mean(values))
