"""The classical baseline does what it says, and nothing it does not."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.data import astronaut

from svfr.errors import UserError
from svfr.metrics.baseline import build_baseline, classical, noise_level
from svfr.metrics.frame import Psnr


@pytest.fixture(scope="module")
def face() -> np.ndarray:
    return astronaut()[20:180, 140:300][None]


def test_noise_is_reduced(face: np.ndarray) -> None:
    noisy = np.clip(face + np.random.default_rng(0).normal(0, 14, face.shape), 0, 255).astype(np.uint8)
    before = noisy.copy()
    restored = classical(noisy, {"bfr"})
    assert Psnr()(restored, face) > Psnr()(noisy, face) + 1
    np.testing.assert_array_equal(noisy, before)


def test_noise_is_estimated() -> None:
    rng = np.random.default_rng(0)
    noisy = np.clip(128 + rng.normal(0, 9, (64, 64, 1)).repeat(3, axis=-1), 0, 255).astype(np.uint8)
    assert noise_level(noisy) == pytest.approx(9, rel=0.1)


def test_a_hole_is_filled_and_known_pixels_are_kept(face: np.ndarray) -> None:
    hole = np.zeros(face.shape[:3], bool)
    hole[:, 60:80, 40:90] = True
    masked = np.where(hole[..., None], np.uint8(255), face)
    restored = classical(masked, ("inpaint",), hole)
    np.testing.assert_array_equal(restored[~hole], face[~hole])
    assert Psnr()(restored, face) > Psnr()(masked, face) + 3
    with pytest.raises(UserError, match="mask"):
        classical(masked, ("inpaint",))


def test_grey_stays_grey(face: np.ndarray) -> None:
    grey = np.repeat(face[..., :1], 3, axis=-1)
    np.testing.assert_array_equal(classical(grey, ("color",)), grey)


def test_names() -> None:
    assert build_baseline("classical") is classical
    with pytest.raises(UserError, match="choose among classical"):
        build_baseline("magic")
