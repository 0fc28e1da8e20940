"""Damage of old film and flicker; every frame depends on the seed and its absolute index alone."""

from __future__ import annotations

from functools import lru_cache
from math import sin, sqrt, tau
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.degrade.recipe import Recipe
from svfr.degrade.seeds import stream

Array = NDArray[Any]  # uint8, RGB
_SCRATCH_LIFE = 12  # frames for which a scratch keeps its opacity
_GRAIN_GAIN = 1.7  # restores the std that the grain's 3x3 binomial filter takes away (8/3 in power)


def flicker(frame_HWC: Array, recipe: Recipe, index: int) -> Array:
    """With probability p the frame is multiplied by U[low, high] (BFVR-STC A.12: 0.3, 0.5, 1.5), clipped.

    With `flicker_detail` its fine detail is another one then, as in generated video.
    """
    if recipe.flicker_p == 0:
        return frame_HWC
    rng = stream(recipe.seed, "flicker", index)
    if rng.random() >= recipe.flicker_p:
        return frame_HWC
    bright = cv2.convertScaleAbs(frame_HWC, alpha=float(rng.uniform(recipe.flicker_low, recipe.flicker_high)))
    return bright if recipe.flicker_detail == 1 else _other_detail(bright, recipe.flicker_detail, rng)


def _other_detail(frame_HWC: Array, factor: float, rng: np.random.Generator) -> Array:
    """Noise of the same fineness and local strength in place of what a picture `factor` times smaller cannot hold.

        y = L x + s n / sqrt(G n^2),   s = sqrt(G (x - L x)^2),   n = u - L u

    L shrinks by area and enlarges again, G is a Gaussian, u white noise, the same in all channels (ours).
    """
    height, width = frame_HWC.shape[:2]
    small = max(1, round(width / factor)), max(1, round(height / factor))

    def coarse(picture: Array) -> Array:
        shrunk = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        return cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_CUBIC)

    def strength(detail: Array) -> Array:
        return np.sqrt(cv2.GaussianBlur(detail**2, (0, 0), factor))

    x = frame_HWC.astype(np.float32)
    white = rng.standard_normal((height, width, 1), np.float32).repeat(3, axis=2)
    noise, low = white - coarse(white), coarse(x)
    drawn = low + strength(x - low) * noise / np.maximum(strength(noise), 1e-6)
    return np.clip(np.rint(drawn), 0, 255).astype(np.uint8)


def old_film(frame_HWC: Array, recipe: Recipe, index: int) -> Array:
    """Grain, scratches, dust, vignetting, brightness flicker and jitter, in that order (ours)."""
    frame = _add_grain(frame_HWC, recipe, index) if recipe.film_grain else frame_HWC
    if recipe.film_scratches:
        frame = _scratch(frame, recipe, index)
    if recipe.film_dust:
        frame = _dust(frame, recipe, index)
    if recipe.film_vignette or recipe.film_flicker:
        gain = 1 + recipe.film_flicker * float(stream(recipe.seed, "film gain", index).standard_normal())
        frame = _shade(frame, recipe.film_vignette, max(gain, 0.0))
    return _shift(frame, recipe, index) if recipe.film_jitter else frame


def _add_grain(frame: Array, recipe: Recipe, index: int) -> Array:
    field = stream(recipe.seed, "film grain", index).standard_normal(frame.shape[:2], np.float32)
    field = cv2.GaussianBlur(field, (3, 3), 0) * np.float32(_GRAIN_GAIN * recipe.film_grain)
    return cv2.add(frame, cv2.merge([field, field, field]), dtype=cv2.CV_8U)


def _scratch(frame: Array, recipe: Recipe, index: int) -> Array:
    """Upright lines, light or dark; each wanders slowly and changes its opacity every few frames."""
    H, W = frame.shape[:2]
    layer = np.zeros((H, W), np.float32)
    for line in range(recipe.film_scratches):
        rng = stream(recipe.seed, "film scratch", line)
        place, phase, period = rng.random(), rng.random(), rng.uniform(20, 80)
        level = float(rng.choice([-90.0, 110.0]))
        opacity = float(stream(recipe.seed, "film opacity", line, index // _SCRATCH_LIFE).uniform(-0.6, 1))
        if opacity <= 0:
            continue
        x = round((place + 0.02 * sin(tau * (index / period + phase))) * W)
        cv2.line(layer, (x, 0), (x + round(0.01 * W), H), opacity * level, _pixels(2, frame, recipe))
    return cv2.add(frame, cv2.merge([layer, layer, layer]), dtype=cv2.CV_8U)


def _dust(frame: Array, recipe: Recipe, index: int) -> Array:
    H, W = frame.shape[:2]
    rng = stream(recipe.seed, "film dust", index)
    frame = frame.copy()
    for _ in range(int(rng.poisson(recipe.film_dust))):
        centre = (int(rng.integers(W)), int(rng.integers(H)))
        axes = tuple(_pixels(float(v), frame, recipe) for v in rng.uniform(1, 6, 2))
        level = int(rng.choice([20, 235]))
        cv2.ellipse(frame, centre, axes, float(rng.uniform(0, 180)), 0, 360, (level,) * 3, -1)
    return frame


def _shade(frame: Array, strength: float, gain: float) -> Array:
    light = _vignette(*frame.shape[:2], strength) * np.float32(gain)
    return cv2.multiply(frame, cv2.merge([light, light, light]), dtype=cv2.CV_8U)


@lru_cache(8)
def _vignette(H: int, W: int, strength: float) -> NDArray[Any]:
    """1 - strength r^2, r = 1 in the corners."""
    y, x = np.linspace(-1, 1, H)[:, None], np.linspace(-1, 1, W)[None]
    return (1 - strength * (x**2 + y**2) / 2).astype(np.float32)


def _shift(frame: Array, recipe: Recipe, index: int) -> Array:
    H, W = frame.shape[:2]
    std = recipe.film_jitter * min(H, W) / recipe.reference_size
    dx, dy = stream(recipe.seed, "film jitter", index).normal(0, std / sqrt(2), 2)
    move = np.array([[1, 0, round(float(dx))], [0, 1, round(float(dy))]], np.float32)
    return cv2.warpAffine(frame, move, (W, H), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _pixels(length: float, frame: Array, recipe: Recipe) -> int:
    zoom = min(frame.shape[:2]) / recipe.reference_size
    return int(max(1, round(length * zoom)))
