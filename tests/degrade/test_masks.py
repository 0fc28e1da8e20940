"""Masks: where they are, that they move or stay, and that their white is exact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from svfr.degrade import Recipe, apply_recipe, recipe_mask, sample_recipe
from svfr.degrade.recipe import MASKS
from svfr.degrade.shapes import draw_shapes

KINDS = MASKS[1:]


def _masked(kind: str, seed: int, **others: float) -> Recipe:
    text, shapes = draw_shapes(kind, seed)
    still = {"mask_move_x": 0.0, "mask_move_y": 0.0} | others
    base = sample_recipe("stc", seed, {"inpaint"})
    return replace(base, mask_kind=kind, mask_text=text, mask_shapes=shapes, **still)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [(64, 64), (97, 131), (512, 512)])
def test_every_kind_covers_a_part_at_every_size(kind: str, size: tuple[int, int]) -> None:
    for seed in range(5):
        share = recipe_mask(_masked(kind, seed), 1, *size).mean()
        assert 0.001 < share < 0.7, (kind, seed, share)


@pytest.mark.parametrize("kind", KINDS)
def test_the_share_does_not_depend_on_the_frame_size(kind: str) -> None:
    recipe = _masked(kind, 3)
    small, large = (recipe_mask(recipe, 1, side, side).mean() for side in (512, 1536))
    assert small == pytest.approx(large, rel=0.25)


@pytest.mark.parametrize("kind", KINDS)
def test_masked_pixels_are_white_and_the_others_untouched(face_clip: NDArray[np.uint8], kind: str) -> None:
    recipe = _masked(kind, 1, mask_move_x=0.1)
    view, mask = apply_recipe(face_clip, recipe), recipe_mask(recipe, *face_clip.shape[:3])
    assert (view[mask] == 255).all()
    np.testing.assert_array_equal(view[~mask], face_clip[~mask])


def test_the_mask_comes_after_every_other_degradation(face_clip: NDArray[np.uint8]) -> None:
    recipe = sample_recipe("heavy", 6, {"bfr", "color", "inpaint"})
    view, mask = apply_recipe(face_clip, recipe), recipe_mask(recipe, *face_clip.shape[:3])
    unmasked = apply_recipe(face_clip, replace(recipe, inpaint=False))
    assert mask.any()
    assert (view[mask] == 255).all()
    np.testing.assert_array_equal(view[~mask], unmasked[~mask])


def test_masks_are_static_or_swing() -> None:
    still, moving = _masked("rectangles", 2), _masked("rectangles", 2, mask_move_x=0.1, mask_period=16.0)
    frames = recipe_mask(still, 8, 64, 64)
    assert (frames == frames[:1]).all()
    swing = recipe_mask(moving, 17, 64, 64)
    assert (swing[0] != swing[4]).any()
    np.testing.assert_array_equal(swing[0], swing[16])
    some = [sample_recipe("stc", seed, {"inpaint"}) for seed in range(200)]
    share = np.mean([recipe.mask_move_x > 0 or recipe.mask_move_y > 0 for recipe in some])
    assert share == pytest.approx(0.51, abs=0.12)  # 1 - 0.7^2


def test_no_mask_without_the_task() -> None:
    assert not recipe_mask(sample_recipe("stc", 0, {"bfr", "color"}), 3, 32, 32).any()


def test_strokes_have_the_published_numbers() -> None:
    strokes = [shape for seed in range(300) for shape in draw_shapes("strokes", seed)[1]]
    widths = [shape[0] * 512 for shape in strokes]
    assert {len(draw_shapes("strokes", seed)[1]) for seed in range(60)} == {1, 2, 3}
    assert min(widths) >= 30
    assert max(widths) <= 69
    assert {(len(shape) - 1) // 2 - 1 for shape in strokes} == set(range(8, 28))
    points = np.concatenate([shape[1:] for shape in strokes])
    assert points.min() >= 0
    assert points.max() <= 1
    steps = np.concatenate([np.diff(np.reshape(shape[1:], (-1, 2)), axis=0) for shape in strokes])
    assert np.hypot(*steps.T).max() <= np.sqrt(2) / 4 + 1e-9


def test_strokes_prefer_no_side() -> None:
    cover = np.mean([recipe_mask(_masked("strokes", seed), 1, 32, 32)[0] for seed in range(300)], axis=0)
    assert cover[:, :16].mean() == pytest.approx(cover[:, 16:].mean(), rel=0.2)
