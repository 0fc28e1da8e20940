"""`reports/degradations.html`: one clip under every preset, look, mask and task set, with what was drawn."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from stages.entry import main
from stages.layout import Layout
from stages.pages import GALLERY, data_uri, environment
from svfr.artifacts import write_text
from svfr.degrade import COMBINATIONS, PRESETS, Recipe, apply_recipe, gallery_recipes, recipe_mask, sample_recipe
from svfr.errors import UserError
from svfr.metrics.frame import decibels
from svfr.params import Params
from svfr.tables import Row
from svfr.video.clip import decode_clip
from svfr.video.shards import read_member

FRAMES = 16  # the clip's first, as many as a training window has
_SHOWN = 4  # of them in a strip
_TILE = 160  # px; larger frames are reduced to it
_SMALL_TILE = 112
_SMALL_FRAMES = 5  # around the middle frame, for the table of presets and task sets
_HEAD = {"preset", "seed", "bfr", "color", "inpaint", "recipe_version", "reference_size", "schedule", "vary"}

Frames = NDArray[np.uint8]  # (T,H,W,3) RGB


@dataclass(frozen=True)
class View:
    """One picture of the page: `psnr` in dB against the clean clip, whole picture; None if nothing was changed."""

    label: str
    picture: str  # a PNG's data URI
    psnr: float | None
    drawn: dict[str, str]


def run(params: Params, root: Path) -> None:
    """Writes `reports/degradations.html`. Raises `UserError` if there is no kept clip yet."""
    layout = Layout(root)
    clip, held_out = _choose(layout)
    frames = decode_clip(read_member(layout.shards("clips"), clip["shard"], clip["offset"], clip["size"]))
    page = layout.reports / GALLERY
    write_text(page, render(frames[:FRAMES], clip["clip_id"], held_out=held_out))
    print(f"gallery: {page}")


def render(frames: Frames, clip_id: str, *, held_out: bool, seed: int = 0) -> str:
    """The page for `frames` (T,H,W,3) uint8 RGB; every recipe is the draw of `seed`."""
    groups: dict[str, list[View]] = {}
    for label, recipe in gallery_recipes(seed):
        group, name = label.split(" ", 1)
        groups.setdefault(group, []).append(_view(name, frames, recipe))
    middle = max(len(frames) // 2 - _SMALL_FRAMES // 2, 0)
    window = frames[middle : middle + _SMALL_FRAMES]
    table = {
        preset: [_cell(window, sample_recipe(preset, seed, task), middle) for task in COMBINATIONS]
        for preset in PRESETS
    }
    template = environment().get_template("gallery.html")
    return template.render(
        clean=data_uri(_strip(frames)),
        groups=groups,
        table=table,
        tasks=[" + ".join(task) for task in COMBINATIONS],
        clip_id=clip_id,
        held_out=held_out,
        shape=frames.shape,
        seed=seed,
    )


def _choose(layout: Layout) -> tuple[Row, bool]:
    """The first kept clip by id, a held-out one where there is any; and whether it is held out."""
    kept = {row["clip_id"]: row for row in layout.read("clips") if row["status"] == "kept"}
    if not kept:
        raise UserError(f"gallery: {layout.table('clips')} has no kept clip to show: add a source with a face")
    pairs = layout.read("pairs") if layout.table("pairs").exists() else []
    test = kept.keys() & {pair["clip_id"] for pair in pairs if pair["split"] == "test"}
    return kept[min(test or kept)], bool(test)


def _view(label: str, frames: Frames, recipe: Recipe) -> View:
    degraded = apply_recipe(frames, recipe)
    drawn = described(recipe)
    if recipe.inpaint:
        drawn["masked"] = f"{100 * recipe_mask(recipe, *frames.shape[:3]).mean():.1f} %"
    return View(label, data_uri(_strip(degraded)), _psnr(degraded, frames), drawn)


def _cell(window: Frames, recipe: Recipe, start: int) -> View:
    degraded = apply_recipe(window, recipe, start=start)
    picture = _png(_reduced(degraded[len(degraded) // 2], _SMALL_TILE))
    return View(recipe.preset, data_uri(picture), _psnr(degraded, window), {})


def _psnr(degraded: Frames, clean: Frames) -> float | None:
    """Of all pixels of the clip at once: a mean over frames would be ruled by the frames that flicker spares."""
    error = float(np.square(np.subtract(degraded, clean, dtype=np.float32)).mean(dtype=np.float64))
    return decibels(error) if error else None


def described(recipe: Recipe) -> dict[str, str]:
    """The drawn values that have an effect, by field; the mask's geometry is only counted."""
    shown = {}
    for field in fields(Recipe):
        value = getattr(recipe, field.name)
        drawn = value != field.default or field.name == "blur_size"
        if drawn and field.name not in _HEAD and _acts(recipe, field.name):
            shown[field.name] = _text(value)
    return shown


def _acts(recipe: Recipe, name: str) -> bool:
    """False for values that were drawn but belong to a blur, codec or movement that this recipe does not have."""
    gaussian = recipe.blur_kind in ("iso", "aniso")
    conditions = {
        "blur_size": gaussian or recipe.blur_kind == "sinc",
        "blur_sigma_x": gaussian,
        "blur_sigma_y": recipe.blur_kind == "aniso",
        "blur_theta": recipe.blur_kind in ("aniso", "motion"),
        "blur_length": recipe.blur_kind == "motion",
        "blur_cutoff": recipe.blur_kind == "sinc",
        "codec_scale": recipe.codec != "none" and recipe.codec_scale != recipe.scale,
        "codec_crf": recipe.codec != "none" and recipe.codec_bpp == 0,
        "mask_period": recipe.mask_move_x > 0 or recipe.mask_move_y > 0,
    }
    return conditions.get(name, True)


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return str(len(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value).replace("\n", " / ")


def _strip(frames: Frames) -> bytes:
    """A few frames, evenly spaced, side by side with a thin gap, as PNG."""
    chosen = np.linspace(0, len(frames) - 1, min(_SHOWN, len(frames))).round().astype(int)
    tiles = [_reduced(frames[i], _TILE) for i in chosen]
    gap = np.full((tiles[0].shape[0], max(1, tiles[0].shape[1] // 48), 3), 255, np.uint8)
    return _png(np.concatenate([part for tile in tiles for part in (gap, tile)][1:], axis=1))


def _reduced(frame_HWC: Frames, side: int) -> Frames:
    H, W = frame_HWC.shape[:2]
    zoom = side / max(H, W)
    if zoom >= 1:
        return frame_HWC
    reduced = cv2.resize(frame_HWC, (round(W * zoom), round(H * zoom)), interpolation=cv2.INTER_AREA)
    return np.asarray(reduced, np.uint8)


def _png(frame_HWC: Frames) -> bytes:
    return bytes(cv2.imencode(".png", cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2BGR))[1])


if __name__ == "__main__":
    main(run)
