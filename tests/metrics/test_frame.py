"""PSNR and SSIM against independent implementations, and the hole's PSNR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from svfr.errors import ItemError, UserError
from svfr.metrics.base import Hints
from svfr.metrics.frame import PSNR_CAP, HolePsnr, Psnr, Ssim, psnr_frames, ssim_frames


def _pair(seed: int, height: int = 40, width: int = 33) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 256, (3, height, width, 3)).astype(np.uint8)
    noise = rng.normal(0, 12, truth.shape)
    return np.clip(truth + noise, 0, 255).astype(np.uint8), truth


def test_psnr_equals_skimage() -> None:
    restored, truth = _pair(0)
    expected = [peak_signal_noise_ratio(b, a, data_range=255) for a, b in zip(restored, truth, strict=True)]
    np.testing.assert_allclose(psnr_frames(restored, truth), expected, rtol=1e-6)
    assert Psnr()(restored, truth) == pytest.approx(np.mean(expected), rel=1e-6)


def test_ssim_equals_skimage_on_valid_area() -> None:
    restored, truth = _pair(1)
    expected = [
        structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=2
        )
        for a, b in zip(restored, truth, strict=True)
    ]
    np.testing.assert_allclose(ssim_frames(restored, truth), expected, rtol=1e-9)
    assert Ssim()(restored, truth) == pytest.approx(np.mean(expected))


def test_ssim_equals_torchmetrics() -> None:
    import torch
    from torchmetrics.functional.image import structural_similarity_index_measure

    restored, truth = _pair(2)
    a, b = (torch.from_numpy(x).permute(0, 3, 1, 2).double() for x in (restored, truth))
    expected = structural_similarity_index_measure(a, b, data_range=255.0, gaussian_kernel=True, sigma=1.5)
    # torchmetrics also counts a border of mirrored pixels, so only nearly the same
    assert Ssim()(restored, truth) == pytest.approx(float(expected), abs=5e-3)


def test_equal_frames_are_perfect_and_finite() -> None:
    _, truth = _pair(3)
    assert Psnr()(truth, truth) == PSNR_CAP
    assert Ssim()(truth, truth) == pytest.approx(1.0)


@settings(max_examples=15, deadline=None)
@given(offset=st.integers(1, 60))
def test_psnr_of_a_constant_error(offset: int) -> None:
    truth = np.full((2, 16, 16, 3), 100, np.uint8)
    # 20 log10(255 / offset)
    assert Psnr()(truth + np.uint8(offset), truth) == pytest.approx(20 * np.log10(255 / offset))


def test_hole_psnr_looks_inside_the_hole_only() -> None:
    truth = np.full((2, 16, 16, 3), 100, np.uint8)
    hole = np.zeros((2, 16, 16), bool)
    hole[0, 4:8, 4:8] = True
    restored = truth.copy()
    restored[0, 4:8, 4:8] += 10
    restored[:, 12:] = 0  # outside: must not matter
    metric = HolePsnr()
    assert metric.applies(Hints(hole=hole))
    assert not metric.applies(Hints(hole=np.zeros_like(hole)))
    assert metric(restored, truth, Hints(hole=hole)) == pytest.approx(20 * np.log10(25.5))
    with pytest.raises(ItemError, match="masked"):
        metric(restored, truth, Hints())


def test_mismatch_and_wrong_types_are_refused() -> None:
    restored, truth = _pair(4)
    with pytest.raises(UserError, match="must be equal"):
        Psnr()(restored[:2], truth)
    with pytest.raises(UserError, match="uint8"):
        Psnr()(restored.astype(np.float32), truth)
    with pytest.raises(UserError, match="11 x 11"):
        Ssim()(restored[:, :8], truth[:, :8])
