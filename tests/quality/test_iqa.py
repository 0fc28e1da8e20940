"""Scorers: real pyiqa metrics on real pictures, and both ARNIQA packages on files made here."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
import torchvision

from svfr.errors import UserError
from svfr.quality.arniqa import torchmetrics_arniqa
from svfr.quality.iqa import build_scorer
from svfr.quality.pyiqa_metric import Metric, pyiqa_metric


def _face(size: int) -> np.ndarray:
    return cv2.resize(skimage.data.astronaut()[20:220, 120:320], (size, size), interpolation=cv2.INTER_AREA)


@pytest.mark.parametrize("size", [96, 160, 256])
def test_piqe_ranks_a_face_by_its_blur(size: int) -> None:
    scorer = build_scorer("piqe")
    sharp = _face(size)
    frames = np.stack([sharp, *(cv2.GaussianBlur(sharp, (0, 0), sigma) for sigma in (1, 2, 4))])
    scores = scorer(frames)
    assert scores.shape == (4,)
    assert scores.dtype == np.float64
    assert not scorer.higher_is_better
    assert (np.diff(scores) > 5).all()
    assert (scorer.metric, scorer.backend, scorer.regressor) == ("piqe", "pyiqa", "")


def test_a_score_does_not_depend_on_its_batch() -> None:
    scorer = build_scorer("entropy")
    frames = np.stack([_face(64), _face(64) // 2, np.full((64, 64, 3), 7, np.uint8)])
    assert np.array_equal(scorer(frames), np.concatenate([scorer(frames[i : i + 1]) for i in range(3)]))
    assert scorer(frames[:0]).shape == (0,)


def test_unknown_combinations_are_refused() -> None:
    with pytest.raises(UserError, match="unknown ARNIQA regressor 'alive'"):
        build_scorer("arniqa", regressor="alive")
    with pytest.raises(UserError, match="choose live, or backend pyiqa"):
        build_scorer("arniqa", "torchmetrics", regressor="koniq")
    with pytest.raises(UserError, match="torchmetrics"):
        build_scorer("piqe", "torchmetrics")


class _Regressor(torch.nn.Module):
    """The published regressor's form: a linear map with these two names."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.weights = torch.nn.Parameter(torch.randn(1, 4096, generator=generator))
        self.biases = torch.nn.Parameter(torch.tensor([50.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weights.t() + self.biases


@pytest.fixture(scope="module")
def arniqa_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("arniqa")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet50()
    torch.save(network.half().state_dict(), folder / "resnet.pth")
    encoder = torch.nn.Sequential(*list(network.children())[:-1]).state_dict()
    torch.save({f"model.{key}": value for key, value in encoder.items()}, folder / "encoder.pth")
    torch.jit.script(_Regressor(torch.Generator().manual_seed(0))).save(str(folder / "regressor.pth"))
    return folder / "resnet.pth", folder / "encoder.pth", folder / "regressor.pth"


def _pyiqa(files: tuple[Path, Path, Path]) -> Metric:
    resnet, encoder, regressor = files
    names = {"resnet50-0676ba61.pth": resnet, "ARNIQA.pth": encoder, "regressor_live.pth": regressor}
    return pyiqa_metric("arniqa-live", "cpu", find=lambda url: names[url.rpartition("/")[2]])


def test_the_two_arniqa_packages_differ_only_by_how_they_halve(arniqa_files: tuple[Path, Path, Path]) -> None:
    _, encoder, regressor = arniqa_files
    hub = torch.hub.get_dir()
    a = _pyiqa(arniqa_files).score
    b = torchmetrics_arniqa(encoder, regressor, "cpu")
    assert torch.hub.get_dir() == hub
    flat = torch.full((1, 3, 64, 64), 0.4)
    face = torch.from_numpy(_face(128)).permute(2, 0, 1)[None].float() / 255
    noise = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        # half a flat picture is the same picture, antialiased or not
        torch.testing.assert_close(a(flat).reshape(-1), b(flat).reshape(-1), atol=1e-5, rtol=0)
        differences = [abs(float(a(x)) - float(b(x))) for x in (face, noise)]
    # measured: 6.3e-5 on the face, 6.8e-4 on the noise, where antialiasing takes more away; rounding is below 1e-5
    assert 2e-5 < differences[0] < 2e-4
    assert 2e-4 < differences[1] < 2e-3


def test_arniqa_scores_a_batch_as_single_frames(arniqa_files: tuple[Path, Path, Path]) -> None:
    built = _pyiqa(arniqa_files)
    x = (
        torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
        * torch.tensor([0.3, 0.6, 1])[:, None, None, None]
    )
    nets = built.score, torchmetrics_arniqa(arniqa_files[1], arniqa_files[2], "cpu")
    assert built.batched
    for net in nets:
        with torch.inference_mode():
            alone = torch.cat([net(x[i : i + 1]).reshape(1) for i in range(3)])
            torch.testing.assert_close(net(x).reshape(3), alone, atol=1e-5, rtol=0)
        assert alone.unique().numel() == 3
