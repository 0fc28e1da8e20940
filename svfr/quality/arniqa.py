"""ARNIQA (Agnolucci et al., WACV 2024) with the `live` regressor in torchmetrics, from verified local files.

pyiqa and torchmetrics both run one ResNet-50 on the picture at full and half size and a linear regressor on the two
features. pyiqa halves without antialiasing, torchmetrics with it, so their scores differ.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

_LIVE_RANGE = (1.0, 100.0)  # difference mean opinion scores of LIVE: lower is better


def torchmetrics_arniqa(encoder: Path, regressor: Path, device: str) -> nn.Module:
    """torchmetrics' ARNIQA with the `live` regressor, which that package does not offer itself.

    (B,3,H,W) in [0,1] -> (B,) in about 0..1, higher is better. `encoder` and the TorchScript `regressor` are verified
    files.
    """
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
