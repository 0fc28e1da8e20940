"""Replays a recipe on a clip."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from svfr.degrade.blur import blur
from svfr.degrade.codec import through_codec
from svfr.degrade.colour import apply_look, colour_cast
from svfr.degrade.film import flicker, old_film
from svfr.degrade.jpeg import jpeg
from svfr.degrade.masks import fill_white, recipe_mask
from svfr.degrade.noise import add_noise
from svfr.degrade.recipe import Recipe
from svfr.degrade.sample import frame_recipe
from svfr.degrade.scale import low_size, resize
from svfr.errors import UserError

Frames = NDArray[np.uint8]
_LEAST_SIDE = 8


def apply_recipe(frames_THWC: Frames, recipe: Recipe, *, start: int = 0) -> Frames:
    """The degraded view of a clip: (T,H,W,3) uint8 RGB in, the same shape out, the input untouched.

    Order: old film, flicker, blur, down-scale, noise, JPEG, codec, up-scale, colour cast, look (colour loss), mask.
    Noise comes before the codec (BFVR-STC Eq. 9); the look comes after everything that adds colour, so that a grey
    view is grey to the bit; the mask comes last, so that its white is exact, as in the official code.

    `start` is the index of the first frame inside its clip: noise, film, flicker and mask follow the absolute index,
    so a window equals the same frames of the whole clip, bit for bit, unless the recipe has a video codec, whose
    every frame depends on the frames it was given with.

    The same library versions give the same bits in any process, on any number of threads, with or without AVX2,
    AVX-512 and IPP. The encoders' settings (codec.py) are part of the recipe version.

    Raises `UserError` for anything but a non-empty (T,H,W,3) uint8 array with sides of at least 8 px.
    """
    _check(frames_THWC, start)
    T, H, W = frames_THWC.shape[:3]
    views = [np.ascontiguousarray(frame) for frame in frames_THWC]
    if recipe.bfr:
        views = _blind(views, recipe, start)
    if recipe.color:
        views = [apply_look(view, recipe.look, recipe.look_strength) for view in views]
    result = np.stack(views)
    return fill_white(result, recipe_mask(recipe, T, H, W, start)) if recipe.inpaint else result


def _blind(frames: list[Frames], recipe: Recipe, start: int) -> list[Frames]:
    """The bfr part: everything but look and mask."""
    H, W = frames[0].shape[:2]
    canvas = low_size(H, W, recipe.codec_scale)
    low = [resize(_shrink(frame, recipe, start + i), canvas, recipe.up_kernel) for i, frame in enumerate(frames)]
    coded = through_codec(low, recipe.codec, recipe.codec_crf, recipe.codec_bpp)
    return [colour_cast(resize(frame, (H, W), recipe.up_kernel), recipe) for frame in coded]


def _shrink(frame: Frames, recipe: Recipe, index: int) -> Frames:
    """One frame up to its low picture: film, flicker, blur, down-scale, noise, JPEG."""
    own = frame_recipe(recipe, index)
    frame = flicker(old_film(frame, own, index), own, index)
    frame = resize(blur(frame, own), low_size(frame.shape[0], frame.shape[1], own.scale), own.down_kernel)
    return jpeg(add_noise(frame, own, index), own.jpeg_quality)


def _check(frames: Any, start: int) -> None:
    shape, dtype = getattr(frames, "shape", None), getattr(frames, "dtype", None)
    if shape is None or dtype != np.uint8:
        raise UserError(f"frames are {dtype or type(frames).__name__}: convert them to a uint8 array of 0..255 first")
    if len(shape) != 4 or shape[3] != 3:
        raise UserError(f"frames have the shape {shape}: (T,H,W,3) RGB is needed; repeat a grey channel three times")
    if shape[0] == 0:
        raise UserError("the clip is empty: give at least one frame")
    if min(shape[1:3]) < _LEAST_SIDE:
        raise UserError(f"frames are {shape[2]}x{shape[1]}: sides of at least {_LEAST_SIDE} px are needed")
    if not (isinstance(start, Integral) and start >= 0):
        raise UserError(f"start is {start}: the first frame's index inside its clip is a whole number of at least 0")
