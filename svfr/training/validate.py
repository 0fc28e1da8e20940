"""Held-out loss: the same pairs, windows and noise every time, at five quantiles of the training noise levels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from statistics import NormalDist

import torch
from torch import nn

from svfr.training.config import TrainConfig
from svfr.training.index import Clip
from svfr.training.objective import NAMES, Objective
from svfr.training.order import generator_for
from svfr.training.pairs import Batch, PairDataset

QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)
FIGURES = tuple(f"val_q{round(100 * q)}" for q in QUANTILES)


class Validation:
    """The held-out pairs of one run: `train.validation_pairs` of them, spread over the validation clips."""

    def __init__(self, clips: list[Clip], config: TrainConfig) -> None:
        self.params = config.params
        self.data = PairDataset(clips, config, stream="validation")
        widest = max((len(clip.pairs) for clip in clips), default=0)
        every = [(c, p) for p in range(widest) for c, clip in enumerate(clips) if p < len(clip.pairs)]
        self.pairs = every[: config.params.validation_pairs]

    def __len__(self) -> int:
        return len(self.pairs)

    def item(self, number: int) -> Batch:
        """The `number`-th held-out view."""
        clip, pair = self.pairs[number]
        row = self.data.clips[clip].row
        start = (row["n_frames"] - self.params.frames) // 2
        draw = generator_for("validation", self.params.seed, number)
        return self.data.view(clip, [self.data.clips[clip].pairs[pair]], start, draw)

    @torch.no_grad()
    def losses(
        self, model: nn.Module, objective: Objective, prepare: Callable[[Batch], Batch], rank: int, world: int
    ) -> torch.Tensor:
        """This rank's sums and counts (quantiles + 1, 2): the noise loss per quantile; last the landmark error."""
        sums = torch.zeros(len(QUANTILES) + 1, 2, dtype=torch.float64)
        normal = NormalDist(self.params.sigma_mean, self.params.sigma_std)
        for first in range(0, len(self), world):  # all ranks take part in every call, as a sharded model needs
            number = first + rank
            batch = prepare(self.item(min(number, len(self) - 1)))
            for i, quantile in enumerate(QUANTILES):
                sigma = math.exp(normal.inv_cdf(quantile))
                losses = objective(model, replace(batch, sigma=torch.full_like(batch.sigma, sigma)), local=True)
                if number >= len(self):
                    continue
                sums[i] += torch.tensor([float(losses.per_view.sum()), len(losses.per_view)])
                error = float(losses.values[NAMES.index("landmark_px")])
                if math.isfinite(error):
                    sums[-1] += torch.tensor([error, 1.0])
        return sums


def figures(sums: torch.Tensor) -> dict[str, float]:
    """Named means of the summed `losses` of all ranks; `val_loss` is the mean over quantiles."""
    means = (sums[:, 0] / sums[:, 1]).tolist()
    return {
        **dict(zip(FIGURES, means, strict=False)),
        "val_loss": sum(means[:-1]) / len(QUANTILES),
        "val_landmark_px": means[-1],
    }
