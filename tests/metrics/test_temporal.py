"""Flicker without flow; warping and occlusion masks on known motion; RAFT through its real loading path."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models.optical_flow import raft_large

from svfr.errors import ItemError, UserError
from svfr.metrics.temporal import Flicker, WarpError, consistent, warp


def _moving(count: int = 5, side: int = 32) -> np.ndarray:
    base = np.random.default_rng(0).integers(20, 230, (side, side + count, 3)).astype(np.uint8)
    return np.stack([base[:, t : t + side] for t in range(count)])


def test_flicker_counts_neither_motion_nor_a_still_error() -> None:
    truth = _moving()
    assert Flicker()(truth, truth) == 0
    assert Flicker()(truth + np.uint8(7), truth) == 0


def test_flicker_is_the_amplitude_of_an_alternating_error() -> None:
    truth = _moving()
    restored = truth.copy()
    restored[1::2] += 6
    assert Flicker()(restored, truth) == pytest.approx(6)


def test_flicker_needs_two_frames() -> None:
    with pytest.raises(ItemError, match="two frames"):
        Flicker()(_moving(1), _moving(1))


def test_warp_follows_the_flow() -> None:
    x = torch.rand(1, 3, 8, 12)
    flow = torch.zeros(1, 2, 8, 12)
    flow[:, 0] = 2.0
    torch.testing.assert_close(warp(x, flow)[..., :-2], x[..., 2:])


def test_inconsistent_flow_is_masked() -> None:
    forward, backward = torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8)
    forward[:, 0] = 2.0
    backward[:, 0] = -2.0
    assert consistent(forward, backward).min() == 1
    backward[:, 0, :4] = 5.0
    mask = consistent(forward, backward)
    assert mask[:, :4].max() == 0
    assert mask[:, 4:].min() == 1


def _raft(folder: Path, *, still: bool) -> Path:
    """RAFT with random weights; `still` sets its flow head to zero, so that it sees no motion anywhere."""
    torch.manual_seed(0)
    state = raft_large(weights=None).state_dict()
    if still:
        state = {k: torch.zeros_like(v) if "flow_head.conv2" in k else v for k, v in state.items()}
    torch.save(state, folder / "raft.pth")
    return folder / "raft.pth"


def test_warp_error_through_the_real_loader(tmp_path: Path) -> None:
    metric = WarpError(path=_raft(tmp_path, still=True))
    assert len(metric.network_sha256) == 64
    still = np.repeat(_moving(1, 40), 2, axis=0)
    restored = still.copy()
    restored[1] = restored[0] + 10
    # without motion E_warp is the squared difference of consecutive frames
    assert metric(restored, still) == pytest.approx((10 / 255) ** 2, rel=1e-4)
    assert metric(still, still) == pytest.approx(0, abs=1e-9)


def test_motion_that_cannot_be_followed_is_no_number(tmp_path: Path) -> None:
    truth = _moving(2, 40)
    with pytest.raises(ItemError, match="followed"):
        WarpError(path=_raft(tmp_path, still=False))(truth, truth)


def test_foreign_raft_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "raft.pth"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="RAFT"):
        WarpError(path=path)
