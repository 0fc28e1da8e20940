"""No-reference image quality: pyiqa and torchmetrics behind one interface, named as what they are."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from svfr.errors import UserError
from svfr.quality.pyiqa_metric import pyiqa_metric

Score = Callable[[Tensor], Tensor]  # (B,3,H,W) in [0,1] -> (B,)

# ARNIQA's regressors, and what pyiqa calls the metric with each; torchmetrics has `live` here.
REGRESSORS = {name: f"arniqa-{name}" for name in ("live", "csiq", "tid", "kadid", "clive", "flive", "spaq")}
REGRESSORS["koniq"] = "arniqa"


class Scorer:
    """Scores frames. `metric`, `backend`, `version` and `regressor` go into the tables: figures of two scorers that
    differ in any of them must not be held against one threshold. `batch` is how many frames it takes at once: 1 for
    a metric of which it is not known that a frame's score does not depend on the frames beside it.
    """

    def __init__(
        self, metric: str, backend: str, regressor: str, higher_is_better: bool, score: Score, device: str, batch: int
    ) -> None:
        self.metric, self.backend, self.regressor, self.higher_is_better = metric, backend, regressor, higher_is_better
        self.version, self.batch = backend_version(backend), batch
        self._score, self._device = score, device

    def __call__(self, frames_THWC: NDArray[np.uint8]) -> NDArray[np.float64]:
        """One score (T,) a frame of `frames_THWC` (T,H,W,3) uint8 RGB."""
        scores = []
        for start in range(0, len(frames_THWC), self.batch):
            chunk = torch.from_numpy(np.ascontiguousarray(frames_THWC[start : start + self.batch]))
            x_BCHW = chunk.permute(0, 3, 1, 2).to(self._device).float() / 255
            with torch.inference_mode():
                scores.append(self._score(x_BCHW).reshape(-1).double().cpu().numpy())
        return np.concatenate(scores) if scores else np.zeros(0)


def backend_version(backend: str) -> str:
    """The installed version of `backend`, "pyiqa" or "torchmetrics"."""
    return importlib.metadata.version(backend)


def build_scorer(
    metric: str, backend: str = "pyiqa", *, regressor: str = "live", device: str = "cpu", batch: int = 8
) -> Scorer:
    """Builds the scorer of `metric`, which takes up to `batch` frames at once on `device` ("cpu", "cuda", "cuda:1").

    `arniqa` (0..1, higher is better) is in both backends, with a `regressor`; pyiqa has every other no-reference
    metric under its own name there: `piqe` (0..100, lower is better) and `entropy` (0..8 bits) need no file, `niqe`,
    `brisque`, `musiq`, `topiq_nr` and `clipiqa` files of the list of weights, others files that the error names.

    Raises `UserError` for an unknown metric, backend or regressor, one that needs a reference, an absent package or
    device; `WeightsMissing` for an absent file.
    """
    _check_device(device)
    if backend == "torchmetrics" and metric == "arniqa":
        return Scorer(metric, backend, regressor, True, _torchmetrics(regressor, device), device, batch)
    if backend != "pyiqa":
        raise UserError(f"no metric '{metric}' with backend '{backend}': torchmetrics has arniqa, pyiqa the others")
    if metric.startswith("arniqa"):
        name = _regressor(metric, regressor)
        metric, built = "arniqa", pyiqa_metric(name, device)
    else:
        regressor, built = "", pyiqa_metric(metric, device)
    size = batch if built.batched else 1
    return Scorer(metric, backend, regressor, built.higher_is_better, built.score, device, size)


def _check_device(device: str) -> None:
    if device.startswith("cuda"):
        count = torch.cuda.device_count()
        if int(device.partition(":")[2] or 0) >= count:
            raise UserError(
                f"device '{device}' is not there ({count} visible): set score.device to cpu, or give the stage's "
                "workers a GPU with engine.gpus_per_worker"
            )


def _regressor(metric: str, regressor: str) -> str:
    """pyiqa's name of ARNIQA with `regressor`."""
    if metric != "arniqa":
        raise UserError(f"metric '{metric}': write metric arniqa, and the part after the hyphen as regressor")
    if regressor not in REGRESSORS:
        raise UserError(f"unknown ARNIQA regressor '{regressor}': choose one of {', '.join(sorted(REGRESSORS))}")
    return REGRESSORS[regressor]


def _torchmetrics(regressor: str, device: str) -> Score:
    from svfr.quality.arniqa import torchmetrics_arniqa
    from svfr.weights import require

    if regressor != "live":
        raise UserError(f"unknown ARNIQA regressor '{regressor}' with torchmetrics: choose live, or backend pyiqa")
    net = torchmetrics_arniqa(require("arniqa"), require("arniqa-live"), device)

    def score(x_BCHW: Tensor) -> Tensor:
        # without TF32, as pyiqa's metrics here: a CPU and a GPU then differ by rounding only
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            scores: Tensor = net(x_BCHW)
            return scores

    return score
