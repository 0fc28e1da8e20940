"""Colour loss: the official grey to the bit, and named looks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from svfr.degrade import apply_recipe, sample_recipe

Clip = NDArray[np.uint8]


def test_grey_is_rec601_as_pil_rounds_it() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3), np.uint8)
    view = apply_recipe(colours, sample_recipe("stc", 0, {"color"}))
    r, g, b = (colours[0, ..., i].astype(np.uint32) for i in range(3))
    luma = (19595 * r + 38470 * g + 7471 * b + 0x8000) >> 16
    np.testing.assert_array_equal(view[0], np.repeat(luma[..., None], 3, axis=2))
    np.testing.assert_array_equal(view[0, ..., 0], np.asarray(Image.fromarray(colours[0]).convert("L")))


def test_grey_stays_grey_after_the_whole_chain(face_clip: Clip) -> None:
    view = apply_recipe(face_clip[:4], sample_recipe("heavy", 2, {"bfr", "color"}))
    assert (view == view[..., :1]).all()


def test_looks_differ_as_they_say(face_clip: Clip) -> None:
    base = sample_recipe("old_film", 0, {"color"})
    grey, sepia, faded, bright = (
        apply_recipe(face_clip[:2], replace(base, look=look, look_strength=1.0)).astype(np.float64)
        for look in ("grey", "sepia", "faded", "over_exposed")
    )
    assert sepia[..., 0].mean() > sepia[..., 1].mean() > sepia[..., 2].mean() + 10  # brown
    assert faded.std() < 0.7 * face_clip[:2].std()
    assert faded.min() > 40  # lifted blacks
    assert bright.mean() > face_clip[:2].mean() + 30
    assert (bright == 255).mean() > 2 * (face_clip[:2] == 255).mean() + 0.02  # clipped highlights
    np.testing.assert_allclose(
        apply_recipe(face_clip[:2], replace(base, look="sepia", look_strength=0.0)), grey, rtol=0, atol=1
    )


@pytest.mark.parametrize("preset", ["stc", "old_film"])
def test_looks_are_drawn_by_preset(preset: str) -> None:
    looks = {sample_recipe(preset, seed, {"color"}).look for seed in range(60)}
    assert looks == ({"grey"} if preset == "stc" else {"grey", "sepia", "faded", "over_exposed"})
