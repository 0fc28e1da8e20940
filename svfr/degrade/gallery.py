"""One clip under every preset, look, mask and task: the pictures of the degradation report."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from svfr.degrade.apply import apply_recipe
from svfr.degrade.presets import PRESETS
from svfr.degrade.recipe import LOOKS, MASKS, Recipe
from svfr.degrade.sample import COMBINATIONS, sample_recipe
from svfr.degrade.shapes import draw_shapes


def gallery_recipes(seed: int = 0) -> Iterator[tuple[str, Recipe]]:
    """Pairs (label, recipe): every preset, every look, every mask kind, and `stc` under the seven task sets."""
    for preset in PRESETS:
        yield f"preset {preset}", sample_recipe(preset, seed, {"bfr"})
    grey = sample_recipe("stc", seed, {"color"})
    for look in LOOKS[1:]:
        yield f"look {look}", replace(grey, look=look)
    masked = sample_recipe("stc", seed, {"inpaint"})
    for kind in MASKS[1:]:
        text, shapes = draw_shapes(kind, seed)
        yield f"mask {kind}", replace(masked, mask_kind=kind, mask_text=text, mask_shapes=shapes)
    for task in COMBINATIONS:
        yield f"task {'+'.join(task)}", sample_recipe("stc", seed, task)


def gallery(frames_THWC: NDArray[np.uint8], seed: int = 0) -> dict[str, NDArray[np.uint8]]:
    """The clip (T,H,W,3) uint8 under each of `gallery_recipes`, by label, with the original first."""
    views = {label: apply_recipe(frames_THWC, recipe) for label, recipe in gallery_recipes(seed)}
    return {"original": frames_THWC} | views
