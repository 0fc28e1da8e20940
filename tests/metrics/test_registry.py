"""Metrics by name; a missing network is "not available", never another number."""

from __future__ import annotations

from pathlib import Path

import pytest

from svfr.errors import UserError, WeightsMissing
from svfr.metrics.registry import Backends, available, build_available, build_metric


@pytest.fixture(autouse=True)
def _no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("lpips", "alexnet"),
        ("ids", "ir_se50"),
        ("vidd", "ir_se50"),
        ("lmd", "2DFAN4"),
        ("warp_error", "raft_large"),
        ("fvd", "i3d"),
    ],
)
def test_a_missing_network_is_named(name: str, file: str) -> None:
    reason = available(name)
    assert reason is not None
    assert file in reason
    assert "svfr weights get" in reason


def test_what_needs_no_file_is_available_and_says_so() -> None:
    metrics, missing = build_available(["psnr", "lpips", "ssim", "flicker"], Backends())
    assert [metric.name for metric in metrics] == ["psnr", "ssim", "flicker"]
    assert list(missing) == ["lpips"]
    assert all(metric.network_sha256 == "" and metric.backend for metric in metrics)


def test_building_raises_instead() -> None:
    with pytest.raises(WeightsMissing, match="vgg16"):
        build_metric("lpips", Backends(lpips="vgg"))
    with pytest.raises(UserError, match="unknown metric 'psnrr'"):
        build_metric("psnrr")
    with pytest.raises(UserError, match="a set of clips"):
        build_metric("fvd")
    with pytest.raises(UserError, match="unknown metric"):
        build_available(["nope"], Backends())
