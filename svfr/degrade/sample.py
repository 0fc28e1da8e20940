"""Draws recipes and task sets from a seed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any, Literal

from svfr.degrade.presets import Preset, Uniform, preset_of
from svfr.degrade.recipe import TASKS, Recipe, check_task
from svfr.degrade.seeds import stream
from svfr.degrade.shapes import draw_shapes
from svfr.errors import UserError

COMBINATIONS = tuple(names for size in (1, 2, 3) for names in combinations(TASKS, size))
_PER_FRAME = ("blur_", "noise_", "scale", "down_kernel", "jpeg_quality")


def sample_recipe(
    preset: str,
    seed: int,
    task: Iterable[str],
    *,
    schedule: Literal["full", "noise_free"] = "full",
    vary: Literal["clip", "frame"] = "clip",
) -> Recipe:
    """Draws every parameter once, each from its own stream of `seed`.

    Draws are independent of each other and the same for every task set that uses them. `schedule="noise_free"` is the
    first phase of BFVR-STC's incremental training: the same recipe without noise. `vary="frame"` redraws blur, scale,
    noise and JPEG in every frame from preset and seed (the paper's ablation; its default and ours is one draw for the
    clip), so there `dataclasses.replace` has no effect on those fields.
    Raises `UserError` for an unknown preset or task or a seed that is no whole number of 0..2**63-1.
    """
    chosen = check_task(task)
    for_bfr, for_color, for_inpaint = preset_of(preset)
    values: dict[str, Any] = {}
    if "bfr" in chosen:
        values |= _bfr_values(for_bfr, seed)
        values["codec_scale"] = values.get("scale", 1.0) if vary == "clip" else _finest_scale(for_bfr)
    if "color" in chosen:
        values |= _draw(for_color, seed)
    if "inpaint" in chosen:
        values |= _draw(for_inpaint, seed)
        values["mask_text"], values["mask_shapes"] = draw_shapes(values["mask_kind"], seed)
    if schedule == "noise_free":
        values |= {"noise_kind": "none", "noise_sigma": 0.0}
    values |= {name: name in chosen for name in TASKS}
    return Recipe(preset=preset, seed=seed, schedule=schedule, vary=vary, **values)


def frame_recipe(recipe: Recipe, index: int) -> Recipe:
    """The recipe of absolute frame `index`: itself, or with `vary="frame"` its own draws of `_PER_FRAME`."""
    if recipe.vary == "clip" or not recipe.bfr:
        return recipe
    own = {name: draw for name, draw in preset_of(recipe.preset)[0].items() if name.startswith(_PER_FRAME)}
    values = _bfr_values(own, recipe.seed, index)
    if recipe.schedule == "noise_free":
        values |= {"noise_kind": "none", "noise_sigma": 0.0}
    return replace(recipe, **values)


def sample_task(seed: int, weights: Mapping[str, float] | None = None) -> tuple[str, ...]:
    """One of the seven non-empty task sets, all alike or by weight, in the order bfr, color, inpaint.

    `weights` maps names joined by "+" ("bfr+color", any order) to non-negative numbers; sets it leaves out get 0.
    Raises `UserError` for an unknown name, a negative weight or a sum of zero.
    """
    table = dict.fromkeys(COMBINATIONS, 0.0 if weights else 1.0)
    for name, weight in (weights or {}).items():
        chosen = check_task(part.strip() for part in name.split("+"))
        if not weight >= 0:
            raise UserError(f"task weight of '{name}' is {weight}: it must not be negative")
        table[tuple(task for task in TASKS if task in chosen)] += weight
    total = sum(table.values())
    if not 0 < total < float("inf"):
        raise UserError("task weights add up to nothing: give at least one a positive, finite weight")
    p = [weight / total for weight in table.values()]
    return COMBINATIONS[int(stream(seed, "task").choice(len(COMBINATIONS), p=p))]


def schedule_at(step: int, noise_free_steps: int = 2000) -> Literal["full", "noise_free"]:
    """The schedule of a training step: noise-free first, then full (BFVR-STC A.11: 2 000 steps without noise)."""
    return "noise_free" if step < noise_free_steps else "full"


def _draw(preset: Preset, seed: int, *index: int) -> dict[str, Any]:
    values = {name: draw.draw(stream(seed, name, *index)) for name, draw in preset.items()}
    return {name: value for name, value in values.items() if value is not None}


def _finest_scale(preset: Preset) -> float:
    """The scale of the picture that the codec sees when every frame has its own: no frame loses detail to it."""
    scale = preset.get("scale")
    return max(scale.low, 1.0) if isinstance(scale, Uniform) else 1.0


def _bfr_values(preset: Preset, seed: int, *index: int) -> dict[str, Any]:
    values = _draw(preset, seed, *index)
    if values.get("blur_kind") == "iso":
        values |= {"blur_sigma_y": values["blur_sigma_x"], "blur_theta": 0.0}
    return values
