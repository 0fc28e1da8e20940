"""Recipes as table rows: exact round trip, independent draws, and a version that guards them."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.artifacts import digest_of
from svfr.degrade import (
    COMBINATIONS,
    PAIR_RECIPE_FIELDS,
    PRESETS,
    Recipe,
    sample_recipe,
    sample_task,
    schedule_at,
)
from svfr.errors import UserError
from svfr.tables import read_table, write_table

ALL = ("bfr", "color", "inpaint")


def _pair(recipe: Recipe) -> dict[str, Any]:
    head = {"clip_id": "c", "identity_id": "i", "split": "train"}
    return head | recipe.to_row() | {"pair_id": f"{recipe.preset}-{recipe.seed}-{'+'.join(recipe.task)}"}


def test_every_preset_survives_the_pairs_table(tmp_path: Path) -> None:
    recipes = [sample_recipe(p, 11 * i, task) for p in PRESETS for i, task in enumerate(COMBINATIONS)]
    write_table(tmp_path / "pairs.parquet", "pairs", [_pair(recipe) for recipe in recipes])
    back = {Recipe.from_row(row) for row in read_table(tmp_path / "pairs.parquet", "pairs")}
    assert back == set(recipes)
    assert len(back) == len(recipes)


def test_a_row_from_the_table_has_the_digest_of_the_row_that_was_written(tmp_path: Path) -> None:
    pairs = [_pair(sample_recipe(preset, 3, ALL)) for preset in PRESETS]
    write_table(tmp_path / "pairs.parquet", "pairs", pairs)
    back = read_table(tmp_path / "pairs.parquet", "pairs")
    assert sorted(map(digest_of, back)) == sorted(map(digest_of, pairs))


def test_columns_are_the_fields_and_carry_the_task_bits() -> None:
    assert [field.name for field in PAIR_RECIPE_FIELDS] == [field.name for field in fields(Recipe)]
    row = sample_recipe("stc", 0, ["inpaint", "bfr"]).to_row()
    assert [row[name] for name in ALL] == [True, False, True]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**63 - 1), preset=st.sampled_from(PRESETS), task=st.sampled_from(COMBINATIONS))
def test_same_arguments_same_recipe(seed: int, preset: str, task: tuple[str, ...]) -> None:
    recipe = sample_recipe(preset, seed, task)
    assert recipe == sample_recipe(preset, seed, reversed(task))
    assert recipe == Recipe.from_row(recipe.to_row())
    assert recipe.task == task


@pytest.mark.parametrize("name", [field.name for field in fields(Recipe) if field.type in ("int", "float")])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e12, None])
def test_no_number_may_be_out_of_range(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"recipe field {name} is {value}: it must lie in"):
        replace(sample_recipe("stc", 0, ALL), **{name: value})


def test_draws_of_one_seed_do_not_change_with_the_task() -> None:
    alone, whole = sample_recipe("medium", 5, {"bfr"}), sample_recipe("medium", 5, ALL)
    for name in ("blur_sigma_x", "scale", "noise_sigma", "codec", "codec_crf"):
        assert getattr(alone, name) == getattr(whole, name)


def test_stc_draws_are_pinned() -> None:
    """A change of these numbers changes every stored pair: raise RECIPE_VERSION with it."""
    recipe = sample_recipe("stc", 7, {"bfr"})
    drawn = [recipe.blur_sigma_x, recipe.scale, recipe.noise_sigma, recipe.codec_crf]
    assert recipe.recipe_version == "1"
    np.testing.assert_allclose(drawn, PINNED, rtol=0, atol=1e-12)


PINNED = [3.863907150694372, 2.7874599014179573, 3.42204436676077, 18]


@pytest.mark.parametrize("preset", ["stc", "gfpgan", "codeformer", "heavy"])
def test_draws_are_uncorrelated(preset: str) -> None:
    """The published code resets its generator before each draw, so there sigma, scale and noise correlate perfectly."""
    names = ("blur_sigma_x", "scale", "noise_sigma")
    recipes = [sample_recipe(preset, seed, {"bfr"}) for seed in range(1000)]
    table = np.array([[getattr(recipe, name) for recipe in recipes] for name in names])
    quality = [recipe.codec_crf or recipe.jpeg_quality for recipe in recipes]
    correlation = np.corrcoef([*table, quality])
    assert np.abs(correlation - np.eye(4)).max() < 0.12  # 3.8 standard errors at n = 1000


@pytest.mark.parametrize(
    ("preset", "field", "low", "high"),
    [
        ("stc", "blur_sigma_x", 2, 5),
        ("stc", "scale", 2, 4),
        ("stc", "noise_sigma", 0, 5),
        ("stc", "codec_crf", 18, 24),
        ("vfhq", "noise_sigma", 0, 10),
        ("gfpgan", "scale", 0.8, 8),
        ("gfpgan", "jpeg_quality", 60, 100),
        ("codeformer", "blur_sigma_y", 1, 15),
        ("codeformer", "scale", 4, 30),
        ("codeformer", "jpeg_quality", 30, 80),
    ],
)
def test_published_ranges_are_filled(preset: str, field: str, low: float, high: float) -> None:
    values = np.array([getattr(sample_recipe(preset, seed, {"bfr"}), field) for seed in range(400)])
    assert values.min() >= low
    assert values.max() <= high
    span = high - low
    assert values.min() < low + 0.05 * span
    assert values.max() > high - 0.05 * span


def test_noise_free_schedule_changes_only_the_noise() -> None:
    full = sample_recipe("stc", 3, {"bfr"})
    quiet = sample_recipe("stc", 3, {"bfr"}, schedule="noise_free")
    assert full.noise_sigma > 0
    assert quiet == replace(full, schedule="noise_free", noise_kind="none", noise_sigma=0.0)
    assert [schedule_at(step) for step in (0, 1999, 2000)] == ["noise_free", "noise_free", "full"]


def test_tasks_are_balanced_or_follow_the_weights() -> None:
    drawn = [sample_task(seed) for seed in range(2100)]
    counts = [drawn.count(task) for task in COMBINATIONS]
    assert len(COMBINATIONS) == 7
    assert 240 < min(counts) <= max(counts) < 360  # 300 expected, std 16
    weighted = [sample_task(seed, {"color+bfr": 3.0, "inpaint": 1.0}) for seed in range(800)]
    assert set(weighted) == {("bfr", "color"), ("inpaint",)}
    assert weighted.count(("bfr", "color")) == pytest.approx(600, abs=50)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sample_recipe("stcc", 0, {"bfr"}), "unknown degradation preset 'stcc': choose among stc"),
        (lambda: sample_recipe("stc", 0, []), "no task given"),
        (lambda: sample_recipe("stc", 0, "bfr"), "not 'bfr'"),
        (lambda: sample_recipe("stc", 0, None), "not None"),
        (lambda: sample_recipe("stc", 0, {"blur"}), "unknown task blur"),
        (lambda: sample_recipe("stc", -1, {"bfr"}), "seed -1"),
        (lambda: sample_recipe("stc", 2**63, {"bfr"}), "seed"),
        (lambda: sample_recipe("stc", 1.5, {"bfr"}), "seed 1.5"),
        (lambda: sample_recipe("stc", "a", {"bfr"}), "seed 'a'"),
        (lambda: sample_task(0, {"bfr": -1.0}), "must not be negative"),
        (lambda: sample_task(0, {"bfr": 0.0}), "add up to nothing"),
        (lambda: sample_task(0, {"bfr": float("nan")}), "must not be negative"),
        (lambda: Recipe.from_row({"preset": "stc"}), "not a recipe row: it lacks seed"),
        (lambda: replace(sample_recipe("stc", 0, {"bfr"}), recipe_version="0"), "recipe version 0"),
        (
            lambda: replace(sample_recipe("stc", 0, {"bfr"}), codec="h266"),
            "codec is 'h266': choose among none, libx264",
        ),
        (lambda: replace(sample_recipe("stc", 0, {"bfr"}), scale=0.0), "scale is 0.0"),
        (lambda: replace(sample_recipe("stc", 0, {"bfr"}), codec_crf=float("nan")), "codec_crf is nan"),
        (lambda: replace(sample_recipe("flicker", 0, {"bfr"}), flicker_low=2.0), "flicker_low is 2.0: above"),
        (lambda: replace(sample_recipe("stc", 0, {"bfr"}), mask_shapes=((0.1, 0.5),)), "mask_shapes holds (0.1, 0.5)"),
        (
            lambda: replace(sample_recipe("stc", 0, {"bfr"}), mask_shapes=((0.1, float("nan"), 0.5),)),
            "mask_shapes holds (0.1, nan",
        ),
        (
            lambda: replace(sample_recipe("stc", 0, {"bfr"}), mask_kind="text", mask_text="A\nB"),
            "0 places for 2 lines",
        ),
    ],
)
def test_bad_arguments_are_refused(call: Any, message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        call()
