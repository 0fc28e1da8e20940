"""Sign and size of every parameter's effect on a real picture."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from svfr.degrade import Recipe, apply_recipe, sample_recipe
from svfr.degrade.codec import encode
from svfr.degrade.recipe import CODECS

Clip = NDArray[np.uint8]
PLAIN = Recipe(preset="stc", seed=1, bfr=True, color=False, inpaint=False, reference_size=128)


def psnr(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.mean((a.astype(np.float64) - b) ** 2)))


def test_the_neutral_recipe_changes_nothing(face_clip: Clip) -> None:
    np.testing.assert_array_equal(apply_recipe(face_clip, PLAIN), face_clip)


@pytest.mark.parametrize(
    ("field", "values", "others"),
    [
        ("blur_sigma_x", (0.5, 1, 2, 4), {"blur_kind": "iso"}),
        ("blur_sigma_x", (0.5, 1, 2, 4), {"blur_kind": "aniso", "blur_sigma_y": 0.5, "blur_theta": 0.7}),
        ("blur_sigma_y", (1, 2, 4), {"blur_kind": "aniso", "blur_sigma_x": 0.5, "blur_theta": 0.7}),
        ("blur_size", (3, 5, 9, 15), {"blur_kind": "iso", "blur_sigma_x": 4.0}),
        ("blur_length", (3, 6, 12, 24), {"blur_kind": "motion", "blur_theta": 0.7}),
        ("blur_cutoff", (2.6, 2.0, 1.5, 1.05), {"blur_kind": "sinc"}),
        *[("scale", (1.5, 3, 6, 12), {"down_kernel": k}) for k in ("area", "linear", "cubic", "lanczos", "nearest")],
        ("noise_sigma", (2, 5, 10, 20), {"noise_kind": "gaussian"}),
        ("noise_sigma", (2, 5, 10, 20), {"noise_kind": "poisson"}),
        ("noise_sigma", (2, 5, 10, 20), {"noise_kind": "gaussian", "noise_grey": True}),
        ("noise_sigma", (2, 5, 10, 20), {"noise_kind": "poisson", "noise_grey": True}),
        ("jpeg_quality", (95, 70, 40, 15), {}),
        *[("codec_crf", (10, 18, 26, 35, 45), {"codec": codec}) for codec in CODECS[1:]],
        *[("codec_bpp", (1.0, 0.4, 0.1), {"codec": codec}) for codec in ("libx264", "hevc", "vp9")],
        ("codec_bpp", (0.1, 0.06, 0.03), {"codec": "mpeg4"}),
        ("film_grain", (4, 8, 16), {}),
        ("film_dust", (2, 10, 50), {}),
        ("film_jitter", (1, 3, 8), {}),
        ("film_vignette", (0.1, 0.3, 0.6), {}),
        ("film_flicker", (0.02, 0.08, 0.2), {}),
        ("film_scratches", (1, 3, 9), {}),
        ("flicker_p", (0.2, 0.5, 1.0), {"flicker_low": 0.5, "flicker_high": 1.5}),
        ("flicker_low", (0.9, 0.7, 0.5), {"flicker_p": 1.0}),
        ("flicker_high", (1.1, 1.3, 1.5), {"flicker_p": 1.0}),
        ("flicker_detail", (2, 4, 8), {"flicker_p": 1.0}),
        *[(name, (5, 10, 20), {}) for name in ("shift_r", "shift_g", "shift_b")],
        *[(name, values, {}) for name in ("brightness", "contrast") for values in ((0.9, 0.7, 0.5), (1.1, 1.3, 1.5))],
        ("saturation", (1.1, 1.3, 1.5), {}),
        ("saturation", (0.8, 0.4, 0.0), {}),
        ("hue", (0.02, 0.05, 0.1), {}),
        *[("look_strength", (0.3, 0.6, 1.0), {"color": True, "look": look}) for look in ("faded", "over_exposed")],
    ],
)
def test_psnr_falls_with_the_parameter(
    face_clip: Clip, field: str, values: tuple[float, ...], others: dict[str, Any]
) -> None:
    recipes = [replace(PLAIN, **others, **{field: value}) for value in values]
    recipes = [replace(recipe, codec_scale=recipe.scale) for recipe in recipes]
    measured = [psnr(apply_recipe(face_clip, recipe), face_clip) for recipe in recipes]
    drops = -np.diff(measured)
    assert drops.min() > 0.1, f"{field}: PSNR {measured}"


@pytest.mark.parametrize("codec", CODECS[1:])
def test_quality_and_bit_rate_change_the_bytes(face_clip: Clip, codec: str) -> None:
    frames = [np.ascontiguousarray(frame) for frame in face_clip]

    def size(crf: float, bpp: float = 0.0) -> int:
        return sum(packet.size for packet in encode(frames, codec, crf, bpp))

    assert size(18) > 1.8 * size(35)
    assert size(0, bpp=0.4) > 1.3 * size(0, bpp=0.05)


def test_the_codec_changes_the_view_by_quality(face_clip: Clip) -> None:
    fine, coarse = (replace(sample_recipe("stc", 0, {"bfr"}), codec_crf=crf) for crf in (18, 35))
    clean = replace(fine, codec="none")
    views = [apply_recipe(face_clip, recipe) for recipe in (clean, fine, coarse)]
    assert psnr(views[1], views[0]) > psnr(views[2], views[0]) + 3


@pytest.mark.parametrize("grey", [False, True])
def test_gaussian_noise_has_its_std_and_is_fresh_in_every_frame(grey: bool) -> None:
    flat = np.full((6, 128, 128, 3), 128, np.uint8)
    noisy = apply_recipe(flat, replace(PLAIN, noise_kind="gaussian", noise_sigma=8.0, noise_grey=grey))
    field = noisy.astype(np.float64) - 128
    assert field.std() == pytest.approx(8, rel=0.02)
    assert abs(field.mean()) < 0.15
    assert np.abs(np.corrcoef(field.reshape(6, -1)) - np.eye(6)).max() < 0.04
    channels = np.corrcoef(field.reshape(-1, 3).T)[0, 1]
    assert channels == pytest.approx(1.0 if grey else 0.0, abs=0.01)


@pytest.mark.parametrize("level", [40, 120, 200])
def test_poisson_noise_grows_with_the_root_of_the_level(level: int) -> None:
    flat = np.full((2, 128, 128, 3), level, np.uint8)
    noisy = apply_recipe(flat, replace(PLAIN, noise_kind="poisson", noise_sigma=10.0))
    # Var = sigma^2 x / 255 plus 1/12 of rounding
    assert noisy.std() == pytest.approx(np.sqrt(100 * level / 255 + 1 / 12), rel=0.03)
    assert noisy.mean() == pytest.approx(level, abs=0.2)


def test_flicker_changes_three_frames_in_ten_by_a_gain() -> None:
    flat = np.full((600, 8, 8, 3), 100, np.uint8)
    view = apply_recipe(flat, sample_recipe("flicker", 4, {"bfr"}))
    gains = view[:, 0, 0, 0] / 100
    changed = gains != 1
    assert changed.mean() == pytest.approx(0.3, abs=0.07)
    assert gains.min() >= 0.5
    assert gains.max() <= 1.5
    assert gains[changed].mean() == pytest.approx(1.0, abs=0.1)


def test_pixel_flicker_changes_the_detail_and_nothing_else(face_clip: Clip) -> None:
    still = np.repeat(face_clip[:1], 40, axis=0)
    view = apply_recipe(still, sample_recipe("flicker_pixel", 1, {"bfr"})).astype(np.float32)
    changed = np.flatnonzero(np.abs(view - still).mean((1, 2, 3)) > 0)
    assert 5 <= len(changed) <= 20
    a, b = (view[index] - still[0] for index in changed[:2])
    assert np.corrcoef(a.ravel(), b.ravel())[0, 1] < 0.6  # the lost detail is the same, the new one is not
    coarse = [cv2.resize(frame, None, fx=1 / 8, fy=1 / 8, interpolation=cv2.INTER_AREA) for frame in view]
    assert max(float(np.abs(coarse[index] - coarse[i]).mean()) for index in changed for i in range(2)) < 1.5


def test_one_draw_for_the_clip_or_one_for_each_frame() -> None:
    still = np.repeat(np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3), np.uint8), 5, axis=0)
    options = {"schedule": "noise_free"}
    same = apply_recipe(still, replace(sample_recipe("stc", 2, {"bfr"}, **options), codec="none"))
    own = apply_recipe(still, replace(sample_recipe("stc", 2, {"bfr"}, vary="frame", **options), codec="none"))
    assert (same == same[:1]).all()
    assert len({frame.tobytes() for frame in own}) == 5


def test_lengths_scale_with_the_frame() -> None:
    """The same recipe takes the same share of detail from a small frame as from a large one (reference_size 512)."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (1, 32, 32, 3), np.uint8)
    recipe = replace(PLAIN, reference_size=512, blur_kind="iso", blur_sigma_x=12.0, blur_size=61)
    contrast = [apply_recipe(coarse.repeat(z, 1).repeat(z, 2), recipe).std() for z in (4, 8, 16)]
    assert max(contrast) < 1.06 * min(contrast)
