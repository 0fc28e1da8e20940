"""Stage 4: kept clips in, `pairs` table out: who is held out, and the recipe of every degraded view.

Nothing is decoded here: a low-quality video is a function of its row (svfr.degrade).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.entry import main, require_rows
from stages.layout import Layout
from stages.split import assign, conflicts, identities
from svfr.artifacts import digest_of, short_id
from svfr.degrade import Recipe, sample_recipe, sample_task
from svfr.params import DegradeParams, Params
from svfr.tables import Row, check_accounted, reject

STAGE = "degrade"


def run(params: Params, root: Path) -> None:
    """Writes `data/pairs/`. Raises `UserError` if no clip was kept or nothing can be held out."""
    layout, options = Layout(root), params.degrade
    good = {row["clip_id"] for row in layout.read("scores") if row["kept"]}
    clips = [row for row in layout.read("clips") if row["clip_id"] in good]
    require_rows(STAGE, clips, [], layout.rejects("scores"))
    person = identities(clips, options.same_identity)
    split = assign(clips, person, options)
    dropped = conflicts(clips, split)
    pairs = [
        pair
        for clip in clips
        if clip["clip_id"] not in dropped
        for pair in _pairs(clip["clip_id"], person[clip["clip_id"]], split[clip["clip_id"]], options)
    ]
    message = "its video also shows a person of another split, which holds more of the video's clips"
    rejects = [reject(STAGE, clip_id, "split_conflict", message) for clip_id in sorted(dropped)]
    check_accounted(STAGE, sorted(good), {pair["clip_id"] for pair in pairs}, dropped)
    layout.write("pairs", pairs, rejects)
    counts = {name: len({p["clip_id"] for p in pairs if p["split"] == name}) for name in ("train", "val", "test")}
    print(f"degrade: {len(pairs)} pairs of {len(clips) - len(dropped)} clips, {counts}")


def _pairs(clip_id: str, identity_id: str, split: str, options: DegradeParams) -> list[Row]:
    """The rows of one clip."""
    head = {"clip_id": clip_id, "identity_id": identity_id, "split": split}
    recipes = [recipe.to_row() for recipe in _recipes(clip_id, split, options)]
    return [recipe | head | {"pair_id": short_id([clip_id, recipe])} for recipe in recipes]


def _recipes(clip_id: str, split: str, options: DegradeParams) -> list[Recipe]:
    """Training clips get random tasks; held-out clips each of the listed tasks once, so that figures compare.

    A training clip's first `noise_free_share` of views is drawn without noise; held-out views are always drawn in
    full and once for the clip.
    """

    def draw(key: int | list[str], task: Sequence[str] | None, **how: Any) -> Recipe:
        seed = int(digest_of([options.seed, clip_id, key])[:15], 16)
        preset = options.presets[seed % len(options.presets)]
        chosen = sample_task(seed, options.task_weights or None) if task is None else task
        return sample_recipe(preset, seed, chosen, **how)

    if split != "train":
        return [draw(list(task), task) for task in options.test_tasks]
    quiet = round(options.noise_free_share * options.pairs_per_clip)
    return [
        draw(number, None, schedule="noise_free" if number < quiet else "full", vary=options.vary)
        for number in range(options.pairs_per_clip)
    ]


if __name__ == "__main__":
    main(run)
