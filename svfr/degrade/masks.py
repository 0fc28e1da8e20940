"""Renders the recipe's mask: which pixels of each frame are unknown."""

from __future__ import annotations

from math import sin, sqrt, tau

import cv2
import numpy as np
from numpy.typing import NDArray

from svfr.degrade.recipe import Recipe, Shapes

Mask = NDArray[np.bool_]
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_CAPITAL = 21.0  # height in px of a capital letter of that font at scale 1


def recipe_mask(recipe: Recipe, T: int, H: int, W: int, start: int = 0) -> Mask:
    """(T,H,W) bool, True where the picture is painted over; all False without the inpaint task.

    `start` is the absolute index of the first frame: any window gets the same mask as in the whole clip.
    """
    if not recipe.inpaint or recipe.mask_kind == "none":
        return np.zeros((T, H, W), bool)
    if recipe.mask_move_x == 0 and recipe.mask_move_y == 0:
        return np.broadcast_to(_render(recipe, H, W, 0.0, 0.0), (T, H, W))
    return np.stack([_render(recipe, H, W, *_offset(recipe, start + t)) for t in range(T)])


def fill_white(frames_THWC: NDArray[np.uint8], mask_THW: Mask) -> NDArray[np.uint8]:
    """Paints masked pixels 255, as the official inpainting input; unmasked pixels stay as they are."""
    return np.where(mask_THW[..., None], np.uint8(255), frames_THWC)


def _offset(recipe: Recipe, t: int) -> tuple[float, float]:
    """Offset of frame t = amplitude * sin(2 pi t / period), in shares of the frame (ours)."""
    swing = sin(tau * t / recipe.mask_period)
    return recipe.mask_move_x * swing, recipe.mask_move_y * swing


def _render(recipe: Recipe, H: int, W: int, dx: float, dy: float) -> Mask:
    canvas = np.zeros((H, W), np.uint8)
    if recipe.mask_kind == "text":
        _draw_text(canvas, recipe.mask_text.split("\n"), recipe.mask_shapes, dx, dy)
    else:
        _draw_lines(canvas, recipe.mask_shapes, dx, dy)
    return canvas > 0


def _draw_lines(canvas: NDArray[np.uint8], shapes: Shapes, dx: float, dy: float) -> None:
    H, W = canvas.shape
    for width, *flat in shapes:
        xy = (np.array(flat).reshape(-1, 2) + np.array([dx, dy])) * (W, H)
        points = np.round(xy).astype(np.int32)
        if width == 0:
            cv2.fillPoly(canvas, [points], 255)
            continue
        thickness = max(1, round(width * sqrt(H * W)))
        cv2.polylines(canvas, [points], False, 255, thickness)
        for x, y in points:
            cv2.circle(canvas, (int(x), int(y)), thickness // 2, 255, -1)


def _draw_text(canvas: NDArray[np.uint8], lines: list[str], shapes: Shapes, dx: float, dy: float) -> None:
    H, W = canvas.shape
    for line, (height, x, y) in zip(lines, shapes, strict=True):
        scale = height * H / _CAPITAL
        place = (round((x + dx) * W), round((y + dy) * H))
        cv2.putText(canvas, line, place, _FONT, scale, 255, max(1, round(4 * scale)))
