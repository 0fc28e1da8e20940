"""The Fréchet distance against closed forms, and I3D's loading path with a small TorchScript file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from svfr.artifacts import sha256_file, write_json
from svfr.errors import ItemError, UserError, WeightsMissing
from svfr.metrics.distribution import I3D_WEIGHTS, I3dFeatures, frechet_distance, i3d_file
from svfr.weights import weight_named


@settings(max_examples=20, deadline=None)
@given(shift=st.floats(-5, 5), scale=st.floats(0.2, 4), seed=st.integers(0, 99))
def test_one_dimension_in_closed_form(shift: float, scale: float, seed: int) -> None:
    a = np.random.default_rng(seed).normal(size=(40, 1))
    b = a * scale + shift
    # d^2 = (mu_a - mu_b)^2 + (sigma_a - sigma_b)^2
    expected = (a.mean() - b.mean()) ** 2 + (a.std(ddof=1) - b.std(ddof=1)) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, abs=1e-6)


def test_equal_sets_have_distance_zero_even_below_full_rank() -> None:
    a = np.random.default_rng(0).normal(size=(5, 20))
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-5)


def test_rotation_changes_nothing() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(30, 6)), rng.normal(size=(25, 6)) * 2 + 1
    turn, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    assert frechet_distance(a @ turn, b @ turn) == pytest.approx(frechet_distance(a, b), rel=1e-6)


def test_single_clips_are_refused() -> None:
    with pytest.raises(UserError, match="two samples"):
        frechet_distance(np.zeros((1, 4)), np.zeros((5, 4)))
    with pytest.raises(UserError, match="do not match"):
        frechet_distance(np.zeros((3, 4)), np.zeros((5, 3)))


class _Features(torch.nn.Module):
    """Stands in for I3D's interface: means of the channels, 400 of them."""

    def forward(
        self, x: torch.Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False
    ) -> torch.Tensor:
        assert rescale
        assert resize
        assert return_features
        return x.mean([2, 3, 4]).repeat(1, 134)[:, :400]


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    path = tmp_path / weight_named(I3D_WEIGHTS).file
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.jit.script(_Features()).save(str(path))
    return path


def test_a_file_of_unknown_digest_is_not_run(weights: Path) -> None:
    with pytest.raises(WeightsMissing, match="is a program"):
        i3d_file()


def test_a_recorded_file_is_run(weights: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "digests.json", {weight_named(I3D_WEIGHTS).file: sha256_file(weights)})
    features = I3dFeatures()
    frames = np.random.default_rng(0).integers(0, 256, (10, 8, 8, 3)).astype(np.uint8)
    vector = features(frames)
    assert vector.shape == (400,)
    np.testing.assert_allclose(vector[:3], frames.mean((0, 1, 2)), rtol=1e-5)
    with pytest.raises(ItemError, match="10 frames"):
        features(frames[:9])


def test_a_missing_file_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsMissing, match="svfr weights get i3d_torchscript"):
        i3d_file()
