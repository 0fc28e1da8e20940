"""pyiqa's metrics by name: what they would download comes from local files, in batches, and refusals are one line."""

from __future__ import annotations

import socket
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from svfr.errors import UserError, WeightsMissing
from svfr.quality.iqa import build_scorer
from svfr.quality.pyiqa_files import find_weight, local_files
from svfr.quality.pyiqa_metric import pyiqa_metric
from svfr.weight_list import WEIGHTS


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder."""
    monkeypatch.setenv("SVFR_WEIGHTS", str(tmp_path))
    (tmp_path / "quality").mkdir()
    return tmp_path


@pytest.fixture
def frames() -> np.ndarray:
    """Three frames (3,192,224,3): smooth shapes under noise of three strengths."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:192, :224] / 20
    shapes = 128 + 60 * np.sin(x)[..., None] * np.cos(y[..., None] + np.arange(3))
    noise = generator.standard_normal((3, *shapes.shape)) * np.array([4, 12, 30])[:, None, None, None]
    return (shapes + noise).clip(0, 255).astype(np.uint8)


def write_niqe(path: Path) -> None:
    generator = np.random.default_rng(1)
    root = generator.standard_normal((36, 36))
    scipy.io.savemat(path, {"mu_prisparam": generator.random((1, 36)), "cov_prisparam": root @ root.T + np.eye(36)})


def write_brisque(path: Path) -> None:
    generator = torch.Generator().manual_seed(1)
    torch.save((torch.randn(20, generator=generator), torch.rand(20, 36, generator=generator)), path)


def write_musiq(path: Path) -> None:
    from pyiqa.archs.musiq_arch import MUSIQ

    with torch.random.fork_rng():
        torch.manual_seed(1)
        torch.save(MUSIQ(pretrained=False, num_class=1).half().state_dict(), path)


def write_topiq(path: Path) -> None:
    from pyiqa.archs.topiq_arch import CFANet

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = CFANet(backbone_pretrain=False, pretrained=False, use_ref=False)
    torch.save({"params": network.half().state_dict()}, path)


def write_clip(path: Path) -> None:
    from pyiqa.archs.clip_model import CLIP

    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = CLIP(
            embed_dim=64,
            image_resolution=64,
            vision_layers=(1, 1, 1, 1),
            vision_width=8,
            vision_patch_size=None,
            context_length=77,
            vocab_size=49408,
            transformer_width=64,
            transformer_heads=1,
            transformer_layers=1,
        )
    tokens = torch.zeros((1, 77), dtype=torch.long)
    torch.jit.trace_module(network.eval(), {"encode_text": tokens}).save(str(path))  # the published file's form


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize(
    ("metric", "write"),
    [
        ("niqe", write_niqe),
        ("brisque", write_brisque),
        ("musiq", write_musiq),
        ("topiq_nr", write_topiq),
        ("clipiqa", write_clip),
        ("piqe", None),
        ("entropy", None),
    ],
)
def test_a_batch_gives_what_single_frames_give(
    metric: str, write: Callable[[Path], None] | None, tmp_path: Path, frames: np.ndarray
) -> None:
    path = tmp_path / "file"
    if write:
        write(path)
    built = pyiqa_metric(metric, "cpu", find=lambda url: path)
    assert built.batched
    x = torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        together = built.score(x)
        alone = torch.cat([built.score(x[i : i + 1]) for i in range(3)])
    assert together.shape == (3,)
    assert alone.unique().numel() == 3
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)


def test_files_of_the_folder_are_used_and_their_digests_hold(folder: Path, frames: np.ndarray) -> None:
    file = folder / WEIGHTS["niqe"].file
    with pytest.raises(WeightsMissing, match=r"niqe_modelparameters\.mat is missing.*`svfr weights get niqe`"):
        build_scorer("niqe")
    write_niqe(file)
    hub = torch.hub.get_dir()
    scorer = build_scorer("niqe", batch=2)
    assert torch.hub.get_dir() == hub
    assert (scorer.metric, scorer.regressor, scorer.higher_is_better, scorer.batch) == ("niqe", "", False, 2)
    assert scorer(frames) == pytest.approx(build_scorer("niqe", batch=3)(frames), abs=1e-5, rel=1e-5)
    file.write_bytes(file.read_bytes() + b"\0")
    with pytest.raises(UserError, match="changed or damaged"):
        build_scorer("niqe")


def test_an_unlisted_file_is_named_with_its_address_and_recorded_at_first_use(folder: Path) -> None:
    address = "https://huggingface.co/chaofengc/IQA-PyTorch-Weights/resolve/main/ILNIQE_templateModel.mat"
    with pytest.raises(WeightsMissing) as error:
        build_scorer("ilniqe")
    file = folder / "quality" / "ILNIQE_templateModel.mat"
    assert all(part in str(error.value) for part in (str(file), address, "recorded in digests.json"))
    assert "\n" not in str(error.value)
    file.write_bytes(b"one")
    assert find_weight(address) == file
    file.write_bytes(b"two!")
    with pytest.raises(UserError, match="not the expected"):
        find_weight(address)


def test_a_digest_in_an_address_is_checked_from_the_start(folder: Path) -> None:
    (folder / "quality" / "RN101.pt").write_bytes(b"not CLIP")
    with pytest.raises(UserError, match="not the expected 8fa8567bab74"):
        find_weight(f"https://openaipublic.azureedge.net/clip/models/8fa8567bab74{'0' * 52}/RN101.pt")
    (folder / "quality" / "x-0badf00d.pth").write_bytes(b"not that")
    with pytest.raises(UserError, match="not the expected 0badf00d"):
        find_weight("https://example.org/x-0badf00d.pth")


def test_files_named_alike_in_two_repositories_do_not_meet() -> None:
    with pytest.raises(WeightsMissing, match=r"quality/resnet50\.a1_in1k/model\.safetensors is missing"):
        build_scorer("hyperiqa")


def test_code_in_a_file_is_not_run(folder: Path) -> None:
    marker = folder / "ran"

    class Trap:
        def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
            return Path.touch, (marker,)

    torch.save({"params": Trap()}, folder / WEIGHTS["brisque"].file)
    with pytest.raises(UserError, match="metric 'brisque' does not fit"):
        build_scorer("brisque")
    assert not marker.exists()


def test_no_connection_is_opened() -> None:
    lookup, load = socket.getaddrinfo, torch.load
    with local_files(), pytest.raises(UserError, match="127"):
        urllib.request.urlopen("http://127.0.0.1:9/weights.bin")
    assert socket.getaddrinfo is lookup
    assert torch.load is load


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        ("nique", "no metric 'nique'"),
        ("lpips", "needs a reference picture"),
        ("fid", "set of pictures"),
        ("clipscore", "caption"),
        ("qalign", "language model"),
        ("arniqa-koniq", "as regressor"),
    ],
)
def test_metrics_that_cannot_judge_a_frame_are_refused_in_one_line(metric: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        build_scorer(metric)
    assert "\n" not in str(error.value)


def test_an_absent_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("pyiqa.archs.clip", "clip"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "clip", None)
    with pytest.raises(UserError, match="metric 'clipiqa' needs the package 'clip'"):
        build_scorer("clipiqa")


def test_a_device_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"'cuda:64' is not there.*engine\.gpus_per_worker"):
        build_scorer("piqe", device="cuda:64")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_differs_from_the_cpu_by_rounding(folder: Path, frames: np.ndarray) -> None:
    write_niqe(folder / WEIGHTS["niqe"].file)
    for metric in ("niqe", "entropy"):
        assert build_scorer(metric, device="cuda")(frames) == pytest.approx(build_scorer(metric)(frames), rel=1e-4)
