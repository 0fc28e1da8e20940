"""Blur kernels: Gaussian (iso- and anisotropic), linear motion, and sinc (ringing of a sharp low-pass filter)."""

from __future__ import annotations

from functools import lru_cache
from math import cos, pi, sin
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

from svfr.degrade.recipe import Recipe

_LEAST_SIGMA = 0.05  # px; below it a kernel is a single 1


def blur(frame_HWC: NDArray[Any], recipe: Recipe) -> NDArray[Any]:
    """Blurs one uint8 frame; borders are mirrored. Lengths scale with the frame's shorter side / reference_size.

    The isotropic Gaussian runs in OpenCV's integer arithmetic, the other kernels in float32.
    """
    zoom = min(frame_HWC.shape[:2]) / recipe.reference_size
    size = _odd(recipe.blur_size * zoom)
    if recipe.blur_kind == "none":
        return frame_HWC
    if recipe.blur_kind == "iso":
        sigma = recipe.blur_sigma_x * zoom
        return frame_HWC if sigma < _LEAST_SIGMA else cv2.GaussianBlur(frame_HWC, (size, size), sigma)
    if recipe.blur_kind == "aniso":
        kernel = gaussian_kernel(size, recipe.blur_sigma_x * zoom, recipe.blur_sigma_y * zoom, recipe.blur_theta)
    elif recipe.blur_kind == "motion":
        kernel = motion_kernel(recipe.blur_length * zoom, recipe.blur_theta)
    else:
        kernel = sinc_kernel(size, recipe.blur_cutoff / zoom)
    return cv2.filter2D(frame_HWC, -1, kernel)


@lru_cache(64)
def gaussian_kernel(size: int, sigma_x: float, sigma_y: float, theta: float) -> NDArray[Any]:
    """(size,size) anisotropic Gaussian, sum 1: exp(-(u^2 / sigma_x^2 + v^2 / sigma_y^2) / 2), u along theta."""
    u, v = _axes(size, theta)
    spread_u, spread_v = max(sigma_x, _LEAST_SIGMA), max(sigma_y, _LEAST_SIGMA)
    return _unit(np.exp(-((u / spread_u) ** 2 + (v / spread_v) ** 2) / 2))


@lru_cache(64)
def motion_kernel(length: float, theta: float) -> NDArray[Any]:
    """A line of `length` px at angle theta with anti-aliased sides and ends, sum 1 (ours)."""
    u, v = _axes(_odd(length + 2), theta)
    along = np.clip(max(length, 1.0) / 2 + 0.5 - np.abs(u), 0, 1)
    return _unit(along * np.clip(1 - np.abs(v), 0, 1))


@lru_cache(64)
def sinc_kernel(size: int, cutoff: float) -> NDArray[Any]:
    """The circular low-pass w J1(w r) / (2 pi r) of cut-off w radians per px, sum 1 (Real-ESRGAN, Eq. 6).

    A cut-off of pi or more passes everything the grid can hold: the kernel is then a single 1.
    """
    if cutoff >= pi:
        return np.ones((1, 1), np.float32)
    u, v = _axes(size, 0.0)
    r = np.hypot(u, v)
    r[size // 2, size // 2] = 1.0
    kernel = cutoff * j1(cutoff * r) / (2 * pi * r)
    kernel[size // 2, size // 2] = cutoff**2 / (4 * pi)
    return _unit(kernel)


def _axes(size: int, theta: float) -> tuple[NDArray[Any], NDArray[Any]]:
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    return x * cos(theta) + y * sin(theta), -x * sin(theta) + y * cos(theta)


def _unit(kernel: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(kernel / kernel.sum(), np.float32)


def _odd(size: float) -> int:
    """The nearest odd number, at least 3."""
    return max(3, 2 * round((size - 1) / 2) + 1)
