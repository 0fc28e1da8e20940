"""LPIPS through its real loading path, against torchmetrics' own assembly of the same backbone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torchmetrics.functional.image.lpips import _NoTrainLpips
from torchvision.models import alexnet

from svfr.errors import UserError
from svfr.metrics.lpips import Lpips


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """AlexNet's features with random weights, under torchvision's names (the classifier is not needed)."""
    torch.manual_seed(0)
    net = alexnet(weights=None).features
    path = tmp_path_factory.mktemp("lpips") / "alexnet.pth"
    torch.save({f"features.{key}": value for key, value in net.state_dict().items()}, path)
    return path


def test_every_layer_is_loaded_and_the_range_is_right(backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    features = alexnet(weights=None).features
    state = torch.load(backbone, weights_only=True)
    features.load_state_dict({key.removeprefix("features."): value for key, value in state.items()})
    monkeypatch.setattr(
        "torchmetrics.functional.image.lpips._get_tv_model_features", lambda net, pretrained=False: features
    )
    reference = _NoTrainLpips(net="alex", pnet_rand=True).eval()
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8) for _ in range(2))
    x, y = (torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 for frames in (a, b))
    expected = float(reference(x, y, normalize=True).mean())
    monkeypatch.undo()
    metric = Lpips(path=backbone)
    assert metric(a, b) == pytest.approx(expected, rel=1e-5)
    assert metric(a, a) == 0
    assert len(metric.network_sha256) == 64


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="it lacks features"):
        Lpips(path=path)


def test_small_frames_are_refused(backbone: Path) -> None:
    frames = np.zeros((1, 32, 32, 3), np.uint8)
    with pytest.raises(UserError, match="64"):
        Lpips(path=backbone)(frames, frames)
