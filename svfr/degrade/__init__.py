"""Degradation synthesis: `sample_recipe` draws a table row, `apply_recipe` replays it bit for bit.

Every published recipe is a preset; each parameter is drawn once for a clip, from its own random stream.
"""

from svfr.degrade.apply import apply_recipe
from svfr.degrade.gallery import gallery, gallery_recipes
from svfr.degrade.masks import recipe_mask
from svfr.degrade.presets import PRESETS
from svfr.degrade.recipe import PAIR_RECIPE_FIELDS, RECIPE_VERSION, Recipe
from svfr.degrade.sample import COMBINATIONS, sample_recipe, sample_task, schedule_at

__all__ = [
    "COMBINATIONS",
    "PAIR_RECIPE_FIELDS",
    "PRESETS",
    "RECIPE_VERSION",
    "Recipe",
    "apply_recipe",
    "gallery",
    "gallery_recipes",
    "recipe_mask",
    "sample_recipe",
    "sample_task",
    "schedule_at",
]
