"""ARNIQA (Agnolucci et al., WACV 2024) with the `live` regressor, in two packages, from verified local files.

Both run one ResNet-50 on the picture at full and half size and a linear regressor on the two features. pyiqa halves
without antialiasing, torchmetrics with it, so their scores differ.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

# The file names under which the packages look for their weights.
_RESNET, _ENCODER, _LIVE = "resnet50-0676ba61.pth", "ARNIQA.pth", "regressor_live.pth"
_LIVE_RANGE = (1.0, 100.0)  # difference mean opinion scores of LIVE: lower is better


def pyiqa_arniqa(resnet50: Path, encoder: Path, regressor: Path, device: str) -> nn.Module:
    """pyiqa's `arniqa-live`: (B,3,H,W) in [0,1] -> (B,1) in about 0..1, higher is better.

    `resnet50` (torchvision's ImageNet weights, which pyiqa loads and then overwrites), `encoder` and the TorchScript
    `regressor` are verified files.
    """
    import pyiqa

    with _hub({f"checkpoints/{_RESNET}": resnet50, f"checkpoints/{_ENCODER}": encoder, f"pyiqa/{_LIVE}": regressor}):
        metric: nn.Module = pyiqa.create_metric("arniqa-live", device=torch.device(device))
    return metric


def torchmetrics_arniqa(encoder: Path, regressor: Path, device: str) -> nn.Module:
    """torchmetrics' ARNIQA with the `live` regressor, which that package does not offer itself; as `pyiqa_arniqa`."""
    from torchmetrics.functional.image.arniqa import _ARNIQA

    class Live(_ARNIQA):
        """The package's network; only the files and the scale of the scores are other ones."""

        def _load_weights(self) -> None:
            state = torch.load(encoder, map_location="cpu", weights_only=True)
            kept = {key.removeprefix("model."): value for key, value in state.items() if "projector" not in key}
            self.encoder.load_state_dict(kept)
            head = torch.jit.load(regressor, map_location="cpu").state_dict()
            self.regressor.load_state_dict({"weight": head["weights"], "bias": head["biases"].reshape(1)})

        def _scale_score(self, score: Tensor) -> Tensor:
            low, high = _LIVE_RANGE
            return 1 - (score - low) / (high - low)

        def forward(self, img: Tensor, normalize: bool = True) -> Tensor:
            scores: Tensor = super().forward(img, normalize=normalize)
            return scores

    return Live().eval().to(device)


@contextmanager
def _hub(files: dict[str, Path]) -> Iterator[None]:
    """Shows `files` to packages that only look into torch's hub folder, for as long as the block runs."""
    import pyiqa.utils.download_util as pyiqa_files

    before, pyiqa_before = torch.hub.get_dir(), pyiqa_files.DEFAULT_CACHE_DIR
    with tempfile.TemporaryDirectory() as folder:
        for name, path in files.items():
            link = Path(folder) / name
            link.parent.mkdir(exist_ok=True)
            link.symlink_to(path.resolve())
        torch.hub.set_dir(folder)
        pyiqa_files.DEFAULT_CACHE_DIR = str(Path(folder) / "pyiqa")
        try:
            yield
        finally:
            torch.hub.set_dir(before)
            pyiqa_files.DEFAULT_CACHE_DIR = pyiqa_before
