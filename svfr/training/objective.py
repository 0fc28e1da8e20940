"""The total loss of SVFR on one batch: L = L_noise + lambda_1 L_ULR + lambda_2 L_prior (supp. Tab. 1: 0.01, 0.1)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from svfr.diffusion import edm
from svfr.params import TrainParams
from svfr.training.model import Prediction
from svfr.training.noise import noise_loss, unet_input
from svfr.training.pairs import Batch
from svfr.training.prior import landmark_error, prior_loss
from svfr.training.ulr import similarity, ulr_loss

NAMES = ("loss", "noise", "ulr", "prior", "landmark_px", "cos_same", "cos_other")


@dataclass(frozen=True)
class Losses:
    """`total` carries the gradient; `values` holds the figures of `NAMES` in that order, NaN where a head is off;
    `per_view` (B,) are the noise losses."""

    total: Tensor
    values: Tensor
    per_view: Tensor


class Objective:
    """Computes the loss of a batch whose `lq` are latents. `scaling` is the VAE's scaling factor (0.18215)."""

    def __init__(self, params: TrainParams, scaling: float) -> None:
        self.params = params
        self.scaling = scaling

    def __call__(self, model: nn.Module, batch: Batch, local: bool = False) -> Losses:
        """Runs `model` (a `TrainingModel`, wrapped or not) once; `local` leaves out ULR, which talks to other ranks."""
        x0 = self.scaling * batch.hq
        noisy = edm.add_noise(x0, batch.noise, batch.sigma)
        reference = batch.reference * batch.keep[:, None, None, None]
        inputs = unet_input(noisy, batch.sigma, batch.lq, reference)
        time_B = torch.as_tensor(edm.c_noise(batch.sigma))
        out: Prediction = model(inputs, time_B, batch.identity, batch.keep, batch.task)
        weighting, gamma = self.params.weighting, self.params.weighting_gamma
        noise_B = noise_loss(out.v, x0, noisy, batch.sigma, weighting, gamma)
        return self._sum(out._replace(feature=out.v.new_zeros(0)) if local else out, batch, noise_B)

    def _sum(self, out: Prediction, batch: Batch, noise_B: Tensor) -> Losses:
        params, nan = self.params, noise_B.new_tensor(torch.nan)
        total = noise_B.mean()
        ulr, prior, error, same, other = nan, nan, nan, nan, nan
        if out.feature.numel():
            ulr = ulr_loss(out.feature, batch.clip, params.ulr_tau)
            total = total + params.lambda_ulr * ulr
            same, other = similarity(out.feature, batch.clip)
        if out.points.numel():
            prior = prior_loss(out.points, batch.points, params.wing_w, params.wing_epsilon)
            total = total + params.lambda_prior * prior
            error = landmark_error(out.points, batch.points)
        values = torch.stack([total, noise_B.mean(), ulr, prior, error, same, other]).detach()
        return Losses(total, values, noise_B.detach())
