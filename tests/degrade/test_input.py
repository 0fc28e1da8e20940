"""Which clips are accepted, and what is said of the others."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from svfr.degrade import COMBINATIONS, PRESETS, apply_recipe, gallery, gallery_recipes, sample_recipe
from svfr.errors import UserError

ALL = ("bfr", "color", "inpaint")


@pytest.mark.parametrize("shape", [(1, 64, 64, 3), (2, 63, 97, 3), (3, 8, 9, 3), (17, 40, 24, 3), (1, 301, 33, 3)])
def test_any_length_and_parity(shape: tuple[int, ...]) -> None:
    frames = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    for preset in PRESETS:
        for vary in ("clip", "frame"):
            view = apply_recipe(frames, sample_recipe(preset, 9, ALL, vary="frame" if vary == "frame" else "clip"))
            assert view.shape == shape
            assert view.dtype == np.uint8


@pytest.mark.parametrize("codec_seed", range(8))
def test_every_codec_takes_odd_and_tiny_pictures(codec_seed: int) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 33, 51, 3), np.uint8)
    view = apply_recipe(frames, sample_recipe("heavy", codec_seed, {"bfr"}))
    assert view.shape == frames.shape


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((0, 64, 64, 3), np.uint8), "the clip is empty"),
        (np.zeros((4, 64, 64), np.uint8), "repeat a grey channel"),
        (np.zeros((4, 64, 64, 1), np.uint8), "repeat a grey channel"),
        (np.zeros((4, 64, 64, 4), np.uint8), r"\(T,H,W,3\) RGB is needed"),
        (np.zeros((64, 64, 3), np.uint8), r"\(T,H,W,3\) RGB is needed"),
        (np.zeros((4, 64, 64, 3), np.uint16), "frames are uint16: convert"),
        (np.zeros((4, 64, 64, 3), np.float32), "frames are float32: convert"),
        (np.zeros((4, 5, 64, 3), np.uint8), "64x5: sides of at least 8 px"),
        ([[0]], "frames are list: convert"),
    ],
)
def test_other_clips_are_refused(frames: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        apply_recipe(frames, sample_recipe("stc", 0, ALL))


@pytest.mark.parametrize("start", [-1, 1.5])
def test_a_start_that_is_no_index_is_refused(start: float) -> None:
    with pytest.raises(UserError, match=f"start is {start}"):
        apply_recipe(np.zeros((1, 64, 64, 3), np.uint8), sample_recipe("stc", 0, ALL), start=start)  # type: ignore[arg-type]


def test_the_gallery_shows_every_preset_and_task() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 48, 48, 3), np.uint8)
    views = gallery(frames)
    labels = [label for label, _ in gallery_recipes()]
    assert list(views) == ["original", *labels]
    assert {f"preset {name}" for name in PRESETS} | {f"task {'+'.join(task)}" for task in COMBINATIONS} <= set(labels)
    assert all(view.shape == frames.shape for view in views.values())
