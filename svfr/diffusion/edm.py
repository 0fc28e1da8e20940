"""EDM preconditioning with v-prediction, as Stable Video Diffusion uses it (Karras et al. 2022; Salimans & Ho 2022).

With data of unit variance and x = x0 + sigma * noise the denoiser is

    D(x; sigma) = c_skip(sigma) x + c_out(sigma) v(c_in(sigma) x; c_noise(sigma))

and the network's output v is what is regressed. `sigma` is a number, or a tensor (B,) that goes with x (B,...).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Sigma = float | Tensor


def c_in(sigma: Sigma) -> Sigma:
    """1 / sqrt(sigma^2 + 1): scales the network's noisy input to unit variance."""
    return (sigma**2 + 1) ** -0.5


def c_skip(sigma: Sigma) -> Sigma:
    """1 / (sigma^2 + 1)."""
    return 1 / (sigma**2 + 1)


def c_out(sigma: Sigma) -> Sigma:
    """-sigma / sqrt(sigma^2 + 1)."""
    return -sigma * (sigma**2 + 1) ** -0.5


def c_noise(sigma: Sigma) -> Sigma:
    """0.25 ln(sigma): the network's continuous timestep."""
    return 0.25 * (sigma.log() if isinstance(sigma, Tensor) else math.log(sigma))


def add_noise(x0: Tensor, noise: Tensor, sigma: Sigma) -> Tensor:
    """x = x0 + sigma * noise, in the shape of `x0`."""
    return x0 + spread(sigma, x0) * noise


def denoised(x: Tensor, v: Tensor, sigma: Sigma) -> Tensor:
    """x0 = c_skip x + c_out v: the clean latents that the network's output stands for."""
    s = spread(sigma, x)
    return c_skip(s) * x + c_out(s) * v


def v_target(x: Tensor, x0: Tensor, sigma: Sigma) -> Tensor:
    """v = (x0 - c_skip x) / c_out: the network's target for clean `x0` and noisy `x`; sigma > 0."""
    s = spread(sigma, x)
    return (x0 - c_skip(s) * x) / c_out(s)


def loss_weight(sigma: Sigma) -> Sigma:
    """lambda(sigma) = (1 + sigma^2) / sigma^2 on the squared error of x0; equals weight 1 on the error of v."""
    return (1 + sigma**2) / sigma**2


def loss_weight_of(kind: str, sigma: Tensor, gamma: float) -> Tensor:
    """Weight of the squared error of x0 at noise levels `sigma` > 0, of the same shape; SNR = 1 / sigma^2.

    edm           SNR + 1                 Karras et al. 2022, table 1, with unit variance: SVD's, `loss_weight`
    snr           SNR                     Ho et al. 2020: the plain error of the noise
    min_snr       min(SNR, gamma)         Hang et al. 2023; gamma 5 there
    soft_min_snr  1 / (1/SNR + 1/gamma)   Crowson et al. 2024: its smooth form; gamma 4 there
    """
    snr = sigma**-2
    if kind == "edm":
        return snr + 1
    if kind == "snr":
        return snr
    return snr.clamp(max=gamma) if kind == "min_snr" else 1 / (1 / snr + 1 / gamma)


def sample_sigmas(
    count: int, mean: float = 0.7, std: float = 1.6, *, generator: torch.Generator | None = None
) -> Tensor:
    """Training noise levels (count,) with ln(sigma) ~ N(mean, std).

    The defaults are those of SVD's image-to-video training (SVD paper, appendix D); SVFR's are unpublished.
    """
    return (mean + std * torch.randn(count, generator=generator)).exp()


def spread(sigma: Sigma, like: Tensor) -> Sigma:
    """A tensor (B,) reshaped to (B,1,1,...) to go with `like` (B,...); numbers and scalars stay as they are."""
    if isinstance(sigma, Tensor) and sigma.ndim == 1:
        return sigma.to(like.device).view(-1, *[1] * (like.ndim - 1))
    return sigma
