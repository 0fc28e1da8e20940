"""The denoising loss of SVFR: EDM with v-prediction and SVD's preconditioning (spec: SVFR L_noise, SVD app. D)."""

from __future__ import annotations

import torch
from torch import Tensor

from svfr.diffusion import edm


def unet_input(noisy_BFCHW: Tensor, sigma_B: Tensor, lq_BFCHW: Tensor, reference_BCHW: Tensor) -> Tensor:
    """(B,F,12,h,w): [c_in(sigma) x | LQ latents, unscaled | reference latents, unscaled, on every frame].

    A dropped reference is given as zeros. Channel order and scales: the released SVFR inference code.
    """
    scaled = noisy_BFCHW * torch.as_tensor(edm.c_in(edm.spread(sigma_B, noisy_BFCHW)))
    reference = reference_BCHW[:, None].expand(-1, noisy_BFCHW.shape[1], -1, -1, -1)
    return torch.cat([scaled, lq_BFCHW, reference], dim=2)


def noise_loss(
    v_BFCHW: Tensor,
    x0_BFCHW: Tensor,
    noisy_BFCHW: Tensor,
    sigma_B: Tensor,
    weighting: str = "edm",
    gamma: float = 5.0,
) -> Tensor:
    """Loss of each item (B,), float32, from the network's output v for noisy x = x0 + sigma n.

    Karras et al. 2022, eq. 8: the error of the denoised latents, weighted by `edm.loss_weight_of(weighting)`. SVFR
    does not state its weight; "edm", SVD's, is the default and leaves the plain squared error of v.
    """
    # L = lambda(sigma) || D(x; sigma) - x0 ||^2 = lambda(sigma) c_out(sigma)^2 || v - v_target ||^2
    # edm: lambda = (1 + sigma^2) / sigma^2, so that lambda c_out^2 = 1
    target = edm.v_target(noisy_BFCHW, x0_BFCHW, sigma_B)
    error_B = (v_BFCHW.float() - target.float()).square().flatten(1).mean(1)
    if weighting == "edm":
        return error_B
    sigma = sigma_B.float()
    return edm.loss_weight_of(weighting, sigma, gamma) * torch.as_tensor(edm.c_out(sigma)) ** 2 * error_B
