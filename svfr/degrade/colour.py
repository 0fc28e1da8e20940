"""Loss of colour: grey as in the official code, film looks, and the colour cast of GFPGAN's degradation."""

from __future__ import annotations

from math import cos, sin, tau
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from svfr.degrade.recipe import Recipe

Array = NDArray[Any]  # uint8, RGB
_SEPIA = (1.07, 0.93, 0.72)  # red, green, blue for each level of grey


def grey(frame_HWC: Array) -> Array:
    """Rec. 601 luma in all three channels, identical to PIL's convert("L").

    L = (19595 R + 38470 G + 7471 B + 2^15) >> 16
    """
    luma = np.asarray(Image.fromarray(frame_HWC).convert("L"))
    return cv2.merge([luma, luma, luma])


def apply_look(frame_HWC: Array, look: str, strength: float) -> Array:
    """The frame under a named look; strength 0..1 blends (grey: always whole; the other looks are ours).

    sepia: toned grey, from grey (0) to brown (1). faded: less contrast and saturation, lifted blacks, a warm cast.
    over_exposed: gain up to 1.5 with clipped highlights and less saturation.
    """
    if look == "none":
        return frame_HWC
    plain = grey(frame_HWC)
    if look == "grey":
        return plain
    if look == "sepia":
        return _mix(plain, cv2.merge([_scale(plain[..., 0], gain, 0) for gain in _SEPIA]), strength)
    if look == "faded":
        dull = _mix(frame_HWC, plain, 0.65 * strength)
        lifted = _scale(dull, 1 - 0.45 * strength, 70 * strength)
        return _shift(lifted, 12 * strength, 4 * strength, -10 * strength)
    return _scale(_mix(frame_HWC, plain, 0.5 * strength), 1 + 0.5 * strength, 20 * strength)


def colour_cast(frame_HWC: Array, recipe: Recipe) -> Array:
    """Channel shift, then brightness, contrast (about the mean luma), saturation and hue, in that order.

    GFPGAN applies the last four in a random order, turns the hue in HSV and draws anew for each image; here the clip
    has one draw, and the hue turns about the grey axis with its luma kept.
    """
    if recipe.shift_r or recipe.shift_g or recipe.shift_b:
        frame_HWC = _shift(frame_HWC, recipe.shift_r, recipe.shift_g, recipe.shift_b)
    if recipe.brightness != 1:
        frame_HWC = _scale(frame_HWC, recipe.brightness, 0)
    if recipe.contrast != 1:
        frame_HWC = _scale(frame_HWC, recipe.contrast, (1 - recipe.contrast) * float(grey(frame_HWC).mean()))
    if recipe.saturation != 1:
        frame_HWC = _mix(grey(frame_HWC), frame_HWC, recipe.saturation)
    if recipe.hue != 0:
        frame_HWC = _turn_hue(frame_HWC, recipe.hue)
    return frame_HWC


def _mix(first: Array, second: Array, share: float) -> Array:
    """first + share (second - first) in fixed point: OpenCV's floating-point blend differs between CPUs."""
    step = (second.astype(np.int32) - first) * round(share * 65536)
    blended: Array = np.clip(first + ((step + 32768) >> 16), 0, 255).astype(np.uint8)
    return blended


def _shift(frame: Array, red: float, green: float, blue: float) -> Array:
    return cv2.add(frame, np.array([red, green, blue, 0.0]))


def _scale(frame: Array, gain: float, offset: float) -> Array:
    """clip(round(gain x + offset)) by a look-up table."""
    table = np.clip(np.rint(gain * np.arange(256) + offset), 0, 255).astype(np.uint8)
    return cv2.LUT(frame, table)


def _turn_hue(frame: Array, turns: float) -> Array:
    """Turns (Cr, Cb) about grey in fixed point; HSV in OpenCV is floating point and differs between CPUs."""
    y, cr, cb = cv2.split(cv2.cvtColor(frame, cv2.COLOR_RGB2YCrCb))
    c, s = round(cos(tau * turns) * 65536), round(sin(tau * turns) * 65536)
    u, v = cb.astype(np.int32) - 128, cr.astype(np.int32) - 128
    turned = [
        np.clip(128 + ((plane + 32768) >> 16), 0, 255).astype(np.uint8) for plane in (s * u + c * v, c * u - s * v)
    ]
    return cv2.cvtColor(cv2.merge([y, *turned]), cv2.COLOR_YCrCb2RGB)
