"""No-reference image quality: pyiqa and torchmetrics behind one interface, named as what they are."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svfr.errors import UserError
from svfr.quality.arniqa import pyiqa_arniqa, torchmetrics_arniqa

Score = Callable[[Tensor], Tensor]  # (B,3,H,W) in [0,1] -> (B,)

WEIGHTLESS = ("piqe", "entropy")  # pyiqa's no-reference metrics that need no file
REGRESSORS = ("live",)


class Scorer:
    """Scores frames. `metric`, `backend`, `version` and `regressor` go into the tables: figures of two scorers that
    differ in any of them must not be held against one threshold.
    """

    def __init__(
        self, metric: str, backend: str, regressor: str, higher_is_better: bool, score: Score, device: str, batch: int
    ) -> None:
        self.metric, self.backend, self.regressor, self.higher_is_better = metric, backend, regressor, higher_is_better
        self.version = importlib.metadata.version(backend)
        self._score, self._device, self._batch = score, device, batch

    def __call__(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.float64]:
        """One score (T,) a frame of `frames_THWC` (T,H,W,3) uint8 RGB."""
        scores = []
        for start in range(0, len(frames_THWC), self._batch):
            chunk = torch.from_numpy(np.ascontiguousarray(frames_THWC[start : start + self._batch]))
            x_BCHW = chunk.permute(0, 3, 1, 2).to(self._device).float() / 255
            with torch.inference_mode():
                scores.append(self._score(x_BCHW).reshape(-1).double().cpu().numpy())
        return np.concatenate(scores) if scores else np.zeros(0)


def build_scorer(
    metric: str, backend: str = "pyiqa", *, regressor: str = "live", device: str = "cpu", batch: int = 8
) -> Scorer:
    """Builds the scorer of `metric`: `arniqa` (either backend; 0..1, higher is better), or with `pyiqa` one of the
    metrics that need no weights: `piqe` (0..100, lower is better), `entropy` (0..8 bits, higher is better).

    Raises `UserError` for an unknown metric, backend or regressor, `WeightsMissing` for an absent file of ARNIQA.
    """
    if metric == "arniqa" and backend in ("pyiqa", "torchmetrics"):
        return _arniqa(backend, regressor, device, batch)
    if metric in WEIGHTLESS and backend == "pyiqa":
        import pyiqa

        net = pyiqa.create_metric(metric, device=torch.device(device))
        return Scorer(metric, backend, "", not net.lower_better, net, device, 1)
    raise UserError(
        f"no scorer for metric '{metric}' with backend '{backend}': choose arniqa (pyiqa or torchmetrics), "
        f"or with pyiqa {', '.join(WEIGHTLESS)}"
    )


def _arniqa(backend: str, regressor: str, device: str, batch: int) -> Scorer:
    from svfr.weights import require

    if regressor not in REGRESSORS:
        raise UserError(f"unknown ARNIQA regressor '{regressor}': choose one of {', '.join(REGRESSORS)}")
    encoder, head = require("arniqa"), require(f"arniqa-{regressor}")
    net: Score
    if backend == "pyiqa":
        net = pyiqa_arniqa(require("resnet50"), encoder, head, device)
    else:
        net = torchmetrics_arniqa(encoder, head, device)
    return Scorer("arniqa", backend, regressor, True, net, device, batch)
